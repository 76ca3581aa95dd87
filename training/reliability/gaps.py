"""How far groups of patients are apart in a score, and whether chance alone would put them so far. Plain numbers in, plain numbers out.

A group's score is the mean over its patients. Groups of few patients are not shown at all: their means say little, and may say whom
they are of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ..scores import patient_interval

PERMUTATIONS = 5000  # of the patients over the groups; the least p is 1 in 5001
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroupScore:
    """One group: its patients, their mean and its 95 % bootstrap interval."""

    group: str
    patients: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Gap:
    """How much higher one group's mean is than another's, and how often chance gives as much.

    Attributes:
        p: of a permutation test.
        corrected: the same, corrected by Holm for everything that was asked together.
    """

    above: str
    below: str
    size: float
    p: float
    corrected: float


@dataclass(frozen=True)
class Equity:
    """A score over groups of patients.

    Attributes:
        name: of what was scored.
        mean: over all patients whose group is shown.
        scaled, scaled_by_spread: see `scale_by_equity`.
        widest: best against worst group, tested as the widest of all gaps.
        pairs: every two groups.
    """

    name: str
    mean: float
    scaled: float
    scaled_by_spread: float
    groups: tuple[GroupScore, ...]
    widest: Gap
    pairs: tuple[Gap, ...]


def scale_by_equity(overall: float, groups: Sequence[float], form: Literal["sum", "spread"] = "sum") -> float:
    """The score divided by 1 + how far the groups lie from it: at most the score, and the score where all groups are equal.

    Its size depends on the number of groups, so never compare it between ways to group.

    Args:
        form: "sum" of the distances, or "spread", the groups' standard deviation (n in the denominator).

    Source: Tian et al. 2024 (FairSeg), arXiv 2311.02189, equity-scaled Dice.
    """
    values = np.asarray(groups, dtype=np.float64)
    apart = np.abs(values - overall).sum() if form == "sum" else values.std()
    return float(overall / (1 + apart))


def correct_by_holm(p: Sequence[float]) -> list[float]:
    """P values corrected so that any false one among them is as rare as the level says.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    corrected = [0.0] * len(p)
    highest = 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = highest
    return corrected


def enough(groups: Mapping[str, str], least: int) -> tuple[dict[str, str], list[str]]:
    """Patient -> group without the groups of fewer than `least` patients, and those groups' names.

    Raises:
        BadCall: fewer than two groups remain.
    """
    sizes = {name: list(groups.values()).count(name) for name in sorted(set(groups.values()))}
    few = [name for name, size in sizes.items() if size < least]
    if len(sizes) - len(few) < 2:
        raise BadCall(
            f"{len(sizes) - len(few)} of {len(sizes)} groups have {least} held-out patients or more; comparing takes two. "
            "Measure more patients, join groups, or say --least N knowing that small groups tell little and may tell whom."
        )
    return {patient: name for patient, name in groups.items() if name not in few}, few


def compare_groups(scores: Mapping[str, Mapping[str, float]], groups: Mapping[str, str]) -> list[Equity]:
    """Every score over the groups; p values are corrected over all scores, widest gaps and pairs apart.

    Args:
        scores: name -> patient -> value. A patient without a value, and one without a group, is left out.
        groups: patient -> group, as `enough` leaves them.

    Raises:
        BadCall: a score has values in fewer than two groups.
    """
    raw = [
        _raw(name, {k: v for k, v in sorted(values.items()) if k in groups}, groups) for name, values in scores.items()
    ]
    widest = correct_by_holm([one.widest.p for one in raw])
    pairs = iter(correct_by_holm([pair.p for one in raw for pair in one.pairs]))
    return [
        Equity(
            one.name, one.mean, one.scaled, one.scaled_by_spread, one.groups,
            _with(one.widest, p), tuple(_with(pair, next(pairs)) for pair in one.pairs),
        )
        for one, p in zip(raw, widest, strict=True)
    ]  # fmt: skip


def _with(gap: Gap, corrected: float) -> Gap:
    return Gap(gap.above, gap.below, gap.size, gap.p, corrected)


def _raw(name: str, values: Mapping[str, float], groups: Mapping[str, str]) -> Equity:
    names = sorted({groups[one] for one in values})
    if len(names) < 2:
        raise BadCall(
            f"'{name}' is scored in {len(names)} of the groups only; comparing takes two. Measure more patients."
        )
    patients = list(values)
    scores = np.array([values[one] for one in patients])
    number = np.array([names.index(groups[one]) for one in patients])
    shown = []
    for at, group in enumerate(names):
        some, whose = scores[number == at], [one for one, of in zip(patients, number, strict=True) if of == at]
        low, high = patient_interval(some, whose)
        shown.append(GroupScore(group, len(some), float(some.mean()), low, high))
    mean, means = float(scores.mean()), [one.mean for one in shown]
    best, worst = int(np.argmax(means)), int(np.argmin(means))
    widest = Gap(names[best], names[worst], means[best] - means[worst], _chance(scores, number), 1.0)
    pairs = []
    for one, other in combinations(range(len(names)), 2):
        above, below = (one, other) if means[one] >= means[other] else (other, one)
        both = np.isin(number, (one, other))
        p = _chance(scores[both], (number[both] == above).astype(np.int64))
        pairs.append(Gap(names[above], names[below], means[above] - means[below], p, 1.0))
    sums = [scale_by_equity(mean, means, "sum"), scale_by_equity(mean, means, "spread")]
    return Equity(name, mean, sums[0], sums[1], tuple(shown), widest, tuple(pairs))


def _chance(scores: Scores, number: npt.NDArray[np.int64]) -> float:
    """Share of ways to deal the patients out in which the widest gap of means is as wide as seen; seed 0.

    Source: permutation test, counting what was seen as one of the ways (Phipson and Smyth 2010).
    """
    sizes = np.bincount(number)
    rng = np.random.default_rng(0)

    def widest(dealt: npt.NDArray[np.int64]) -> float:
        means = np.bincount(dealt, weights=scores, minlength=len(sizes)) / sizes
        return float(means.max() - means.min())

    seen = widest(number) - 1e-12  # sums in another order differ in the last digits
    return (1 + sum(widest(rng.permutation(number)) >= seen for _ in range(PERMUTATIONS))) / (1 + PERMUTATIONS)
