"""Losses against slow obvious versions, and what text-prompted training asks for."""

import numpy as np
import pytest
import torch

from ostensor.models.late_fusion import SatMini, SatMiniConfig
from ostensor.training.objectives import Batch, TextPrompted, balanced_cross_entropy, soft_dice_loss


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
    made = objective()._targets(labels, ["liver", "spleen"], 1, 1)
    assert made.shape == (1, 3, 8, 8)
    assert [int(made[0, n].sum()) for n in range(3)] == [2, 2, 0]
    half = objective()._targets(labels, ["liver", "spleen"], 2, 0)
    assert [int(half[0, n].sum()) for n in range(2)] == [2, 1]


def test_the_same_seed_asks_the_same_words() -> None:
    torch.manual_seed(0)
    model = SatMini(SatMiniConfig(dims=2, features=(4, 8), finest=4, embed=4, text_dim=5, hidden=6))
    batch = Batch(torch.randn(1, 1, 8, 8), torch.randint(0, 4, (1, 8, 8)))
    found = [
        float(sum(objective().losses(model.eval(), batch, np.random.default_rng(seed)).values()).detach())
        for seed in (0, 0, 1, 2, 3, 4, 5)
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 2, "'liver' or 'hepar'"


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(TypeError, match="SatMini"):
        objective().losses(torch.nn.Identity(), Batch(torch.zeros(1), torch.zeros(1)), np.random.default_rng(0))
