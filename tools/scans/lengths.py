"""Lengths of a mask as `measure` gives them: of each connected part for itself, along the body, and across vessels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...imaging.masks import measures
from ...imaging.masks.extents import extents
from ...imaging.masks.followup import LEAST_VOXELS, SPECK_MM
from ...imaging.region import Region, connected
from ...imaging.tubes.calibre import Calibre as Found
from ...imaging.tubes.calibre import Section, calibre
from ...store.records import MaskRecord
from ..desk.desk import Desk
from ..desk.doubts import knows_directions
from ..desk.results import Across, Lengths, PartRow

MOST_PARTS = 12  # measured; the others are counted
_MOST_TUBES = 2  # parts of a vessel that are measured across: both of a pair
NO_DIRECTION = "The file tells no orientation, so no length is named craniocaudal, transverse or anteroposterior."


@dataclass(frozen=True)
class Measured:
    """Lengths of a mask.

    Attributes:
        lengths, across: of the largest part; across only of vessels, airways and bile ducts.
        parts: every part when there are several, largest first.
        reasons: what was left out, one sentence each.
    """

    lengths: Lengths | None = None
    across: Across | None = None
    parts: tuple[PartRow, ...] = ()
    reasons: tuple[str, ...] = ()


def measured_lengths(desk: Desk, record: MaskRecord, region: Region) -> Measured:
    """Lengths of a mask's parts, never from one part to another; nothing without voxels or voxel size."""
    if region.box is None or not region.grid.spacing_known:
        return Measured()
    row = desk.table.get(record.structure) if record.structure else None
    named = knows_directions(desk.store.image(record.image_id))
    whole = connected(region)
    clear = [part for part in whole if part.voxels >= LEAST_VOXELS] or whole[:1]
    lengths = [_lengths(part, named=named) for part in clear[:MOST_PARTS]]
    kept = [n for n, one in enumerate(lengths) if one.longest_3d_mm >= SPECK_MM] or [0]
    more = len(clear) - len(lengths)
    reasons = ["" if named else NO_DIRECTION, _left_out(len(kept), more, len(whole) - len(kept) - more)]
    rows = []
    for n in kept:
        large = clear[n].voxels >= clear[0].voxels / 2  # a crumb in the middle is not both organs
        if named and large and row is not None and row.side == "both" and measures.holds_both_sides(clear[n]):
            reasons.append(f"One part seems to hold both of the {row.name}, so it has no lengths: measure the halves.")
            rows.append(_part(clear[n], None, None, named=named))
            continue
        is_tube = row is not None and desk.table.is_tube(row.name) and len(rows) < _MOST_TUBES
        across, why = _across(clear[n]) if is_tube else (None, "")
        reasons.append(why)
        rows.append(_part(clear[n], lengths[n], across, named=named))
    said = tuple(reason for reason in reasons if reason)
    return Measured(rows[0].lengths, rows[0].across, tuple(rows) if len(rows) > 1 else (), said)


def _left_out(kept: int, more: int, specks: int) -> str:
    small = [f"{more} smaller parts"] if more else []
    small += [f"{specks} speck{'s' if specks > 1 else ''} below {SPECK_MM:g} mm"] if specks else []
    apart = f"{kept} parts are measured each for itself. " if kept > 1 else ""
    return f"{apart}Left out: {' and '.join(small)}." if small else apart.strip()


def _lengths(part: Region, *, named: bool) -> Lengths:
    found, reach = measures.diameters(part), extents(part) if named else None
    assert found is not None
    along = {} if reach is None else {name: None if v is None else round(v, 2) for name, v in vars(reach).items()}
    return Lengths(
        longest_axial_mm=round(found.longest_axial_mm, 2),
        perpendicular_mm=round(found.perpendicular_mm, 2),
        longest_3d_mm=round(found.longest_3d_mm, 2),
        slice_index=found.slice_index,
        **along,
    )


def _across(part: Region) -> tuple[Across | None, str]:
    """Diameters of a tube, or why there are none."""
    found = calibre(part)
    if not isinstance(found, Found):
        return None, found.reason
    return Across(
        narrowest_mm=None if found.narrowest is None else round(found.narrowest.diameter_mm, 2),
        median_mm=round(found.median_mm, 2),
        widest_mm=round(found.widest.diameter_mm, 2),
        widest_longest_mm=round(found.longest_mm, 2),
        widest_perpendicular_mm=round(found.perpendicular_mm, 2),
        narrowest_at_mm=None if found.narrowest is None else _at(found.narrowest),
        widest_at_mm=_at(found.widest),
        length_mm=round(found.length_mm, 1),
        branches=found.branches,
    ), ""


def _at(section: Section) -> list[float]:
    return [round(value, 1) for value in section.point_mm]


def _part(part: Region, lengths: Lengths | None, across: Across | None, *, named: bool) -> PartRow:
    volume = measures.volume_ml(part)
    side = measures.side(part) if named else None
    return PartRow(
        voxels=part.voxels,
        volume_ml=None if volume is None else round(volume, 3),
        side=side,
        lengths=lengths,
        across=across,
    )


def _longest(row: PartRow) -> float:
    return row.lengths.longest_3d_mm if row.lengths else 0.0


def said_lengths(lengths: Lengths | None, across: Across | None, parts: Sequence[PartRow]) -> str:
    """Lengths in a few words; "" where there are none."""
    if across is not None and len(parts) < 2:
        return f"{across.median_mm:g} mm across its centre line (at its widest {across.widest_mm:g} mm)"
    parts = sorted(parts, key=_longest, reverse=True)
    shown = [row.across.widest_mm if row.across else row.lengths.longest_3d_mm for row in parts if row.lengths]
    if len(shown) > 1:
        what = "at their widest" if all(row.across for row in parts) else "longest"
        more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
        return f"{len(parts)} parts, {what} {', '.join(f'{mm:g}' for mm in shown[:4])} mm{more}"
    if lengths is None:
        return ""
    tall = "" if lengths.craniocaudal_mm is None else f", {lengths.craniocaudal_mm:g} mm craniocaudally"
    return f"{lengths.longest_axial_mm:g} x {lengths.perpendicular_mm:g} mm axial{tall}"
