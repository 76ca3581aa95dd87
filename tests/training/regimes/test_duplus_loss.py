"""The adaptive Tversky loss against numbers worked out by hand."""

import pytest
import torch

from ostensor.training.regimes.duplus_loss import duplus_loss, tversky_alpha, tversky_loss


def mask(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, -1, 1, 1)


def test_tversky_equals_the_hand_calculation() -> None:
    """TP 3, FP 1, FN 2: alpha 1/3, Dice 3 / (3 + 1/3 + 4/3) = 9/14."""
    truth, found = mask(1, 1, 1, 1, 1, 0, 0), mask(1, 1, 1, 0, 0, 1, 0)
    assert tversky_alpha(found, truth).item() == pytest.approx(1 / 3)
    assert tversky_loss(found, truth).item() == pytest.approx(5 / 14, abs=1e-5)


@pytest.mark.parametrize(("found", "alpha"), [((1.0, 1.0, 1.0), 0.8), ((0.0, 0.0, 0.0), 0.2)])
def test_alpha_stays_between_a_fifth_and_four_fifths_and_has_no_gradient(
    found: tuple[float, ...], alpha: float
) -> None:
    """Only false positives, or only false negatives."""
    guess = mask(*found).requires_grad_()
    made = tversky_alpha(guess, mask(1, 0, 0))
    assert made.item() == pytest.approx(alpha)
    assert not made.requires_grad


def test_a_perfect_mask_costs_nothing_even_an_empty_one() -> None:
    assert tversky_loss(mask(1, 0, 1), mask(1, 0, 1)).item() == pytest.approx(0, abs=1e-6)
    assert tversky_loss(mask(0, 0, 0), mask(0, 0, 0)).item() == pytest.approx(0, abs=1e-6)


def test_padding_classes_cost_nothing_and_get_no_gradient() -> None:
    """Spec §13.2."""
    logits = torch.randn(2, 3, 5, 3, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    truth = torch.rand(2, 3, 5, 3, 2, generator=torch.Generator().manual_seed(2)) > 0.5
    used = torch.tensor([[True, True, False], [True, False, False]])
    duplus_loss(logits, truth, used).backward()
    assert logits.grad is not None
    assert ((logits.grad.abs().amax((2, 3, 4)) > 0) == used).all()
    assert duplus_loss(logits, truth, torch.zeros_like(used)).item() == 0
