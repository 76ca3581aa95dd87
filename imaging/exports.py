"""Masks into files of any format, each read back from disk and compared before it counts as written.

The formats load their libraries when they are used, so that a server starts without them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from .dicom.source import DicomSource
from .errors import Failed
from .formats.segments import Receipt, Segment, array_on, receipt, split_overlapping
from .formats.table import Format, loaded, mask_format
from .guards.atomic import sweep
from .guards.withheld import withhold_header_values
from .volume import BoolArray, Grid, Mask

_LOWEST_DICE = 0.95  # below it an outline or surface has lost the mask, and the file is not left behind


@dataclass(frozen=True)
class Written:
    """One mask in a file, and how it came back."""

    mask_id: str
    path: Path
    receipt: Receipt


def write_masks(
    folder: Path,
    segments: Sequence[Segment],
    grid: Grid,
    *,
    format: str,
    source: DicomSource,
    synthetic: bool = False,
    report: Callable[[float, str], None] = lambda share, message: None,
) -> list[Written]:
    """Write masks of one scan and read them back; temporary files that a killed export left in the folder are removed.

    Args:
        folder: exists; files of the same masks are replaced.
        grid: of the scan; every mask must lie on it.
        format: one of `format_table.MASK_FORMATS`.
        source: of the scan, for formats of DICOM.
        report: hears the share done and a word about it.

    Raises:
        BadCall: the format cannot hold the grid, or a mask lies elsewhere.
        Failed: a file came back as something else than was written; it is removed.
    """
    withhold_header_values()
    sweep(folder)
    row = mask_format(format)
    if not row.together:
        groups = [[segment] for segment in segments]
    else:
        groups = [list(segments)] if row.overlap else split_overlapping(segments, grid)
    written: list[Written] = []
    for number, group in enumerate(groups):

        def told(share: float, message: str, done: int = number) -> None:
            report((done + share) / len(groups), message)

        written += _one_file(folder, group, grid, row, source, synthetic, told)
    return written


def file_names(segments: Sequence[tuple[str, str]], format: str) -> list[str]:
    """Names of the files that these masks of one scan (label, handle) are written to.

    Overlapping masks, which a DICOM segmentation takes apart into several files, are not told apart here.
    """
    row = mask_format(format)
    if row.together:
        return [f"{_group_name(segments, format)}{row.endings[0]}"]
    return [f"{file_name(label, mask_id)}{row.endings[0]}" for label, mask_id in segments]


def file_name(label: str, mask_id: str) -> str:
    """Structure and handle, safe for any file system."""
    return f"{re.sub(r'[^a-z0-9]+', '_', label.lower()).strip('_')[:60] or 'mask'}_{mask_id}"


def _one_file(
    folder: Path,
    segments: Sequence[Segment],
    grid: Grid,
    row: Format,
    source: DicomSource,
    synthetic: bool,
    report: Callable[[float, str], None],
) -> list[Written]:
    path = folder / file_names([(segment.label, segment.mask_id) for segment in segments], row.name)[0]
    if not row.together:
        array_on(segments[0], grid)
    report(0.05, f"writing {path.name}")
    code = loaded(row.masks)
    warnings = code.write_masks(path, segments, grid, source=source, synthetic=synthetic)
    try:
        back = code.read_masks(path, segments, grid)
    except Failed as error:
        _give_up(path, str(error))
    if len(back) != len(segments):
        _give_up(path, f"holds {len(back)} of {len(segments)} masks")
    made_up: tuple[str, ...] = ()
    if source.made_up and ".dcm" in row.endings:
        made_up = ("The scan was no DICOM: the file belongs to a study made up for it.",)
    written = []
    for number, (segment, read) in enumerate(zip(segments, back, strict=True)):
        notes = (*warnings.get(segment.mask_id, ()), *made_up)
        written.append(Written(segment.mask_id, path, _judged(path, segment.load(), read(), row, notes)))
        report(0.5 + (number + 1) / len(segments) / 2, f"compared {segment.label}")
    return written


def _group_name(segments: Sequence[tuple[str, str]], format: str) -> str:
    if len(segments) == 1:
        return f"{format}_{file_name(*segments[0])}"
    key = hashlib.sha256("\n".join(mask_id for _, mask_id in segments).encode()).hexdigest()
    return f"{format}_{len(segments)}_masks_{key[:12]}"


def _judged(path: Path, mask: Mask, back: BoolArray, row: Format, notes: tuple[str, ...]) -> Receipt:
    found = receipt(mask, back, warnings=notes)
    if found.dice < (1.0 if row.exact else _LOWEST_DICE):
        _give_up(path, f"reads back with Dice {found.dice:.4f} to the mask")
    if found.dice < 1:
        extra = f"Outlines are not exact: Dice {found.dice:.4f} to the mask when read back."
        return replace(found, warnings=(*found.warnings, extra))
    return found


def _give_up(path: Path, why: str) -> NoReturn:
    path.unlink(missing_ok=True)
    raise Failed(f"'{path.name}' {why}. It was removed. Use another format.")


def smallest_dice(written: Sequence[Written]) -> float:
    """Worst agreement of an export."""
    return min(row.receipt.dice for row in written)


def largest_offset_mm(written: Sequence[Written]) -> float | None:
    """Largest centroid offset of an export; None when none could be measured."""
    found = [row.receipt.centroid_offset_mm for row in written if row.receipt.centroid_offset_mm is not None]
    return float(np.max(found)) if found else None
