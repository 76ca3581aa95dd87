"""What a label file holds, whatever its format: pieces that may be named, in layers of whole numbers on one grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..guards.doors import Door
from ..guards.limits import BUDGET
from ..volume import Grid

MOST_PIECES = 400  # our choice; the longest lists in use (FreeSurfer's cortex and subfields) stay below 300
Labels = npt.NDArray[Any]
"""Whole numbers or booleans (x y z); 0 is nothing."""
MOST_NUMBER = 1 << 20  # of a label; FreeSurfer counts to 14175
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Piece:
    """One structure of a label file.

    Attributes:
        key: what the caller may name it by: its number, or its name where the file has no numbers.
        names: what the file calls it, likeliest first; () for a number without a name.
        layer: which layer it lies in.
        values: of the layer that belong to it.
        exact: the file has these very voxels; False for what was made of outlines or fractions.
        before_ml: of what is not exact, its volume as the file says it; None where that is not known.
        notes: what was lost or assumed in reading it, one sentence each.
    """

    key: str
    names: tuple[str, ...]
    layer: int
    values: tuple[int, ...] = (1,)
    exact: bool = True
    before_ml: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelFile:
    """A file, or folder of files, of masks.

    Attributes:
        kind: name of its format, such as "nifti" or "dicom_seg".
        grid: of every layer.
        read_layer: the voxels of a layer (x y z), whole numbers or booleans; 0 is nothing.
        sha256: of the file's bytes.
        by_index: its voxels are the image's in their order, as those of a picture are; it tells no place.
        is_crop: where it has no voxels there is nothing, so that a part of the image's grid is enough.
        header: of a DICOM object, which names a patient and a frame of reference; never shown.
    """

    kind: str
    grid: Grid
    pieces: tuple[Piece, ...]
    read_layer: Callable[[int], Labels]
    sha256: str
    notes: tuple[str, ...] = ()
    by_index: bool = False
    is_crop: bool = False
    header: Any = None


def hash_of(path: Path, door: Door) -> str:
    """sha256 hex of a file's bytes."""
    digest = hashlib.sha256()
    with door.open(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def numbers_in(layer: Labels, name: str) -> tuple[int, ...]:
    """The numbers of a layer that stand for something, smallest first.

    Raises:
        BadCall: more than any list of structures has.
    """
    if layer.dtype == np.bool_:
        return (1,) if layer.any() else ()
    numbers = tuple(int(n) for n in np.flatnonzero(np.bincount(layer.ravel(order="K"))) if n)
    if len(numbers) > MOST_PIECES:
        raise BadCall(
            f"'{name}' holds {len(numbers)} different values, more than any list of structures. It looks like an image, "
            "not a label map: open it with open_image."
        )
    return numbers


@dataclass(frozen=True)
class Whole:
    """Voxels as whole numbers.

    Attributes:
        fractions: their sum in voxels, where the file held fractions of one structure; else None.
    """

    labels: Labels
    fractions: float | None = None


FRACTIONS = "Fractions were cut at 0.5 of their maximum; what lies below is lost."


def as_labels(array: npt.NDArray[Any], name: str) -> Whole:
    """Voxels as whole numbers from 0 on; fractions of one structure become 0 and 1 at 0.5.

    Raises:
        BadCall: values that no label map has.
    """
    low, high = float(array.min()), float(array.max())
    if array.dtype == np.bool_:
        return Whole(array)
    if not np.isfinite((low, high)).all() or low < 0 or high > MOST_NUMBER:
        raise BadCall(
            f"The values of '{name}' run from {low:g} to {high:g}. Labels are whole numbers from 0 to {MOST_NUMBER}. If it is an "
            "image, use open_image."
        )
    kind = np.uint8 if high < 256 else np.uint16 if high < 65536 else np.int32
    if array.dtype.kind in "iu":
        return Whole(array.astype(kind, copy=False))
    with BUDGET.reserved(name, 2 * array.nbytes):
        whole = array.astype(kind)
        if np.array_equal(whole, array):
            return Whole(whole)
    if high > 1:
        raise BadCall(
            f"'{name}' holds values between the whole numbers up to {high:g}: an image, or labels that were interpolated. "
            "Labels are whole numbers. Save it with nearest neighbour, or open it with open_image."
        )
    return Whole(array >= 0.5, float(array.sum(dtype=np.float64)))
