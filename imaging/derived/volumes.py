"""What volumes tell about hearts, pairs and growth: plain formulas, volumes in ml."""

from __future__ import annotations

import math

from .estimates import Estimate, NoNumberError, propagate

MYOCARDIUM_G_PER_ML = 1.05  # Source: Schulz-Menger et al. 2020, J Cardiovasc Magn Reson 22:19 (SCMR), LV mass


def ejection_fraction(end_diastole: Estimate, end_systole: Estimate) -> Estimate:
    """Share of the blood that leaves the ventricle, %.

    Source: (EDV - ESV) / EDV; Schulz-Menger et al. 2020, J Cardiovasc Magn Reson 22:19.
    """
    return propagate(lambda edv, esv: 100 * (edv - esv) / edv, end_diastole, end_systole)


def stroke_volume(end_diastole: Estimate, end_systole: Estimate) -> Estimate:
    """Blood that leaves the ventricle in a beat, ml.

    Source: EDV - ESV; Schulz-Menger et al. 2020, J Cardiovasc Magn Reson 22:19.
    """
    return propagate(lambda edv, esv: edv - esv, end_diastole, end_systole)


def myocardial_mass(volume: Estimate) -> Estimate:
    """Mass of heart muscle, g: its volume times its density."""
    return propagate(lambda ml: ml * MYOCARDIUM_G_PER_ML, volume)


def asymmetry(left: Estimate, right: Estimate) -> Estimate:
    """Difference of a pair in % of its mean; above 0 the left is larger.

    Source: Galaburda et al. 1987, Neuropsychologia 25:853, (R - L) / (0.5 (R + L)), here with the left first.
    """
    return propagate(lambda one, other: 200 * (one - other) / (one + other), left, right)


def ratio(first: Estimate, second: Estimate) -> Estimate:
    """How many times the second the first is."""
    return propagate(lambda one, other: one / other, first, second)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """The first less the second, in their unit."""
    return propagate(lambda one, other: one - other, first, second)


def doubling_time(before: Estimate, after: Estimate, days: float) -> Estimate:
    """Days in which a volume doubles at the pace between two scans; below 0 it halves in so many days.

    Where the interval of the growth reaches zero, the doubling time has no upper end (None): it may not grow at all.

    Source: Schwartz 1961, Cancer 14:1272: t ln 2 / ln(V2 / V1).

    Raises:
        NoNumberError: no time between the scans, or no difference between the volumes.
    """
    if days <= 0:
        raise NoNumberError(f"There are {days:g} days between the scans; a doubling time needs the later scan second.")
    pace = propagate(lambda one, other: math.log(other / one) / days, before, after)
    if pace.value == 0:
        raise NoNumberError("Both volumes are the same, so there is no doubling time.")
    if pace.low is None or pace.high is None:
        return Estimate(math.log(2) / pace.value)
    ends = [math.log(2) / end if end * pace.value > 0 else None for end in (pace.high, pace.low)]
    return Estimate(math.log(2) / pace.value, *ends)
