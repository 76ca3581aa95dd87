"""Comparisons in words: which is larger, by how much and whether that is beyond the error; ratios, sums, heartbeats, uptake."""

from __future__ import annotations

import re
from typing import Any

from ...reply import Cite, Statement
from ..asking.wants import Want
from ..turn import Done, Found, Turn, cite, tell
from ..work import at_phase, derivations, masks_of, pair_of
from .phrases import phrase

_SMALL_ML = 15.0  # below it a volume's error is a large share, and the answer says so; our choice


def compared(turn: Turn, want: Want) -> list[Statement]:
    """What was derived for a want, the verdict first."""
    said = _ranked(turn, want)
    if {"compare", "length"} <= set(want.aspects) and not {"volume", "size"} & set(want.aspects):
        said += _longer(turn, want)
    for _want, quantity, masks in (one for one in derivations(turn) if one[0] is want):
        call = turn.with_arguments("derive", quantity=quantity, mask_ids=masks)
        if call is None:
            continue
        if call.is_error:
            said.append(tell(call.text, *cite(call)))
        elif quantity == "difference":
            share = turn.with_arguments("derive", quantity="asymmetry", mask_ids=masks)
            said.append(_difference(turn, call, share, _pair(turn, masks)))
        elif quantity != "asymmetry":
            said += _WORDS[quantity](turn, call, [one for one in turn.found if one.mask_id in masks])
    if not said and set(want.aspects) & {"compare"}:
        said = _longer(turn, want)
    return said


def _ranked(turn: Turn, want: Want) -> list[Statement]:
    """The largest or smallest of three and more."""
    masks = [one for one in at_phase(turn, want) if one.row.get("volume_ml") is not None]
    said = re.search(r"\b(largest|biggest|smallest)\b", turn.task.text)
    if said is None or len(masks) < 3 or "compare" not in want.aspects:
        return []
    order = sorted(masks, key=lambda one: float(one.row["volume_ml"]), reverse=said.group(1) != "smallest")
    rest = ", ".join(f"{one.name} {one.row['volume_ml']:g} ml" for one in order)
    text = f"The {order[0].name} is the {said.group(1)}: {rest}."
    return [tell(text, *_cites(*order))]


def _mass(turn: Turn, call: Done, masks: list[Found]) -> list[Statement]:
    row = call.result["values"][0]
    return [
        tell(
            f"The {masks[0].name} has a mass of {row['value']:.4g} g{_ends(row, ' g')}, {row['formula']}.",
            *cite(call),
            *_cites(*masks),
        )
    ]


def _pair(turn: Turn, masks: list[str]) -> tuple[Found, Found]:
    a, b = (next(one for one in turn.found if one.mask_id == mask) for mask in masks)
    return a, b


def _cites(*founds: Found) -> list[Cite]:
    return [one for found in founds for one in found.cites]


def _difference(turn: Turn, call: Done, share: Done | None, pair: tuple[Found, Found]) -> Statement:
    """Which is larger by how much; the interval of the difference decides whether that is sure."""
    row, (a, b) = call.result["values"][0], pair
    low, high = row.get("low_90"), row.get("high_90")
    is_sure = low is not None and high is not None and (low > 0 or high < 0)
    if row["value"] < 0:
        a, b, low, high = b, a, None if high is None else -high, None if low is None else -low
    percent = ""
    if share is not None and not share.is_error:
        of = " of their mean" if turn.task.language == "en" else ""
        percent = f" ({abs(share.result['values'][0]['value']):.1f} %{of})"
    if row["value"] == 0:
        both = (
            f"the {a.name} measures the same in both scans"
            if a.name == b.name
            else f"the {a.name} and the {b.name} measure the same"
        )
        text = f"Neither is larger: {both}, {a.row.get('volume_ml'):g} ml."
        return tell(text, *cite(call), *_cites(*pair))
    names = (a.name, b.name)
    if names[0] == names[1]:
        names = (f"{a.name} of {a.image_id}", f"{b.name} of {b.image_id}")
    ends = {"low": "unknown" if low is None else f"{low:.4g}", "high": "unknown" if high is None else f"{high:.4g}"}
    text = phrase(
        "larger" if is_sure else "uncertain",
        turn.task.language,
        a=names[0],
        b=names[1],
        gap=f"{abs(row['value']):.4g}",
        share=percent,
        **ends,
    )
    yes = re.search(r"^(?:is|are|did|does|would|was|has)\b", turn.task.text) is not None and turn.task.language == "en"
    if yes and is_sure:
        text = f"{'Yes' if _is_affirmed(turn, a, pair) else 'No'}: {text[0].lower()}{text[1:]}"
    if a.name == b.name and is_sure:
        first = a.image_id == turn.images[0]
        text += f" From the first scan to the second it {'shrank' if first else 'grew'}."
    if max(one.row.get("volume_ml") or 0 for one in pair) < _SMALL_ML:
        text += " Such small organs have large errors."
    if re.search(r"symmetr|diagnos", turn.task.text):
        text += " This is a measurement and no diagnosis."
    return tell(text, *cite(call), *cite(share), *_cites(*pair))


def _is_affirmed(turn: Turn, larger: Found, pair: tuple[Found, Found]) -> bool:
    text = turn.task.text
    if re.search(r"asymmetr|differen|gr[oe]w|chang", text):
        return not re.search(r"gr[oe]w", text) or larger is pair[0]
    if re.search(r"symmetr|same|equal", text):
        return False
    said_smaller = re.search(r"\bsmaller|shorter|less\b", text) is not None
    return (larger is pair[0]) != said_smaller


def _ratio(turn: Turn, call: Done, masks: list[Found]) -> list[Statement]:
    row = call.result["values"][0]
    names = [one["name"].removeprefix("volume of ") for one in row["inputs"]]
    values = ", ".join(f"{one['name'].removeprefix('volume of ')} {one['value']:.4g} ml" for one in row["inputs"])
    percent = (
        f", that is {100 * row['value']:.1f} %"
        if re.search(r"percent|fraction|%|share|proportion", turn.task.text)
        else ""
    )
    text = f"The volume ratio of {names[0]} to {names[1]} is {row['value']:.3g}{_ends(row)}{percent}; {values}."
    return [tell(text, *cite(call), *_cites(*masks))]


def _ends(row: dict[str, Any], unit: str = "") -> str:
    low, high = row.get("low_90"), row.get("high_90")
    return "" if low is None or high is None else f" (90 % interval {low:.4g} to {high:.4g}{unit})"


def _hu(turn: Turn, call: Done, masks: list[Found]) -> list[Statement]:
    row = call.result["values"][0]
    (a, b) = ((one["name"].removeprefix("mean of "), one["value"]) for one in row["inputs"])
    if a[1] < b[1]:
        a, b = b, a
    low, high = row.get("low_90"), row.get("high_90")
    if row["value"] < 0 and low is not None and high is not None:
        low, high = -high, -low
    sure = low is not None and high is not None and (low > 0 or high < 0)
    verdict = f"The {a[0]} is denser than the {b[0]}: {a[1]:.4g} HU against {b[1]:.4g} HU" if sure else (
        f"Which is denser is not certain: {a[0]} {a[1]:.4g} HU, {b[0]} {b[1]:.4g} HU"
    )  # fmt: skip
    text = f"{verdict}, a difference of {abs(row['value']):.4g} HU{_ends({'low_90': low, 'high_90': high}, ' HU')}."
    more = []
    if "ratio" in turn.task.text or "index" in turn.task.text:
        more = [
            tell(
                "A ratio of HU is not given, as HU have no natural zero; contrast would make such an index useless, and it is no verdict on fat."
            )
        ]
    return [tell(text, *cite(call), *_cites(*masks)), *more]


def _sum(turn: Turn, call: Done, masks: list[Found]) -> list[Statement]:
    row = call.result["values"][0]
    names = " and ".join(dict.fromkeys(one.name for one in masks))
    first = next((one for want in turn.task.wants if "sum" in want.aspects for one in masks_of(turn, want)[:1]), None)
    if first is None or any(one.mask_id == first.mask_id for one in masks):
        return [
            tell(f"Together, {names} measure {row['value']:.4g} ml{_ends(row, ' ml')}.", *cite(call), *_cites(*masks))
        ]
    ends = first.row.get("volume_90_ml") or [None, None]
    low, high = row.get("low_90"), row.get("high_90")
    known = None not in (*ends, low, high)
    larger, smaller = known and ends[0] > high, known and ends[1] < low
    verdict = "Yes" if larger else "No" if smaller else "That is not certain"
    word = "larger than" if larger else "smaller than" if smaller else "within the error of"
    text = (
        f"{verdict}: the {first.name}, {first.row['volume_ml']:g} ml, is {word} {names} together, {row['value']:.4g} ml"
        f"{_ends(row, ' ml')}."
    )
    return [tell(text, *cite(call), *_cites(first, *masks))]


def _beat(turn: Turn, call: Done, masks: list[Found]) -> list[Statement]:
    rows = {row["quantity"]: row for row in call.result["values"]}
    row = rows["ejection_fraction"]
    full, empty = row["inputs"]
    name = masks[0].name
    volumes = f"end-diastolic {full['value']:.4g} ml{_ends(full, ' ml')}, end-systolic {empty['value']:.4g} ml{_ends(empty, ' ml')}"
    if "ejection" in {aspect for want in turn.task.wants for aspect in want.aspects}:
        stroke = rows["stroke_volume"]
        text = (
            f"The ejection fraction of the {name} is {row['value']:.3g} %{_ends(row, ' %')}: {volumes}; stroke volume "
            f"{stroke['value']:.4g} ml{_ends(stroke, ' ml')}. Phases were chosen by volume, the largest as end-diastolic."
        )
        return [tell(text, *cite(call), *_cites(*masks)), *_against_said(turn, call, row)]
    text = f"The {name}: {volumes}. Phases were chosen by volume."
    return [tell(text, *cite(call), *_cites(*masks))]


def _against_said(turn: Turn, call: Done, row: dict[str, Any]) -> list[Statement]:
    """A fraction that the question quotes, held against the interval."""
    said = re.search(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?%", turn.question)
    low, high = row.get("low_90"), row.get("high_90")
    if said is None or low is None or high is None:
        return []
    inside = low <= float(said.group(1)) <= high
    text = f"“{said.group(0)}” lies {'inside' if inside else 'outside'} that interval, so the two {'agree' if inside else 'do not agree'}."
    return [tell(text, *cite(call))]


def _uptake(turn: Turn, call: Done, masks: list[Found]) -> list[Statement]:
    rows = {row["quantity"]: row for row in call.result["values"]}
    text = (
        f"SUVmax {rows['suv_max']['value']:.4g}, SUVmean {rows['suv_mean']['value']:.4g}, SUVpeak {rows['suv_peak']['value']:.4g}, "
        f"metabolic volume {rows['mtv']['value']:.4g} ml."
    )
    return [tell(text, *cite(call), *_cites(*masks))]


def _longer(turn: Turn, want: Want) -> list[Statement]:
    """Which of two is longer, by the lengths that were measured."""
    pair = pair_of(turn, want)
    if pair is None or any(one.measured is None or not one.measured.get("diameters") for one in pair):
        return []
    rows = sorted(pair, key=lambda one: -(one.measured or {})["diameters"]["longest_3d_mm"])
    (a, b) = ((one.name, (one.measured or {})["diameters"]) for one in rows)
    way = max(("craniocaudal", "transverse", "anteroposterior"), key=lambda key: a[1].get(f"{key}_mm") or 0)
    text = (
        f"The {a[0]} is longer than the {b[0]}: {a[1]['longest_3d_mm']:g} mm against {b[1]['longest_3d_mm']:g} mm; its longest axis "
        f"runs nearest to {way} ({a[1].get(f'{way}_mm') or 0:g} mm)."
    )
    return [tell(text, *_cites(*rows))]


_WORDS = {
    "ratio": _ratio, "hu_difference": _hu, "sum": _sum, "ejection_fraction": _beat, "suv": _uptake,
    "myocardial_mass": _mass,
}  # fmt: skip


def in_range(turn: Turn, want: Want) -> list[Statement]:
    """Whether structures are larger or smaller than usual, against the range that is on file, or that none is."""
    return [_in_range(turn, one) for one in at_phase(turn, want)]


def _in_range(turn: Turn, found: Found) -> Statement:
    call = turn.with_arguments("assess_mask", mask_id=found.mask_id)
    rows = [] if call is None else call.result.get("checks", [])
    row = next((one for one in rows if one["check"] == "volume" and one.get("value") is not None), None)
    volume = found.row.get("volume_ml")
    known = re.match(r"(?:([\d.]+) to )?(?:at most )?([\d.]+)", row["allowed"]) if row is not None else None
    if row is None or known is None or volume is None:
        text = f"No reference range for the {found.name} is on file, so whether it is enlarged cannot be said"
        return tell(
            f"{text}; it measures {volume:g} ml." if volume is not None else f"{text}.", *cite(call), *found.cites
        )
    low, high = (float(end) if end else 0.0 for end in known.groups())
    ends = found.row.get("volume_90_ml") or (volume, volume)
    small = re.search(r"\bsmall|atroph|shrunk|too little", turn.task.text) is not None
    key = _verdict(volume, (low, high), (float(ends[0]), float(ends[1])), small=small)
    text = phrase(key, turn.task.language, name=found.name, value=f"{volume:g}")
    said = f"{text} The range on file is {row['allowed']}; it is wide, for adults, and knows neither sex, age nor body size."
    if found.row.get("volume_is") == "cut by the edge":
        said += " The scan cuts it, so the volume is of the part inside."
    return tell(said, *cite(call), *found.cites)


def _verdict(volume: float, usual: tuple[float, float], ends: tuple[float, float], *, small: bool) -> str:
    """The key of what is said of a volume, its interval and the usual range."""
    low, high = usual
    if ends[0] > high:
        return "enlarged"
    if ends[1] < low:
        return "small"
    if not low <= volume <= high:
        return "near"
    inside = ends[0] >= low and ends[1] <= high
    return ("not_small" if small else "usual") if inside else "perhaps"
