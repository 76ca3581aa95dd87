"""Quantities made of volumes: hearts, pairs, sums, growth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date

import numpy as np

from ...imaging.derived import volumes
from ...imaging.derived.estimates import Estimate, volume_by_border
from ...imaging.errors import BadCall
from ...imaging.plausibility.priors import side_of
from ...imaging.region import Region, slices
from ...imaging.volume import Mask
from .given import BORDER, CALIBRATED, Asked, Found, Given, by_intervals, one_patient, row
from .results import InputRow

_STUDY_DATE = "00080020"
_BRAIN = ("lateral", "third", "fourth")
TWO = "two masks"


def ejection_fraction(asked: Asked) -> Found:
    """EF (%), then stroke volume (ml), of one chamber of the heart."""
    return _beat(asked)


def stroke_volume(asked: Asked) -> Found:
    """Stroke volume (ml), then EF (%)."""
    found = _beat(asked)
    return Found(found.rows[::-1], found.warnings)


def _beat(asked: Asked) -> Found:
    masks = asked.masks(2, 100, "masks of one ventricle in at least two phases, each on its own image")
    warnings = _chamber(masks)
    if len({one.image.content_hash for one in masks}) < len(masks):
        raise BadCall(
            "Two of the masks lie on the same image, so on one phase. Open and segment each phase for itself."
        )
    full, empty = (choose(masks, key=lambda one: one.volume.value) for choose in (max, min))
    if full.volume.value == empty.volume.value:
        raise BadCall(
            "All masks are of the same volume, so they show no beat. Give an end-diastolic and an end-systolic one."
        )
    inputs = [
        full.as_input("end-diastolic volume (the largest)", full.volume, "ml"),
        empty.as_input("end-systolic volume (the smallest)", empty.volume, "ml"),
    ]
    rows = [
        row(name, derive(full.volume, empty.volume), unit, formula=f"{formula}, phases chosen by volume", inputs=inputs,
            uncertainty=by_intervals([full, empty]))
        for name, derive, unit, formula in (
            ("ejection_fraction", volumes.ejection_fraction, "%", "(EDV - ESV) / EDV x 100"),
            ("stroke_volume", volumes.stroke_volume, "ml", "EDV - ESV"),
        )
    ]  # fmt: skip
    return Found(rows, [*warnings, *one_patient(masks)])


def myocardial_mass(asked: Asked) -> Found:
    """Mass of heart muscle, g."""
    (muscle,) = asked.masks(1, 1, "one mask of the myocardium")
    found = row(
        "myocardial_mass",
        volumes.myocardial_mass(muscle.volume),
        "g",
        formula=f"volume x {volumes.MYOCARDIUM_G_PER_ML} g/ml",
        inputs=[muscle.as_input("volume", muscle.volume, "ml")],
        uncertainty=by_intervals([muscle]),
    )
    return Found([found], _named([muscle], lambda name: "myocardium" in name, "the myocardium"))


def asymmetry(asked: Asked) -> Found:
    """Difference of two volumes in % of their mean."""
    first, second = asked.masks(2, 2, TWO)
    sides = [side_of(one.record.structure or "") for one in (first, second)]
    if sides == ["right", "left"]:
        first, second, sides = second, first, sides[::-1]
    formula = "(left - right)" if sides == ["left", "right"] else "(first - second)"
    return _of_two(asked, first, second, volumes.asymmetry, "%", f"{formula} / mean of both x 100")


def ratio(asked: Asked) -> Found:
    """How many times the second volume the first is."""
    first, second = asked.masks(2, 2, TWO)
    return _of_two(asked, first, second, volumes.ratio, "", "first volume / second volume")


def difference(asked: Asked) -> Found:
    """The first volume less the second, ml."""
    first, second = asked.masks(2, 2, TWO)
    return _of_two(asked, first, second, volumes.difference, "ml", "first volume - second volume")


def _of_two(
    asked: Asked, first: Given, second: Given, derive: Callable[..., Estimate], unit: str, formula: str
) -> Found:
    inputs = [one.as_input(f"volume of {one.name}", one.volume, "ml") for one in (first, second)]
    name = derive.__name__
    both = [first, second]
    found = row(
        name, derive(first.volume, second.volume), unit, formula=formula, inputs=inputs, uncertainty=by_intervals(both)
    )
    return Found([found], one_patient(both))


def volume_sum(asked: Asked) -> Found:
    """Volume of masks together, ml, voxels of several counted once."""
    masks = asked.masks(2, 100, "two or more masks of one image")
    if len({one.record.image_id for one in masks}) > 1:
        raise BadCall(
            "The masks belong to different images, so what they share cannot be counted once. Give masks of one image."
        )
    array = np.zeros(masks[0].image.grid.shape, dtype=np.bool_)
    for one in masks:
        if one.region.box is not None:
            array[slices(one.region.box)] |= one.region.array
    together = volume_by_border(Region.of(Mask(array, masks[0].image.grid)))
    shared = sum(one.volume.value for one in masks) - together.value
    uncertainty = f"Of their common border: {BORDER}."
    if all(one.interval_is == CALIBRATED for one in masks):
        low, high = (sum(end or 0.0 for end in ends) - shared for ends in zip(*map(_ends, masks), strict=True))
        together = Estimate(together.value, max(0.0, low), high)
        uncertainty = f"The ends of each mask's interval added up, less what they share, as errors may go together ({CALIBRATED})."
    inputs = [one.as_input(f"volume of {one.name}", one.volume, "ml") for one in masks]
    once = f"{shared:.3f} ml that several share counted once" if round(shared, 3) > 0 else "they share nothing"
    formula = f"volume of all masks together; {once}"
    return Found([row("sum", together, "ml", formula=formula, inputs=inputs, uncertainty=uncertainty)])


def _ends(one: Given) -> tuple[float | None, float | None]:
    return one.volume.low, one.volume.high


def doubling_time(asked: Asked) -> Found:
    """Days in which a volume doubles at the pace between two scans."""
    before, after = asked.masks(2, 2, "two masks, the earlier scan's first")
    names = [one.record.structure for one in (before, after)]
    if all(names) and names[0] != names[1]:
        raise BadCall(f"The masks are of {names[0]} and {names[1]}. Growth is that of one structure or lesion.")
    if before.image.content_hash == after.image.content_hash:
        raise BadCall("Both masks lie on the same scan, in which nothing has grown. Give masks of two scans.")
    days, said = _days(asked, before, after)
    found = volumes.doubling_time(before.volume, after.volume, days)
    inputs = [
        before.as_input("volume before", before.volume, "ml"),
        after.as_input("volume after", after.volume, "ml"),
        InputRow(name=f"time between, {said}", value=days, unit="days"),
    ]
    warnings = one_patient([before, after])
    if found.value < 0:
        warnings.insert(0, "It shrinks: the number is the time in which it halves, with a minus.")
    if (found.low is None) != (found.high is None):
        warnings.insert(0, "The change lies within the error of both volumes: it may not grow or shrink at all.")
    formula = "days x ln 2 / ln(volume after / volume before)"
    uncertainty = by_intervals([before, after])
    return Found(
        [row("doubling_time", found, "days", formula=formula, inputs=inputs, uncertainty=uncertainty)], warnings
    )


def _days(asked: Asked, before: Given, after: Given) -> tuple[float, str]:
    """Days between two scans, and who said so."""
    if asked.days is not None:
        return asked.days, "as given"
    if asked.dates:
        if len(asked.dates) != 2:
            raise BadCall(f"{len(asked.dates)} dates were given. Two are needed, the earlier scan's first.")
        try:
            first, second = (date.fromisoformat(text) for text in asked.dates)
        except ValueError:
            raise BadCall(
                "A date is not written as YYYY-MM-DD. Write e.g. dates=['2024-01-31', '2024-04-30']."
            ) from None
        return float((second - first).days), "from the dates given"
    known = [_study_date(one) for one in (before, after)]
    if known[0] is None or known[1] is None:
        raise BadCall(
            "The time between the scans is not known: not both headers hold a study date. Pass days, or dates as YYYY-MM-DD."
        )
    return float((known[1] - known[0]).days), "from the headers' study dates"


def _study_date(one: Given) -> date | None:
    source = one.desk.store.sources.get(one.record.image_id)
    if source is None or source.made_up:
        return None
    text = str((source.study.get(_STUDY_DATE, {}).get("Value") or [""])[0])
    with suppress(ValueError):
        return date.fromisoformat(text)
    return None


def _chamber(masks: Sequence[Given]) -> list[str]:
    """Check that all masks are of one chamber of the heart; what to say where their names do not tell."""
    names = {one.record.structure for one in masks} - {None}
    if len(names) > 1:
        raise BadCall(
            f"The masks are of {' and '.join(sorted(map(str, names)))}. Give masks of one chamber in several phases."
        )

    def is_chamber(name: str) -> bool:
        chamber = any(word in name for word in ("ventricle", "atrium", "ventricular cavity"))
        return chamber and "myocardium" not in name and not any(word in name for word in _BRAIN)

    return _named(masks, is_chamber, "a chamber of the heart")


def _named(masks: Sequence[Given], fits: Callable[[str], bool], what: str) -> list[str]:
    """Refuse masks of something else; what to say of masks without a name."""
    for one in masks:
        if one.record.structure and not fits(one.record.structure):
            raise BadCall(f"{one.record.mask_id} is of the {one.record.structure}, not of {what}. Segment {what}.")
    return [
        f"{one.record.mask_id} has no name: that it shows {what} was not checked."
        for one in masks
        if not one.record.structure
    ]
