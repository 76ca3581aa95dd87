"""Limits and intervals from rows whose right answer is known by hand or by law."""

import math

import numpy as np
import pytest

from ostensor.models.inference.calibration import EMPTY_BELOW, SIGNS, Calibration
from ostensor.training.reliability.limits import Row, coverage, empty_limit, spread_of_sizes

FULL = (1.0,) * len(SIGNS)


def calibration(expected: float = 0.9, **facts: object) -> Calibration:
    """Every mask has the same expected Dice."""
    none = (0.0,) * len(SIGNS)
    bias = math.log(expected / (1 - expected))
    return Calibration("", "", none, (1.0,) * len(SIGNS), none, bias, {}, 0.0, 0.5, **facts)  # type: ignore[arg-type]


def empty(peak: float, voxels: int) -> Row:
    return Row("p", "liver", "none", (), 0.0, voxels, 0, peak)


def test_an_empty_mask_means_absent_below_the_highest_limit_that_calls_nothing_absent_that_is_there() -> None:
    none = [empty(peak, 0) for peak in (0.01, 0.01, 0.08, 0.08, 0.15, 0.25)]
    assert empty_limit([*none, empty(0.21, 600)]) == 0.2
    assert empty_limit([*none, empty(0.06, 600)]) == 0.02, "one false absent is worse than four unsure"
    assert empty_limit([*none, empty(0.06, 5)]) == 0.3, "a sliver counts neither way"
    assert empty_limit([]) == EMPTY_BELOW


def masks(rng: np.random.Generator, count: int, sigma: float, bias: float = 0.0) -> list[Row]:
    """True sizes scatter log-normally about the said 1000 voxels."""
    ratios = np.exp(rng.normal(bias, sigma, count))
    return [Row("p", "liver", "none", FULL, 0.9, round(1000 * ratio), 1000) for ratio in ratios]


@pytest.mark.parametrize("bias", [0.0, 0.2])
def test_nine_of_ten_true_sizes_lie_in_the_interval_whatever_the_bias(bias: float) -> None:
    rng = np.random.default_rng(3)
    made = calibration()
    fitted = calibration(spread=spread_of_sizes(made, masks(rng, 400, 0.1, bias)))
    count, covered, width = coverage(fitted, masks(rng, 2000, 0.1, bias))
    assert count == 2000
    assert covered == pytest.approx(0.9, abs=0.03)
    assert width == pytest.approx(2 * 1.645 * 0.1 * math.exp(bias), rel=0.12), "of a log-normal law"
    low, high = fitted.interval(50.0, 0.9) or (0, 0)
    assert (low + high) / 2 == pytest.approx(50 * math.exp(bias), rel=0.05)


def test_a_better_mask_has_a_narrower_interval_and_few_masks_give_none() -> None:
    rng = np.random.default_rng(4)
    fitted = calibration(spread=spread_of_sizes(calibration(), masks(rng, 200, 0.1)))
    good, bad = fitted.interval(10.0, 0.95), fitted.interval(10.0, 0.7)
    assert good is not None
    assert bad is not None
    assert bad[0] < good[0] < 10 < good[1] < bad[1]
    assert spread_of_sizes(calibration(), masks(rng, 39, 0.1)) == ()
    assert calibration().interval(10.0, 0.9) is None
    assert spread_of_sizes(calibration(0.3), masks(rng, 200, 0.1)) == (), "only present masks count"
