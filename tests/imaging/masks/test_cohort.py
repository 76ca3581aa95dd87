"""Robust scores worked out by hand, and against another library."""

import numpy as np
import pytest
import scipy

from ostensor.imaging.masks.cohort import LEAST_SCANS, OUTLIER, robust_scores, spread_of


def test_scores_by_hand() -> None:
    """The median is 2.2; the deviations are 0, 0.1, 0.2, 0.8, 1, 2.4, 17.8, so the MAD is 0.8; only 20 is far out."""
    values = [3.2, 2.1, 2.2, 1.4, 2.0, 4.6, 20.0]
    scores = robust_scores(values)
    expected = [0.6745 * (value - 2.2) / 0.8 for value in values]
    assert scores == pytest.approx(expected)
    assert [score is not None and abs(score) > OUTLIER for score in scores] == [False] * 6 + [True]


def test_the_scores_are_those_of_scipy() -> None:
    values = np.random.default_rng(5).lognormal(3, 0.4, 41)
    mad = scipy.stats.median_abs_deviation(values)
    assert robust_scores(list(values)) == pytest.approx(list(0.6745 * (values - np.median(values)) / mad))


def test_where_most_values_are_the_same_the_mean_deviation_counts() -> None:
    scores = robust_scores([7.0] * 8 + [8.0, 19.0])
    assert scores[-1] == pytest.approx(12 / (1.253314 * 1.3))
    assert robust_scores([7.0] * 6) == [0.0] * 6


def test_unknown_values_and_small_cohorts_have_no_score() -> None:
    assert robust_scores([1.0, 2.0, 3.0, 4.0, None]) == [None] * 5
    found = robust_scores([1.0, 2.0, None, 3.0, 4.0, 5.0])
    assert found[2] is None
    assert sum(score is not None for score in found) == LEAST_SCANS


def test_the_spread_of_a_number() -> None:
    assert spread_of([]) is None
    found = spread_of([float(n) for n in range(101)])
    assert found is not None
    assert (found.count, found.median, found.p5, found.p95) == (101, 50, 5, 95)
