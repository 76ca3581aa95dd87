"""Survival metrics against naive double loops and laws; Kaplan-Meier against a table worked out by hand."""

import numpy as np
import pytest

from ostensor.models.prognosis.curves import Curves
from ostensor.training.prognosis.metrics import antolini, calibration, harrell, kaplan_meier


def truth(days: list[float], died: list[int]) -> np.ndarray:
    return np.array(list(zip(map(bool, died), days, strict=True)), dtype=[("died", bool), ("days", float)])


MADE = truth([5, 8, 8, 3, 12, 9, 3, 15, 20, 7], [1, 1, 0, 1, 0, 1, 0, 1, 0, 1])
RISK = np.array([2.0, 1, 1, 4, 0.5, 2, 2, 0.2, 0.1, 1])


def naive_c(made: np.ndarray, risk: np.ndarray) -> float:
    """Every pair by hand: comparable when the earlier time is a death; ties of risk count half."""
    good = pairs = 0.0
    for i in range(len(made)):
        for j in range(len(made)):
            later = made["days"][j] > made["days"][i] or (made["days"][j] == made["days"][i] and not made["died"][j])
            if i != j and made["died"][i] and later:
                pairs += 1
                good += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return good / pairs


def test_harrell_equals_the_naive_double_loop_with_ties_and_censoring() -> None:
    """Spec §13.8; scikit-survival's C is the code under test here, our use of it included."""
    assert harrell(MADE, RISK) == pytest.approx(naive_c(MADE, RISK))


def test_perfect_reversed_and_constant_risks_give_one_zero_and_a_half() -> None:
    made = truth([5, 8, 3, 12, 9], [1, 1, 1, 0, 1])
    assert harrell(made, -made["days"]) == 1
    assert harrell(made, made["days"]) == 0
    assert harrell(made, np.zeros(5)) == 0.5


def test_antolini_equals_harrell_when_curves_never_cross() -> None:
    """Proportional hazards: S(t) = exp(-t risk), so both rank alike at every time."""
    days = np.linspace(0, 25, 101)
    curves = Curves(days, np.exp(-days[None, None] * RISK[None, :, None] / 10))
    assert antolini(MADE, curves) == pytest.approx(naive_c(MADE, RISK))


def test_antolini_looks_at_the_day_of_death() -> None:
    """Crossing curves: patient 0 is lower on day 2, where it dies; a risk score of day 10 would be wrong."""
    made = truth([2, 10], [1, 1])
    curves = Curves(np.array([0.0, 2, 10]), np.array([[[1, 0.4, 0.39], [1, 0.9, 0.1]]]))
    assert antolini(made, curves) == 1


def test_kaplan_meier_equals_the_table_by_hand() -> None:
    """Days 1 (death, 5 at risk), 2 (censored), 3 (death, 3 at risk): 4/5 x 2/3."""
    made = truth([1, 2, 3, 4, 5], [1, 0, 1, 0, 0])
    assert kaplan_meier(made, 3.5) == pytest.approx(4 / 5 * 2 / 3)
    assert kaplan_meier(made, 0.5) == 1


def test_calibration_groups_hold_everybody_once_in_rising_order() -> None:
    made = calibration(MADE, np.linspace(0.9, 0.1, 10), 8, groups=3)
    assert sum(row["patients"] for row in made) == 10
    assert [row["expected"] for row in made] == sorted(row["expected"] for row in made)
