"""Is a label like those of a cohort? Size, roundness and elongation against the cohort's own spread.

Paper: UKBOB (Bourigault et al., ICCV 2025), arXiv 2504.06908, its filter of organ labels; the released rule (fixed volumes) is not this
one and is left out. A label that stands out is one to look at: a child, a patient without a kidney or with a tumour stands out, too. The
cohort is part of the result, and its shapes must be measured as here, as a mesh's area depends on how it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..errors import BadCall
from ..masks import measures
from ..region import Region
from ..volume import Mask
from .checks import Check, judged, unknown

TAIL = 0.02  # of a cohort, at each end, stands out; Source: arXiv 2504.06908, the best of 0 to 5 %
ENOUGH = 2  # traits of three that must stand out; Source: arXiv 2504.06908
LEAST_LABELS = 50  # our choice: of fewer, 2 % are not one label


@dataclass(frozen=True)
class Traits:
    """What the filter looks at; None where it cannot be measured.

    Attributes:
        volume_share: of the body's volume.
        sphericity: see `measures.Surface`.
        eccentricity: 0 for a ball, towards 1 for what is long or flat: sqrt(1 - least / greatest) of the variances along its axes.
    """

    volume_share: float | None
    sphericity: float | None
    eccentricity: float | None


NAMES = tuple(field.name for field in fields(Traits))


@dataclass(frozen=True)
class Population:
    """What is usual in a cohort.

    Attributes:
        limits: trait -> the values between which all but the tails lie; a trait that was rarely measured is missing.
        labels: how many there were.
        tail: share beyond each end.
    """

    limits: Mapping[str, tuple[float, float]]
    labels: int
    tail: float


@dataclass(frozen=True)
class LabelQuality:
    """One check for each trait."""

    checks: tuple[Check, ...]

    @property
    def stands_out(self) -> bool:
        """At least two traits lie outside; a reason to look again, never to delete."""
        return sum(check.passed is False for check in self.checks) >= ENOUGH


def traits_of(mask: Mask | Region, body_ml: float) -> Traits:
    """Traits of a label.

    Args:
        body_ml: of the part of the body that was scanned, in millilitres.

    Raises:
        BadCall: the body has no volume.
    """
    if not body_ml > 0:
        raise BadCall(f"The body's volume is {body_ml} ml. Give a number above 0.")
    region = Region.of(mask)
    volume, surface = measures.volume_ml(region), measures.surface(region)
    return Traits(
        volume / body_ml if volume else None,
        surface.sphericity if surface else None,
        _eccentricity(region),
    )


def _eccentricity(region: Region) -> float | None:
    if region.box is None or not region.grid.spacing_known or region.voxels < 2:
        return None
    points = np.argwhere(region.array) @ region.axes_mm.T
    least, *_, greatest = np.linalg.eigvalsh(np.cov(points, rowvar=False))
    return float(np.sqrt(1 - max(least, 0.0) / greatest))


def population_of(labels: Sequence[Traits], *, tail: float = TAIL) -> Population:
    """What is usual among labels of one structure.

    Args:
        tail: share of them beyond each end, below a half.

    Raises:
        BadCall: too few labels, or a tail that leaves nothing.
    """
    if len(labels) < LEAST_LABELS:
        raise BadCall(f"{len(labels)} labels say little of what is usual. Give {LEAST_LABELS} or more.")
    if not 0 <= tail < 0.5:
        raise BadCall(f"The tail is {tail}. Give a share from 0 to below 0.5.")
    limits = {}
    for name in NAMES:
        known = [value for one in labels if (value := getattr(one, name)) is not None]
        if len(known) >= LEAST_LABELS:
            low, high = np.quantile(known, (tail, 1 - tail))
            limits[name] = (float(low), float(high))
    return Population(limits, len(labels), tail)


def label_quality(label: Traits, population: Population) -> LabelQuality:
    """How a label compares with a cohort's."""
    return LabelQuality(tuple(_check(name, getattr(label, name), population) for name in NAMES))


def _check(name: str, value: float | None, population: Population) -> Check:
    title = name.replace("_", " ")
    if value is None:
        return unknown(title, "It cannot be measured on this label.")
    if name not in population.limits:
        return unknown(title, "It is not known for the cohort.")
    low, high = population.limits[name]
    middle = 1 - 2 * population.tail
    return judged(
        title,
        value,
        low,
        high,
        said=f"The {title} lies outside the middle {middle:.0%} of {population.labels} labels.",
        source=f"a cohort of {population.labels} labels, {population.tail:.0%} beyond each end",
    )
