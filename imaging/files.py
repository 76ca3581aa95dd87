"""Open any supported image, write masks and images: one door for every format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .dicom.scan import read_dicom
from .errors import BadCall
from .formats.stated import with_stated_spacing
from .formats.table import IMAGE_ENDINGS, WRITTEN_ENDINGS, Raw, format_of, loaded
from .guards.doors import ANYWHERE, Door
from .guards.withheld import withhold_header_values
from .hounsfield import unit_by_values
from .imports.looks import label_warning
from .opened import Opened, guess_modality, preflight
from .volume import MODALITIES, Grid, Modality, Volume


def read_image(
    path: Path,
    *,
    modality: Modality | Literal["auto"] = "auto",
    series: str | None = None,
    within: Sequence[Path] = (),
    spacing_mm: Sequence[float] | None = None,
) -> Opened:
    """The scan in a file or folder.

    Args:
        path: NIfTI, NRRD, MHA/MHD, PNG, JPEG, TIFF, or DICOM as folder, file or zip.
        modality: "auto" takes it from the DICOM header, or guesses CT from Hounsfield-like values.
        series: alias of one DICOM series, when the folder holds several.
        within: folders that links in a DICOM folder may lead into, beside the folder itself.
        spacing_mm: size of a voxel along the axes, where the file tells none; two numbers for a slice.

    Raises:
        BadCall: missing, damaged, or not one 3-D grey image with usable geometry.
    """
    withhold_header_values()
    if modality != "auto" and modality not in MODALITIES:
        raise BadCall(f"Unknown modality '{modality}'. Allowed: auto, {', '.join(MODALITIES)}.")
    if not path.exists():
        raise BadCall(f"'{path.name}' does not exist. Give an existing file or folder. Check the spelling.")
    door = _door(path, within)
    if path.is_dir():
        return _open_dicom(path.resolve(), modality, series, door, spacing_mm)
    with door.open(path) as file:
        head, size = file.read(132), os.fstat(file.fileno()).st_size
    if size == 0:
        raise BadCall(f"'{path.name}' is empty (0 bytes). Copy it again.")
    known = format_of(path.name)
    if known is not None:
        raw: Raw = loaded(known.read)(path, door)
        return _opened(raw, modality, known.name, spacing_mm)
    is_dicom = head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima")
    if not is_dicom and not head.startswith(b"PK") and path.suffix.lower() != ".zip":
        raise BadCall(
            f"'{path.name}' is of no supported kind. Supported: {', '.join(IMAGE_ENDINGS)}, and DICOM as file, folder or zip."
        )
    return _open_dicom(path, modality, series, door, spacing_mm)


def _door(path: Path, within: Sequence[Path]) -> Door:
    """What may be opened on the way: files in the given folders and, when the path lies in none, its own."""
    folders = tuple(folder.resolve() for folder in within)
    if any(path.is_relative_to(folder) for folder in folders):
        return Door(folders)
    return Door((*folders, path.resolve())) if path.is_dir() else ANYWHERE


def _open_dicom(
    path: Path,
    modality: Modality | Literal["auto"],
    series: str | None,
    door: Door,
    spacing_mm: Sequence[float] | None,
) -> Opened:
    found, listed = read_dicom(path, series, door)
    if found is None:
        return Opened(None, listed, (), "dicom")
    chosen = found.modality if modality == "auto" else modality
    raw = Raw(found.array, found.grid, found.notes, found.synthetic)
    opened = _opened(raw, chosen, "dicom", spacing_mm, unit=found.unit)
    return replace(opened, series=listed, source=found.source, acquisition=found.acquisition)


def _opened(
    raw: Raw,
    modality: Modality | Literal["auto"],
    kind: str,
    spacing_mm: Sequence[float] | None,
    *,
    unit: str | None = None,
) -> Opened:
    """A scan with its warnings; the unit of its values is looked for in them where no header says it."""
    array, grid, notes = raw.array, raw.grid, raw.warnings
    if spacing_mm is not None:
        grid, notes = with_stated_spacing(grid, notes, spacing_mm)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype in (np.float64, np.int64, np.uint64):
        array = _narrowed(array)
    chosen: Modality = guess_modality(array) if modality == "auto" else modality
    if modality == "auto" and chosen == "ct" and kind != "dicom":
        notes = (*notes, "CT is guessed from the values (air near -1000); pass modality if that is wrong.")
    volume = Volume(array, grid, chosen, raw.synthetic)
    if unit is None:
        unit = unit_by_values(volume)
    labels = label_warning(array)
    return Opened(volume, (), (*notes, *preflight(volume, unit), *([labels] if labels else [])), kind, unit)


def _narrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """64-bit values in half the room: whole numbers as int32 when they fit, the rest as float32."""
    if array.dtype.kind in "iu" and array.size and abs(int(array.min())) < 2**31 and int(array.max()) < 2**31:
        return array.astype(np.int32)
    return array.astype(np.float32)


def write_volume(path: Path, array: npt.NDArray[Any], grid: Grid, *, synthetic: bool = False) -> None:
    """Write an image in the format of its ending, whole or not at all.

    Raises:
        BadCall: another ending, or a folder that does not exist.
    """
    if not path.parent.is_dir():
        raise BadCall(f"The folder for '{path.name}' does not exist. Create it first.")
    row = format_of(path.name)
    if row is None or not row.write:
        raise BadCall(f"'{path.name}' has no ending that can be written. Allowed: {', '.join(WRITTEN_ENDINGS)}.")
    loaded(row.write)(path, array, grid, synthetic=synthetic)
