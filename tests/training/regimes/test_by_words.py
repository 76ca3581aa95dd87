"""Losses against slow obvious versions, and what text-prompted training asks for."""

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.network import SegOutput, SideAnswer
from ostensor.models.backbones.table import backbone
from ostensor.models.language.satmini.network import SatMini, SatMiniConfig
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.by_words import Supervised, TextPrompted, masks_of
from ostensor.training.regimes.losses import at_sides, balanced_cross_entropy, soft_dice_loss


def test_soft_dice_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(2, 3, 4, 5)), rng.random((2, 3, 4, 5)) > 0.5
    p = 1 / (1 + np.exp(-logits))
    expected = np.mean([
        1 - (2 * (p[:, n] * targets[:, n]).sum() + 1) / ((p[:, n] ** 2).sum() + targets[:, n].sum() + 1)
        for n in range(3)
    ])  # fmt: skip
    found = soft_dice_loss(torch.from_numpy(logits), torch.from_numpy(targets.astype(float)))
    assert float(found) == pytest.approx(expected)


def test_balanced_cross_entropy_weighs_inside_and_outside_as_told() -> None:
    logits = torch.zeros(1, 2, 10, 10)
    targets = torch.zeros(1, 2, 10, 10)
    targets[0, 0, 0, 0] = 1
    logits[0, 0, 0, 0] = -3.0
    inside, outside = float(torch.nn.functional.softplus(torch.tensor(3.0))), float(np.log(2))
    expected = (0.3 * inside + 0.7 * outside + 0.7 * outside) / 2
    assert float(balanced_cross_entropy(logits, targets, 0.3)) == pytest.approx(expected, rel=1e-5)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    assert float(balanced_cross_entropy(logits, targets, 0.0)) == pytest.approx(float(plain))


def objective(**changes: object) -> TextPrompted:
    generator = torch.Generator().manual_seed(1)
    terms = ("liver", "hepar", "spleen", "heart")
    return TextPrompted(**{
        "structures": {"liver": (1, 2), "spleen": (3,)},
        "vectors": {term: torch.randn(5, generator=generator) for term in terms},
        "names": {"liver": ("liver", "hepar"), "spleen": ("spleen",), "heart": ("heart",)},
        "absent": ("heart",), "negatives": 1, **changes,
    })  # type: ignore[arg-type]  # fmt: skip


def test_targets_are_the_structures_labels_and_nothing_for_absent_ones() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, 2, 2], labels[0, 4, 4], labels[0, 6, 0], labels[0, 1, 1] = 1, 2, 3, 3
    values = [(1, 2), (3,), ()]
    made = masks_of(labels, values)
    assert made.shape == (1, 3, 8, 8)
    assert [int(made[0, n].sum()) for n in range(3)] == [2, 2, 0]
    half = masks_of(at_sides(labels, (4, 4)), values)
    assert [int(half[0, n].sum()) for n in range(3)] == [2, 1, 0]


def losses(objective: TextPrompted | Supervised, model: torch.nn.Module, batch: Batch, seed: int) -> float:
    terms = objective.losses("main", {MODEL: model}, {LABELLED: batch}, State(0, 1, np.random.default_rng(seed)))
    return float(sum(terms.values()).detach())


def test_the_same_seed_asks_the_same_words() -> None:
    torch.manual_seed(0)
    model = SatMini(SatMiniConfig(dims=2, features=(4, 8), finest=4, embed=4, text_dim=5, hidden=6))
    batch = Batch(torch.randn(1, 1, 8, 8), torch.randint(0, 4, (1, 8, 8)))
    found = [losses(objective(), model.eval(), batch, seed) for seed in (0, 0, 1, 2, 3, 4, 5)]
    assert found[0] == found[1]
    assert len(set(found)) == 2, "'liver' or 'hepar'"


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(TypeError, match="takes text"):
        losses(objective(), torch.nn.Identity(), Batch(torch.zeros(1), torch.zeros(1)), 0)


def test_supervised_training_weighs_scales_by_halves() -> None:
    """Two scales of constant logits: each scale's loss by hand, weighted 2/3 and 1/3."""
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, :4] = 1
    fine, coarse = torch.full((1, 1, 8, 8), 0.7), torch.full((1, 1, 4, 4), -0.2)

    def by_hand(value: float, inside: int, every: int) -> float:
        p = 1 / (1 + np.exp(-value))
        cross_entropy = -0.5 * np.log(p) - 0.5 * np.log(1 - p)
        return cross_entropy + 1 - (2 * p * inside + 1) / (p * p * every + inside + 1)

    class Constant(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> SegOutput:
            return SegOutput(fine, (SideAnswer("half", coarse, 0.5),))

    made = Supervised({"liver": (1,)})
    batch = Batch(torch.zeros(1, 1, 8, 8), labels)
    expected = 2 / 3 * by_hand(0.7, 32, 64) + 1 / 3 * by_hand(-0.2, 8, 16)
    assert losses(made, Constant(), batch, 0) == pytest.approx(expected, rel=1e-5)


def test_a_network_with_other_channels_than_structures_is_refused() -> None:
    net = backbone("unet").build(2, 1, 2, {"features": [2, 2], "finest": 2})
    batch = Batch(torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8))
    with pytest.raises(BadCall, match="2 output channels, but 1 structures"):
        losses(Supervised({"liver": (1,)}), net, batch, 0)
