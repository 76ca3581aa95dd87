"""Curves of an ensemble: median, interval, risk and contributions, against values worked out by hand."""

import numpy as np
import pytest

from ostensor.models.prognosis.curves import Curves, Ensemble, contributions


def curves(*rows: tuple[float, ...]) -> Curves:
    return Curves(np.array([0.0, 100, 200, 400]), np.array([[row] for row in rows]))


def test_the_median_lies_on_the_line_between_two_days_or_is_not_reached() -> None:
    """0.6 at day 200, 0.4 at day 400: one half at day 300."""
    assert curves((1, 0.8, 0.6, 0.4)).median_day(0) == pytest.approx(300)
    assert curves((1, 0.9, 0.8, 0.7)).median_day(0) is None


def test_mean_interval_and_risk_come_from_the_members() -> None:
    made = curves((1, 0.8, 0.6, 0.4), (1, 0.6, 0.4, 0.2))
    assert made.mean[0].tolist() == pytest.approx([1, 0.7, 0.5, 0.3])
    assert made.low[0, 1] == pytest.approx(0.61)  # 5 % of the way from 0.6 to 0.8
    assert made.high[0, 1] == pytest.approx(0.79)
    assert made.risk[0] == pytest.approx(-np.log([0.7, 0.5, 0.3]).sum())
    assert made.at(0, 150) == pytest.approx(0.6)


def test_a_cox_head_answers_with_its_baseline_raised_to_the_relative_hazard() -> None:
    """S = exp(-H0 exp(x b)), worked out for one feature."""
    weights = {
        "direct.weight": np.array([[0.5]]),
        "direct.bias": np.zeros(1),
        "offset": np.zeros(1),
        "baseline": np.array([0.1, 0.4]),
    }
    made = Ensemble({"image": 0, "ehr": 1, "text": 0, "kind": "cox", "hidden": 0}, (10.0, 20.0), (weights,))
    found = made.curves(np.zeros((1, 0)), np.array([[2.0]])).mean[0]
    assert found.tolist() == pytest.approx([1, np.exp(-0.1 * np.e), np.exp(-0.4 * np.e)])


def test_contributions_are_zero_for_what_is_not_used_and_have_the_sign_of_the_effect() -> None:
    """The risk only looks at the first record column; the patient is above all others there."""
    weights = {"direct.weight": np.array([[0.0, 1.0, 0.0]]), "direct.bias": np.zeros(1), "offset": np.zeros(3)}
    made = Ensemble({"image": 1, "ehr": 2, "text": 0, "kind": "mtlr", "hidden": 0}, (10.0, 20.0, 30.0), (weights,))
    background = np.zeros((4, 1)), np.array([[0.0, 1], [-1, 2], [0.5, 3], [-2, 4]])
    moved = contributions(made, np.array([[5.0]]), np.array([[2.0, 9.0]]), background, [[0], [1], [2]])
    assert moved[0] == pytest.approx(0)
    assert moved[2] == pytest.approx(0)
    assert moved[1] > 0.5
