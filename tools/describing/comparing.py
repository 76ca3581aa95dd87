"""Claims that compare: the largest, the longest, the left-most, the darkest, how many; and how sure the order is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, hypot, log

from ...imaging.masks import relations
from ...imaging.masks.diameters import diameters
from ...imaging.masks.extents import extents
from ...imaging.region import Region, connected
from ...imaging.tubes.calibre import Calibre, calibre
from ...retrieval.descriptions.description import Claim
from .things import Fit, Scene, Thing

# Own choices; each appears in the reasons it produces.
NEAR_EXTREME = 0.05  # of the scan: within this of the left-most, a thing is nearly the left-most
NEAR_SIZE = 0.2  # sizes that differ by less than this are nearly the same
EDGE_MM = 3.0  # error of the distance between two outermost edges; at least one and a half voxels
TIED = 0.99  # share of what is second by less than the error
_UPWARDS = ("largest", "longest", "tallest", "widest", "high")


@dataclass(frozen=True)
class Value:
    """What is compared, greater being more of what is asked for.

    Attributes:
        error: in the same unit; of what is told apart by its ratio, the logarithm of the factor it may be off by.
        by_ratio: sizes and lengths are.
    """

    value: float
    error: float
    by_ratio: bool = False


@dataclass(frozen=True)
class Comparison:
    """One claim among the things that fit all others.

    Attributes:
        values: id of a thing -> its value; missing where it has none.
        band: how far behind a thing is nearly the one asked for, or None where that depends on its size.
    """

    claim: Claim
    rivals: Sequence[Thing]
    values: Mapping[int, Value]
    what: str
    unit: str
    band: float | None

    @classmethod
    def of(cls, claim: Claim, rivals: Sequence[Thing], scene: Scene) -> Comparison:
        """Measure the rivals once."""
        found = {} if claim.kind == "count" else {id(one): _value(claim, one, scene) for one in rivals}
        values = {key: value for key, value in found.items() if value is not None}
        what, unit, band = claim.value, "", None
        place = rivals[0].place if rivals else None
        if place is not None and claim.kind == "extreme":
            direction = relations.axis_of(claim.value, scene.grid, flat=scene.flat)
            what, unit = f"farthest {claim.value}", place.unit
            band = NEAR_EXTREME * place.field[direction[0]] if direction is not None else None
        elif claim.kind == "density_rank":
            what, unit = f"{claim.value} density", "grey values"
            numbers = [value.value for value in values.values()]
            band = 0.1 * (max(numbers) - min(numbers)) if numbers else None
        elif place is not None:
            unit = place.size_unit if claim.value in ("largest", "smallest") else "mm"
        return cls(claim, rivals, values, what, unit, band)

    def fit(self, thing: Thing) -> Fit:
        """How far the claim holds of a thing."""
        if all(thing is not one for one in self.rivals):
            return Fit(self.claim, 0.0, "it does not fit the rest of the description")
        if self.claim.kind == "count":
            found = len(self.rivals)
            share = 1.0 if found == int(self.claim.value) else 0.0
            return Fit(self.claim, share, f"{found} fit the rest, {self.claim.value} described")
        mine = self.values.get(id(thing))
        if mine is None:
            return Fit(self.claim, None, f"how far it is the {self.what} could not be measured")
        return self._among(mine)

    def _among(self, mine: Value) -> Fit:
        """1 for the wanted place in the order, nearly 1 within the error, less for near misses, 0 beyond the band.

        What is equal shares its place, and nothing tells it apart.
        """
        order = sorted(self.values.values(), key=lambda one: -one.value)
        number, count = order.index(mine) + 1, len(order)
        if count < self.claim.rank:
            return Fit(self.claim, 0.0, f"only {count} to compare, number {self.claim.rank} is asked for")
        wanted = order[self.claim.rank - 1]
        missed = abs(mine.value - wanted.value)
        shown = f"number {number} of {count} ({self.what}), {abs(mine.value):.4g} {self.unit}"
        if number == self.claim.rank and sum(one.value == mine.value for one in order) > 1:
            return Fit(self.claim, TIED, f"{shown}, and another just as much", count, True)
        if number == self.claim.rank:
            return Fit(self.claim, 1.0, shown, count)
        off = f"{shown}, {missed:.3g} {self.unit} off"
        error = self._error(mine, wanted)
        if error:
            return Fit(self.claim, TIED, f"{off}, which lies inside the error ({error})", count, True)
        band = self.band or NEAR_SIZE * abs(wanted.value)
        return Fit(self.claim, max(0.0, 0.95 * (1 - missed / band)) if band else 0.0, off, count)

    def _error(self, mine: Value, wanted: Value) -> str:
        """The error of the comparison in words, when it hides the order; "" when it does not. Errors are independent."""
        error = hypot(mine.error, wanted.error)
        if mine.by_ratio and mine.value and wanted.value:
            gap = abs(log(mine.value / wanted.value))
            return f"a factor of {exp(error):.2f}" if gap <= error else ""
        return f"{error:.3g} {self.unit}" if abs(mine.value - wanted.value) <= error else ""


def volume_error(dice: float | None) -> float:
    """Logarithm of the factor a mask's volume may be off by.

    A mask with a Dice of D holds at most (2 - D) / D times the true volume, and at least the inverse: the case that one lies
    wholly in the other. Where no Dice is known, two volumes are told apart from 20 % on.
    """
    if dice is None or dice <= 0:
        return log(1 + NEAR_SIZE) / 2**0.5
    return log((2 - dice) / dice)


def _value(claim: Claim, thing: Thing, scene: Scene) -> Value | None:
    if claim.kind == "extreme":
        direction = relations.axis_of(claim.value, scene.grid, flat=scene.flat)
        if direction is None:
            return None
        voxel = 1.5 * max(scene.grid.spacing_mm) if thing.place.unit == "mm" else 1.5
        error = max(EDGE_MM, voxel) if thing.place.unit == "mm" else voxel
        return Value(thing.place.edge(*direction), error / 2**0.5)
    sign = 1 if claim.value in _UPWARDS else -1
    if claim.kind == "density_rank":
        return Value(sign * thing.grey, scene.grey_error / 2**0.5)
    if claim.value in ("largest", "smallest"):
        return Value(sign * thing.place.size, volume_error(thing.dice), by_ratio=True)
    length = _length(claim.value, thing)
    if length is None:
        return None
    # a body that is too large everywhere by one factor is too long by its third root; a voxel at the ends comes on top
    error = hypot(volume_error(thing.dice) / 3, max(scene.grid.spacing_mm) / length)
    return Value(sign * length, error, by_ratio=True)


def _length(value: str, thing: Thing) -> float | None:
    """How long, tall or wide a thing is in mm; None where it has no such length."""
    parts = connected(Region.of(thing.mask))
    if not parts:
        return None
    if value == "tallest":
        reach = extents(parts[0])
        return None if reach is None else reach.craniocaudal_mm
    tube = calibre(parts[0]) if thing.is_tube else None
    if value in ("widest", "narrowest"):
        if not isinstance(tube, Calibre):
            return None
        narrowest = tube.narrowest
        return tube.widest.diameter_mm if value == "widest" else narrowest.diameter_mm if narrowest else None
    if isinstance(tube, Calibre):
        return tube.length_mm
    found = diameters(parts[0])
    return None if found is None else found.longest_3d_mm
