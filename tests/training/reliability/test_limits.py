"""Limits and intervals from rows whose right answer is known by hand or by law."""

import math

import numpy as np
import pytest

from ostensor.models.inference.calibration import SIGNS, Calibration
from ostensor.models.inference.presence import Presence
from ostensor.training.reliability.limits import Row, absent_limit, coverage, spread_of_sizes

FULL = (1.0,) * len(SIGNS)


def calibration(expected: float = 0.9, **facts: object) -> Calibration:
    """Every mask has the same expected Dice."""
    none = (0.0,) * len(SIGNS)
    bias = math.log(expected / (1 - expected))
    return Calibration("", "", none, (1.0,) * len(SIGNS), none, bias, {}, 0.5, **facts)  # type: ignore[arg-type]


def seen(chance: float, voxels: int) -> Row:
    """What a law of the highest logit alone gives this chance."""
    return Row("p", "liver", "none", (), 0.0, voxels, 0, (math.log(chance / (1 - chance)), 0.0, 0.0))


LOGIT = Presence((0.0,) * 3, (1.0,) * 3, (1.0, 0.0, 0.0), 0.0, {})


@pytest.mark.parametrize(("hidden", "limit"), [(0, 0.5), (1, 0.3), (2, 0.3), (3, 0.1)])
def test_at_most_one_in_a_hundred_that_is_there_is_called_absent(hidden: int, limit: float) -> None:
    """Of 200, `hidden` were hardly seen and two at a chance of .305; the limit must stop before a third is hidden."""
    there = [seen(0.9, 600)] * (198 - hidden) + [seen(0.105, 600)] * hidden + [seen(0.305, 600)] * 2
    assert absent_limit(LOGIT, [*there, seen(0.01, 0), seen(0.02, 5)]) == limit


def test_without_anything_there_no_limit_is_known() -> None:
    assert absent_limit(LOGIT, [seen(0.01, 0)] * 20) == 0.0


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
