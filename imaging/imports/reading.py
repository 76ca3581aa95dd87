"""The one door for masks of others: a label file, a DICOM object, or a folder with one file per structure."""

from __future__ import annotations

import hashlib
import warnings as python_warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadCall
from ..formats.table import format_of
from ..guards.doors import ANYWHERE, Door
from ..guards.withheld import withhold_header_values
from ..volume import Grid
from .arrays import PICTURES, is_plain, read_array_labels
from .labels import MOST_PIECES, LabelFile, Labels, Piece, hash_of
from .name_tables import structure_in
from .objects import read_object
from .outlines import read_outlines
from .segmentations import read_segmentation

Check = Callable[[Any], tuple[str, ...]]
"""Looks at the header of a DICOM object before its voxels count; answers what to say, or refuses."""
_NO_MASK = ("jpeg",)


def read_labels(
    path: Path, target: Grid, check: Check, *, resample: bool = False, within: Sequence[Path] = ()
) -> LabelFile:
    """What a file or folder of masks holds.

    Args:
        target: grid of the image they are for; outlines are filled on it.
        check: of a DICOM object's header.
        within: folders that may be read; none for any.

    Raises:
        BadCall: no masks, damaged, or of another scan.
    """
    withhold_header_values()
    found = _read(path, target, check, resample=resample, within=within)
    if len(found.pieces) > MOST_PIECES:
        raise BadCall(f"'{path.name}' holds {len(found.pieces)} masks, more than any list of structures. Export fewer.")
    return found


def _read(path: Path, target: Grid, check: Check, *, resample: bool, within: Sequence[Path]) -> LabelFile:
    door = Door(tuple(folder.resolve() for folder in within)) if within else ANYWHERE
    if path.is_dir():
        files = _label_files(path)
        return _of_folder(files, door) if files else _of_object(path, door, target, check, resample)
    row = format_of(path.name)
    if row is None:
        return _of_object(path, door, target, check, resample)
    found = read_array_labels(path, door)
    return _named_by_file(found, path) if is_plain(found) else found


def _label_files(folder: Path) -> list[Path]:
    """Volumes of a folder, in the order of their names; links are left out."""
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.is_symlink())
    found = []
    for entry in entries:
        row = format_of(entry.name)
        if row is not None and row.name not in (*PICTURES, *_NO_MASK):
            found.append(entry)
    if len(found) > MOST_PIECES:
        raise BadCall(f"'{folder.name}' holds {len(found)} volumes, more than any list of structures. Give one file.")
    return found


def _of_object(path: Path, door: Door, target: Grid, check: Check, resample: bool) -> LabelFile:
    kind, data = read_object(path, door)
    notes = check(data)
    digest = hash_of(path, door) if path.is_file() else hashlib.sha256(str(data.SOPInstanceUID).encode()).hexdigest()
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # of odd values; what matters is refused
        if kind == "SEG":
            found = read_segmentation(data, path.name, target, digest)
        else:
            found = read_outlines(data, path.name, target, digest, resample=resample)
    return replace(found, notes=(*notes, *found.notes))


def _named_by_file(file: LabelFile, path: Path) -> LabelFile:
    """The one structure of a file, which its own name may tell; whether that is a structure is for the caller to see."""
    return replace(file, pieces=(replace(file.pieces[0], names=(f"file:{structure_in(path.name)}",)),))


def _of_folder(files: Sequence[Path], door: Door) -> LabelFile:
    """One structure per file, named by it, as TotalSegmentator writes them; a single file is read for itself.

    Raises:
        BadCall: files of several structures, or on several grids.
    """
    if len(files) == 1:
        found = read_array_labels(files[0], door)
        return _named_by_file(found, files[0]) if is_plain(found) else found
    first = read_array_labels(files[0], door)

    def layer_of(number: int) -> Labels:
        one = first if number == 0 else read_array_labels(files[number], door)
        name = files[number].name
        if len(one.pieces) > 1:
            raise BadCall(
                f"'{name}' holds {len(one.pieces)} labels. A folder is read as one structure per file. Give that file itself."
            )
        if not all(piece.exact for piece in one.pieces):
            raise BadCall(f"'{name}' holds fractions. Those are read one file at a time: give that file itself.")
        if not one.grid.same_as(first.grid):
            raise BadCall(f"'{name}' lies on another grid than '{files[0].name}'. Give one of them.")
        return one.read_layer(0) > 0

    pieces = [Piece(path.name, (structure_in(path.name),), layer) for layer, path in enumerate(files)]
    digest = hashlib.sha256("".join(hash_of(path, door) for path in files).encode()).hexdigest()
    return LabelFile("folder", first.grid, tuple(pieces), layer_of, digest)
