"""Multi-scale self-guided attention: its auxiliary losses, its published sizes, and what is refused."""

import json

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention.guided import guide
from ostensor.models.backbones.attention.guided import network as guided
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.by_words import Supervised


def millions(net: torch.nn.Module) -> float:
    return sum(value.numel() for value in net.parameters()) / 1e6


@pytest.mark.parametrize(("groups", "group_width", "published"), [(32, 8, 88.79), (32, 4, 44.18), (1, 64, 44.55)])
def test_the_trunk_is_a_resnext_101(groups: int, group_width: int, published: float) -> None:
    """Torchvision publishes millions of parameters for 32x8d and ResNet-101, Xie et al. 2017 for 32x4d; 1000 classes are no part of a trunk."""
    with torch.device("meta"):
        net = backbone("guided-attention").build(
            2, 3, 4, {"preset": "paper", "groups": groups, "group_width": group_width}
        )
    assert isinstance(net, guided.GuidedAttention)
    assert millions(net.trunk) == pytest.approx(published - (2048 + 1) * 1000 / 1e6, abs=0.006)


def test_what_follows_the_trunk_has_the_published_size() -> None:
    """17.8 million are counted in the authors' class, with the branches that it never uses."""
    with torch.device("meta"):
        net = guide.SelfGuided([256, 512, 1024, 2048], 64, 4)
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
    net = guide.Semantic(6).eval()
    x = torch.randn(3, 6, 8, 12)
    with torch.no_grad():
        both, alone = net(x)[0], net(x[1:2])[0]
    assert both.shape == (3, 24 * 2 * 3)
    assert torch.allclose(both[1], alone[0], atol=1e-6)


def test_other_weights_and_trunks_of_three_stages_are_refused() -> None:
    with pytest.raises(BadCall, match=r"'resnext\.fc\.weight', which is unknown"):
        guided.convert({"resnext.fc.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match="not of 4 scales"):
        guided.sizes_of(guided.convert({"down1.0.weight": torch.zeros(2, 3, 1, 1)}))
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


def named_officially(net: guided.GuidedAttention) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixture and torchvision spell them."""
    passes, found = {"first": 1, "second": 2}, {}
    layer = {"query": "query_conv", "key": "key_conv", "value": "value_conv"}
    for key, value in net.state_dict().items():
        part, *rest = key.split(".")
        if part == "trunk":
            n, after = int(rest[1]), ".".join(rest[2:])
            stage = "resnext.layer1.1" if n == 0 else f"resnext.layer{n + 1}"
            theirs = f"resnext.layer0.{n}.{after}" if rest[0] == "stem" else f"{stage}.{after}"
        elif rest[0] in ("down", "heads", "heads_before"):
            name = {"down": "down{}", "heads": "predict{}_2", "heads_before": "predict{}"}[rest[0]]
            theirs = f"{name.format(int(rest[1]) + 1)}.{'.'.join(rest[2:])}"
        elif rest[0] == "fuse":
            theirs = f"fuse1.fuse_attn.{'.'.join(rest[1:])}"
        else:
            turn, kind, after = passes[rest[0]], rest[1], [layer.get(one, one) for one in rest[2:]]
            if kind == "semantic":
                step, n = after[0], int(after[1])
                number = n + 1 if step == "encoder" else 2 - n
                theirs = f"semanticModule_{turn}_1.{step[:3]}{number}.{step[:-1]}.{'.'.join(after[2:])}"
            elif kind in ("places", "channels"):
                name = "pam" if kind == "places" else "cam"
                theirs = f"{name}_attention_{turn}_{int(after[0]) + 1}.attn.{'.'.join(after[1:])}"
                value = value[..., None] if after[-2] in layer.values() and after[-1] == "weight" else value
            else:
                number = 4 - int(after[0])
                out = f"conv8_{number}" if turn == 1 else f"conv8_1{number}"
                theirs = f"{out if kind == 'out' else f'conv_sem_{turn}_{number}'}.{after[1]}"
        found[theirs] = value
    return {**found, "conv6_1.1.bias": torch.zeros(3), "refine2.fuse_attn.0.bias": torch.zeros(3)}


@pytest.mark.parametrize(("groups", "group_width"), [(0, 8), (2, 64)])
def test_published_files_are_read_with_their_trunk(groups: int, group_width: int) -> None:
    torch.manual_seed(1)
    options = {"stem": 6, "widths": [8, 12, 16, 20], "depths": [1, 2, 1, 1], "width": 8}
    net = guided.build(2, 1, 3, groups=groups, group_width=group_width, **options).eval()  # type: ignore[arg-type]  # options by name
    ours = guided.convert(named_officially(net))
    found = guided.sizes_of(ours)
    assert found == {**options, "dims": 2, "channels": 1, "classes": 3, "groups": groups, "group_width": group_width}
    again = guided.build(**found)
    again.load_state_dict(ours, strict=False)
    image = torch.randn(1, 1, 40, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again.eval()(image).logits, net(image).logits)
