"""Multi-scale self-guided attention: its auxiliary losses, its published sizes, and what is refused."""

import json

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import guided
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.by_words import Supervised


def millions(net: torch.nn.Module) -> float:
    return sum(value.numel() for value in net.parameters()) / 1e6


def test_the_trunk_is_a_resnext_101_of_32_groups_of_4() -> None:
    """44.18 million parameters are published for it (Xie et al. 2017), of which a layer of 1000 classes is no part of a trunk."""
    with torch.device("meta"):
        net = backbone("guided-attention").build(2, 3, 4, {"preset": "paper"})
    assert isinstance(net, guided.GuidedAttention)
    assert millions(net.trunk) == pytest.approx(44.18 - (2048 + 1) * 1000 / 1e6, abs=0.006)


def test_what_follows_the_trunk_has_the_published_size() -> None:
    """17.8 million are counted in the authors' class, with the branches that it never uses."""
    with torch.device("meta"):
        net = guided.SelfGuided([256, 512, 1024, 2048], 64, 4)
    fuse = (
        (128 * 9 + 1) * 64 + (64 * 9 + 1) * 64 + (64 + 1) * 64 + 3 * 2 * 64 + 2
    )  # attentionN; refineN has one PReLU more
    unused = 8 * fuse + 4 + 8 * (64 + 1) * 64  # and conv6, conv7
    assert millions(net) + unused / 1e6 == pytest.approx(17.8, abs=0.05)


def test_guide_losses_are_the_weighted_mean_squares() -> None:
    """Vectors differ by 2 everywhere, and of the eight rebuilt inputs one by 3: 0.25 * 4 scales * 4, and 0.1 * 9."""
    extra = {}
    for i in range(4):
        for one, shift in (("first", 0.0), ("second", 2.0)):
            extra[f"vectors.{one}.{i}"] = torch.full((2, 5), shift)
            extra[f"input.{one}.{i}"] = torch.ones(2, 3, 4, 4)
            extra[f"rebuilt.{one}.{i}"] = torch.ones(2, 3, 4, 4)
    extra["rebuilt.second.2"] = torch.full((2, 3, 4, 4), -2.0)
    terms = guided.guide_losses(extra)
    assert float(terms["agreement"]) == pytest.approx(4.0)
    assert float(terms["rebuilding"]) == pytest.approx(0.9)


def test_the_answer_is_the_mean_of_the_refined_ones_and_teaches_through_its_losses() -> None:
    torch.manual_seed(1)
    net = backbone("guided-attention").build(2, 1, 3, {}).eval()
    said = net(torch.randn(2, 1, 40, 48))
    refined = [one.logits for one in said.aux if one.tag.startswith("after.")]
    assert len(said.aux) == 8
    grown = [torch.nn.functional.interpolate(one, (40, 48), mode="bilinear") for one in refined]
    assert torch.allclose(said.logits, sum(grown) / 4, atol=1e-6)
    sum(guided.guide_losses(said.extra).values()).backward()
    assert isinstance(net, guided.GuidedAttention)
    assert net.guided.first.semantic.encoder[1][0].weight.grad.abs().sum() > 0


def test_images_of_a_batch_have_vectors_of_their_own() -> None:
    torch.manual_seed(1)
    net = guided.Semantic(6).eval()
    x = torch.randn(3, 6, 8, 12)
    with torch.no_grad():
        both, alone = net(x)[0], net(x[1:2])[0]
    assert both.shape == (3, 24 * 2 * 3)
    assert torch.allclose(both[1], alone[0], atol=1e-6)


def test_other_weights_and_trunks_of_three_stages_are_refused() -> None:
    with pytest.raises(BadCall, match=r"'resnext\.layer0\.0\.weight', which is unknown"):
        guided.convert({"resnext.layer0.0.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match="not of 4 scales"):
        guided.options_of(guided.convert({"down1.0.weight": torch.zeros(2, 3, 1, 1)}))
    with pytest.raises(BadCall, match="4 stages, and 3 widths"):
        backbone("guided-attention").build(2, 1, 2, json.loads('{"widths": [8, 8, 8]}'))


def test_supervised_training_adds_its_own_losses() -> None:
    torch.manual_seed(1)
    net = backbone("guided-attention").build(2, 1, 2, {}).train()
    labels = torch.zeros(2, 32, 40, dtype=torch.long)
    labels[:, 5:20, 8:30] = 1
    objective = Supervised(structures={"liver": (1,), "spleen": (2,)})
    batch = Batch(labels[:, None].float(), labels)
    terms = objective.losses("main", {MODEL: net}, {LABELLED: batch}, State(0, 1, np.random.default_rng(0)))
    assert set(terms) == {"cross_entropy", "dice", "agreement", "rebuilding"}
    assert all(float(term.detach()) > 0 for term in terms.values())
