"""A size a report tells, against the measurement it speaks of: along the body, across a vessel, or the longest there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from ...retrieval.reports.directions import NOWHERE, Direction
from ...retrieval.reports.findings import Finding
from ..desk.results import Lengths
from .results import Evidence, Judgement

# Two readings of one length agree when they differ by less than this: what RECIST 1.1 calls a change
# (20 % and 5 mm). Source: Eisenhauer et al. 2009, Eur J Cancer 45:228, section 4.3.
TOLERANCE_SHARE, TOLERANCE_MM = 0.2, 5.0
_NAMES = {"length": "long", "short": "on its short axis"}


@dataclass(frozen=True)
class _Measured:
    """One length, or where a tube is of many widths the range of them, mm."""

    low: float
    high: float
    what: str = ""

    def __str__(self) -> str:
        size = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return f"{size} mm{' ' if self.what else ''}{self.what}"


def judge_length(finding: Finding, row: Evidence) -> tuple[Judgement, str] | None:
    """The judgement on a finding's size and its reason; None when the report tells no size.

    A size told along the body is compared with that extent, a vessel's with its width across the centre line, two or three
    dimensions with as many at right angles, a single one with the longest in space, in a slice, or from feet to head.
    """
    if finding.size_mm is None:
        return None
    said = " x ".join(f"{mm:g}{_name(way)}" for mm, way in _said(finding))
    ways = [way for way in _ways(finding, row) if way]
    if not ways:
        return "cannot_tell", f"{_unmeasured(finding, row)}; the report says {said} mm."
    best = min(ways, key=lambda way: max(_excess(finding, n, one) for n, one in enumerate(way)))
    shown = " or ".join(dict.fromkeys(" x ".join(str(one) for one in way) for way in ways))
    agrees = all(_excess(finding, n, one) <= 1 for n, one in enumerate(best))
    if row.is_cut and not (agrees and _is_width(finding, row)):  # inside the scan a tube is as wide as it is
        return "cannot_tell", f"the edge of the scan cuts it: {shown} is of the part inside, the report says {said} mm."
    if not agrees and row.parts and not finding.lesion:
        return "cannot_tell", f"its mask is in {len(row.parts)} parts, the report says {said} mm, measured {shown}."
    allowed = ", ".join(dict.fromkeys(f"{_allowed(mm):g} mm" for mm, _way in _said(finding)[: len(best)]))
    words = "size agrees" if agrees else "size outside tolerance"
    return (
        "supported" if agrees else "contradicted",
        f"{words}: the report says {said} mm, measured {shown} (tolerance {allowed}).",
    )


def _said(finding: Finding) -> list[tuple[float, Direction]]:
    """The numbers that are compared: every dimension of one size, the longest of several sizes."""
    along = finding.along or (NOWHERE,) * len(finding.sizes_mm)
    numbers = list(zip(finding.sizes_mm, along, strict=True))
    return numbers if any(along) else numbers[: finding.dimensions]


def _name(way: Direction) -> str:
    return f" ({_NAMES.get(way, way)})" if way else ""


def _allowed(said: float) -> float:
    return max(TOLERANCE_MM, TOLERANCE_SHARE * said)


def _excess(finding: Finding, number: int, measured: _Measured) -> float:
    """How far off a length is, in tolerances; 0 within a range or on the right side of a bound."""
    said = _said(finding)[number][0]
    away = max(measured.low - said, said - measured.high, 0.0)
    if (finding.bound == "at most" and measured.high <= said) or (
        finding.bound == "at least" and measured.high >= said
    ):
        away = 0.0
    return away / _allowed(said)


def _unmeasured(finding: Finding, row: Evidence) -> str:
    told = [_NAMES.get(way, way) for _mm, way in _said(finding) if way]
    what = f"how far the {row.structure} reaches {' and '.join(told)}" if told else f"the {row.structure}"
    return " ".join([f"{what} could not be measured in mm.", *row.no_length]).rstrip(".")


def _ways(finding: Finding, row: Evidence) -> Iterator[tuple[_Measured, ...]]:
    """What the said numbers may be compared with, as many lengths each; () where something is missing."""
    said = _said(finding)
    if _is_width(finding, row):
        yield from _tube(row, len(said))
        return
    for lengths in _parts(row):
        if any(way for _mm, way in said):
            each = [one for _mm, way in said if (one := _along(way, lengths, row)) is not None]
            yield tuple(each) if len(each) == len(said) else ()
        elif len(said) == 1:
            longest = (lengths.longest_3d_mm, lengths.longest_axial_mm, lengths.craniocaudal_mm)
            yield from ((_Measured(mm, mm),) for mm in longest if mm is not None)
        else:
            yield from _together(lengths, len(said))


def _is_width(finding: Finding, row: Evidence) -> bool:
    """Whether the report tells how wide a vessel or airway is, and not how long."""
    return row.is_tube and not any(way in ("craniocaudal", "length") for _mm, way in _said(finding))


def _parts(row: Evidence) -> Sequence[Lengths | Evidence]:
    return row.parts or [row]


def _tube(row: Evidence, count: int) -> Iterator[tuple[_Measured, ...]]:
    """The width of a tube across its centre line: from its narrowest to its widest, or the widest section's two lines."""
    across = row.across
    if across is None:
        return
    low = across.narrowest_mm if across.narrowest_mm is not None else across.median_mm
    if count == 1:
        yield (_Measured(low, max(across.widest_mm, low), "across its centre line"),)
    elif count == 2:
        lines = (across.widest_longest_mm, across.widest_perpendicular_mm)
        yield tuple(_Measured(min(low, mm), mm, "across its centre line") for mm in lines)


def _along(way: Direction, lengths: Lengths | Evidence, row: Evidence) -> _Measured | None:
    """A length along one direction; None where it could not be measured."""
    if way == "length" and row.across is not None:
        return _Measured(row.across.length_mm, row.across.length_mm, "along its centre line")
    choices = {
        "": (lengths.perpendicular_mm, lengths.longest_3d_mm),
        "length": (lengths.longest_3d_mm, lengths.craniocaudal_mm),
        "short": (lengths.perpendicular_mm,),
        "craniocaudal": (lengths.craniocaudal_mm,),
        "transverse": (lengths.transverse_mm,),
        "anteroposterior": (lengths.anteroposterior_mm,),
    }
    known = [mm for mm in choices[way] if mm is not None]
    return _Measured(min(known), max(known), _NAMES.get(way, way)) if known else None


def _together(lengths: Lengths | Evidence, count: int) -> Iterator[tuple[_Measured, ...]]:
    """Two or three lengths at right angles, the longest first: in a slice, along the body, in a slice and from feet to head."""
    in_slice = (lengths.longest_axial_mm, lengths.perpendicular_mm)
    body = (lengths.craniocaudal_mm, lengths.transverse_mm, lengths.anteroposterior_mm)
    for some in (in_slice, *combinations(body, count), (*in_slice, lengths.craniocaudal_mm)):
        known = sorted((mm for mm in some if mm is not None), reverse=True)
        if len(known) == len(some) == count:
            yield tuple(_Measured(mm, mm) for mm in known)
