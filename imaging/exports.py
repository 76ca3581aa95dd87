"""Masks into files of any format, each read back from disk and compared before it counts as written.

The formats load their libraries when they are used, so that a server starts without them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from .dicom_source import DicomSource
from .errors import Failed
from .segments import Receipt, Segment, receipt
from .volume import BoolArray, Grid, Mask

Format = Literal["nifti", "nrrd", "dicom_seg", "rtstruct", "stl"]
FORMATS: tuple[str, ...] = get_args(Format)
_ENDINGS = {"nifti": ".nii.gz", "nrrd": ".nrrd", "stl": ".stl"}
_EXACT = ("nifti", "nrrd", "dicom_seg")
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
    format: Format,
    source: DicomSource,
    synthetic: bool = False,
    report: Callable[[float, str], None] = lambda share, message: None,
) -> list[Written]:
    """Write masks of one scan and read them back.

    Args:
        folder: exists; files of the same masks are replaced.
        grid: of the scan; every mask must lie on it.
        source: of the scan, for formats of DICOM.
        report: hears the share done and a word about it.

    Raises:
        BadCall: the format cannot hold the grid, or a mask lies elsewhere.
        Failed: a file came back as something else than was written; it is removed.
    """
    written: list[Written] = []
    groups = [list(segments)]
    if format == "dicom_seg":
        from .dicom_seg import split_overlapping

        groups = split_overlapping(segments, grid)
    for group in groups:
        if format in ("dicom_seg", "rtstruct"):
            written += _together(folder, group, grid, format, source, synthetic, report)
        else:
            for number, segment in enumerate(group):
                written.append(_alone(folder, segment, grid, format, synthetic))
                report((number + 1) / len(group), f"wrote {written[-1].path.name}")
    return written


def file_names(segments: Sequence[tuple[str, str]], format: str) -> list[str]:
    """Names of the files that these masks of one scan (label, handle) are written to.

    Overlapping masks, which a DICOM segmentation takes apart into several files, are not told apart here.
    """
    if format in _ENDINGS:
        return [f"{file_name(label, mask_id)}{_ENDINGS[format]}" for label, mask_id in segments]
    return [f"{_group_name(segments, format)}.dcm"]


def file_name(label: str, mask_id: str) -> str:
    """Structure and handle, safe for any file system."""
    return f"{re.sub(r'[^a-z0-9]+', '_', label.lower()).strip('_')[:60] or 'mask'}_{mask_id}"


def _alone(folder: Path, segment: Segment, grid: Grid, format: str, synthetic: bool) -> Written:
    mask = segment.load()
    _check_grid(mask, grid, segment)
    path = folder / file_names([(segment.label, segment.mask_id)], format)[0]
    if format == "stl":
        from .stl import read_stl, voxelise, write_stl

        write_stl(path, mask, synthetic=synthetic)
        back = voxelise(read_stl(path), grid)
    else:
        from .files import read_image, write_volume

        write_volume(path, mask.array, grid, synthetic=synthetic)
        volume = read_image(path, modality="unknown").volume
        if volume is None or not volume.grid.same_as(grid):
            _give_up(path, "reads back on another grid than it was written on")
        assert volume is not None
        back = volume.array > 0
    return Written(segment.mask_id, path, _judged(path, mask, back, format, ()))


def _together(
    folder: Path,
    segments: Sequence[Segment],
    grid: Grid,
    format: str,
    source: DicomSource,
    synthetic: bool,
    report: Callable[[float, str], None],
) -> list[Written]:
    path = folder / file_names([(segment.label, segment.mask_id) for segment in segments], format)[0]
    report(0.05, f"writing {path.name}")
    warnings: dict[str, tuple[str, ...]] = {}
    if format == "dicom_seg":
        from .dicom_seg import write_dicom_seg

        write_dicom_seg(path, segments, grid, source=source, synthetic=synthetic)
        back = _seg_reader(path, segments, grid)
    else:
        from .rtstruct import read_rtstruct, write_rtstruct

        warnings = write_rtstruct(path, segments, grid, source=source, synthetic=synthetic)
        regions = read_rtstruct(path)
        back = [lambda region=region: region.on(grid) for region in regions]  # type: ignore[misc]  # bound per turn
    if len(back) != len(segments):
        _give_up(path, f"holds {len(back)} of {len(segments)} masks")
    made_up = ("The scan was no DICOM: the file belongs to a study made up for it.",) if source.made_up else ()
    written = []
    for number, (segment, read) in enumerate(zip(segments, back, strict=True)):
        notes = (*warnings.get(segment.mask_id, ()), *made_up)
        written.append(Written(segment.mask_id, path, _judged(path, segment.load(), read(), format, notes)))
        report(0.5 + (number + 1) / len(segments) / 2, f"compared {segment.label}")
    return written


def _seg_reader(path: Path, segments: Sequence[Segment], grid: Grid) -> list[Callable[[], BoolArray]]:
    from .dicom_seg import read_dicom_seg

    found = read_dicom_seg(path)
    if [found.labels[number] for number in sorted(found.labels)] != [s.label[:64] for s in segments]:
        _give_up(path, "names its segments otherwise than they were written")
    return [lambda number=number: found.segment(number, grid) for number in sorted(found.labels)]  # type: ignore[misc]  # bound per turn


def _group_name(segments: Sequence[tuple[str, str]], format: str) -> str:
    if len(segments) == 1:
        return f"{format}_{file_name(*segments[0])}"
    key = hashlib.sha256("\n".join(mask_id for _, mask_id in segments).encode()).hexdigest()
    return f"{format}_{len(segments)}_masks_{key[:12]}"


def _check_grid(mask: Mask, grid: Grid, segment: Segment) -> None:
    if not mask.grid.same_as(grid):
        raise Failed(f"The mask {segment.mask_id} does not lie on its scan's grid and was not written.")


def _judged(path: Path, mask: Mask, back: BoolArray, format: str, notes: tuple[str, ...]) -> Receipt:
    found = receipt(mask, back, warnings=notes)
    if found.dice < (1.0 if format in _EXACT else _LOWEST_DICE):
        _give_up(path, f"reads back with Dice {found.dice:.4f} to the mask")
    if found.dice < 1:
        extra = f"Outlines are not exact: Dice {found.dice:.4f} to the mask when read back."
        return replace(found, warnings=(*found.warnings, extra))
    return found


def _give_up(path: Path, why: str) -> None:
    path.unlink(missing_ok=True)
    raise Failed(f"'{path.name}' {why}. It was removed. Use another format.")


def smallest_dice(written: Sequence[Written]) -> float:
    """Worst agreement of an export."""
    return min(row.receipt.dice for row in written)


def largest_offset_mm(written: Sequence[Written]) -> float | None:
    """Largest centroid offset of an export; None when none could be measured."""
    found = [row.receipt.centroid_offset_mm for row in written if row.receipt.centroid_offset_mm is not None]
    return float(np.max(found)) if found else None
