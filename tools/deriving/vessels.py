"""Quantities across a vessel's centre line: diameters, and how narrow it is."""

from __future__ import annotations

from ...imaging.derived.estimates import Estimate
from ...imaging.derived.vessels import diameter_by_border, diameters, stenosis
from ...imaging.errors import BadCall
from ...imaging.region import Region
from .given import Asked, Found, Given, row
from .results import InputRow

_WALLS = "both walls within half a voxel"
_CIRCLE = "diameter of the circle with the area of a cut at right angles to the centre line"


def vessel_diameters(asked: Asked) -> Found:
    """Narrowest, median and widest diameter of a vessel or airway, and its length, mm."""
    (vessel,) = asked.masks(1, 1, "one mask of a vessel or airway")
    found = diameters(vessel.region)
    sizes = [("median_diameter", found.median_mm, "median over its length")]
    if found.narrowest is not None:
        sizes.append(("narrowest_diameter", found.narrowest.diameter_mm, _at("narrowest", found.narrowest.point_mm)))
    sizes.append(("widest_diameter", found.widest.diameter_mm, _at("widest", found.widest.point_mm)))
    rows = [
        row(name, diameter_by_border(mm, vessel.region), "mm", formula=f"{_CIRCLE}, {where}", inputs=[], uncertainty=f"Of {_WALLS}.")
        for name, mm, where in sizes
    ]  # fmt: skip
    length = Estimate(found.length_mm)
    rows.append(
        row("length", length, "mm", formula="along the longest centre line", inputs=[], uncertainty="None given.")
    )
    thin = [] if found.narrowest else ["It is somewhere thinner than two voxels, so no narrowest diameter is given."]
    return Found(rows, thin)


def degree_of_stenosis(asked: Asked) -> Found:
    """How much narrower than a healthy stretch a vessel is, % of diameter."""
    vessel, *healthy = asked.masks(1, 2, "the vessel's mask, then that of a healthy stretch (or reference_mm)")
    found = diameters(vessel.region)
    if found.narrowest is None:
        raise BadCall(
            "The lumen is somewhere thinner than two voxels: its diameter, so a degree, cannot be given. Use a finer scan."
        )
    narrow = diameter_by_border(found.narrowest.diameter_mm, vessel.region)
    inputs = [vessel.as_input(_at("narrowest diameter", found.narrowest.point_mm), narrow, "mm")]
    warnings = [
        "A narrowing shorter than the vessel is wide comes out milder: diameters are medians over half a radius."
    ]
    if healthy and asked.reference_mm is not None:
        raise BadCall("Both a healthy stretch and reference_mm are given. Give one of them.")
    if asked.reference_mm is not None:
        reference = Estimate(asked.reference_mm, asked.reference_mm, asked.reference_mm)
        inputs.append(InputRow(name="reference diameter, as given", value=asked.reference_mm, unit="mm"))
    elif healthy:
        reference = _median(healthy[0], healthy[0].region)
        inputs.append(healthy[0].as_input("median diameter of the healthy stretch", reference, "mm"))
    else:
        reference = diameter_by_border(found.median_mm, vessel.region)
        inputs.append(vessel.as_input("the vessel's own median diameter", reference, "mm"))
        warnings.insert(
            0,
            "Not NASCET: the reference is the vessel's own median diameter, not a normal stretch beyond the narrowing.",
        )
    degree = row(
        "stenosis",
        stenosis(narrow, reference),
        "%",
        formula="(1 - narrowest / reference diameter) x 100 (NASCET-like)",
        inputs=inputs,
        uncertainty=f"Propagated, errors taken as independent ({_WALLS}).",
    )
    if degree.value < 0:
        raise BadCall(
            f"The reference of {reference.value:.2f} mm is narrower than the vessel's narrowest {narrow.value:.2f} mm, so there is "
            "no stenosis against it. Give a healthy stretch of the same vessel."
        )
    return Found([degree], warnings)


def _median(one: Given, region: Region) -> Estimate:
    return diameter_by_border(diameters(region).median_mm, region)


def _at(what: str, point_mm: tuple[float, float, float]) -> str:
    return f"{what} at {', '.join(f'{value:.0f}' for value in point_mm)} mm (RAS+)"
