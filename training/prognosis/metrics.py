"""How good survival predictions are: scikit-survival's numbers, and Antolini's, which it lacks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.prognosis.curves import Curves

Array = npt.NDArray[np.float64]
Truth = npt.NDArray[Any]


def harrell(truth: Truth, risk: Array) -> float:
    """Harrell's C: share of comparable pairs in which the higher risk dies first; ties count half."""
    from sksurv.metrics import concordance_index_censored

    return float(concordance_index_censored(truth["died"], truth["days"], risk)[0])


def antolini(truth: Truth, curves: Curves) -> float:
    """Time-dependent C: S of the one who dies is compared on that very day.

    Source: Antolini, Boracchi and Biganzoli 2005, eq. 6; equal days count when the other is censored;
    ties of S count half.
    """
    days, died = truth["days"], truth["died"]
    good = pairs = 0.0
    for i in np.flatnonzero(died):
        own = curves.at(int(i), float(days[i]))
        for j in np.flatnonzero((days > days[i]) | ((days == days[i]) & ~died)):
            other = curves.at(int(j), float(days[i]))
            pairs += 1
            good += 1.0 if own < other else 0.5 if own == other else 0.0
    return good / pairs if pairs else float("nan")


def brier(train: Truth, test: Truth, curves: Curves) -> float | None:
    """Integrated Brier score over the middle of the follow-up; None when the fold is too short for it."""
    from sksurv.metrics import integrated_brier_score

    low = max(float(test["days"].min()), float(train["days"].min())) + 1
    high = min(float(np.quantile(test["days"], 0.8)), float(train["days"].max()), float(curves.days[-1]))
    grid = np.linspace(low, high, 20)
    if high <= low:
        return None
    estimate = np.array([[curves.at(n, day) for day in grid] for n in range(len(test))])
    inside = test["days"] < train["days"].max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(integrated_brier_score(train, test[inside], estimate[inside], grid))
        except ValueError:  # the censoring distribution is 0 somewhere
            return None


def calibration(truth: Truth, survival: Array, day: float, groups: int = 4) -> list[dict[str, float]]:
    """Expected against observed S on a day, by groups of rising expectation; observed after Kaplan-Meier."""
    order = np.argsort(survival)
    rows = []
    for part in np.array_split(order, groups):
        if len(part):
            observed = kaplan_meier(truth[part], day)
            rows.append({"expected": float(survival[part].mean()), "observed": observed, "patients": float(len(part))})
    return rows


def kaplan_meier(truth: Truth, day: float) -> float:
    """S of a group on a day. Source: Kaplan and Meier 1958."""
    share = 1.0
    for at in np.unique(truth["days"][truth["died"] & (truth["days"] <= day)]):
        at_risk = np.count_nonzero(truth["days"] >= at)
        share *= 1 - np.count_nonzero(truth["died"] & (truth["days"] == at)) / at_risk
    return float(share)
