"""Cohort summaries against numpy and a resampling written out."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.masks.cohort import MEASURES, cohort
from ostensor.imaging.masks.overlap import Overlap, compare
from ostensor.imaging.volume import Grid, Mask

GRID = Grid((7, 11, 5), np.diag([0.7, 0.9, 3.0, 1.0]))


def row(cut: int, tolerance_mm: float = 1.0) -> Overlap:
    truth, guess = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    truth[1:6, 2:9, 1:4] = True
    guess[1:6, 2 : 9 - cut, 1:4] = True
    return compare(Mask(guess, GRID), Mask(truth, GRID), tolerance_mm=tolerance_mm)


def test_every_measure_is_summed_up_over_the_cases_that_have_it() -> None:
    rows = [row(0), row(1), row(3), row(7)]  # the last one found nothing
    found = cohort(rows)
    assert set(found) == set(MEASURES)
    dice = np.array([1, 12 / 13, 8 / 11, 0])
    summary = found["dice"]
    assert summary is not None
    assert (summary.cases, summary.undefined) == (4, 0)
    assert summary.mean == pytest.approx(dice.mean())
    assert summary.sd == pytest.approx(dice.std(ddof=1))
    assert summary.median == pytest.approx(np.median(dice))
    distance = found["hd95_mm"]
    assert distance is not None
    assert (distance.cases, distance.undefined) == (3, 1)
    assert distance.mean == pytest.approx(np.mean([r.hd95_mm for r in rows[:3]]))


def test_the_interval_is_that_of_resampled_means() -> None:
    """Another generator, so within the noise of 2,000 draws."""
    rows = [row(cut) for cut in (0, 1, 1, 2, 3, 4, 0, 2)]
    dice = np.array([r.dice for r in rows])
    rng = np.random.default_rng(99)
    means = [rng.choice(dice, len(dice)).mean() for _ in range(4000)]
    summary = cohort(rows)["dice"]
    assert summary is not None
    assert summary.low == pytest.approx(np.percentile(means, 2.5), abs=0.01)
    assert summary.high == pytest.approx(np.percentile(means, 97.5), abs=0.01)
    assert cohort(rows)["dice"] == summary, "a fixed seed gives the same interval"


def test_one_case_has_no_spread_and_no_value_no_summary() -> None:
    only = cohort([row(2)])["dice"]
    assert only is not None
    assert (only.sd, only.low, only.high) == (None, None, None)
    assert cohort([row(7)])["hd_mm"] is None


def test_no_cases_and_mixed_tolerances_are_refused() -> None:
    with pytest.raises(BadCall, match="at least one"):
        cohort([])
    with pytest.raises(BadCall, match="different tolerances"):
        cohort([row(1), row(1, 2.0)])
