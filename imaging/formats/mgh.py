"""FreeSurfer's MGH and MGZ: a header of 284 bytes, big-endian, voxels after it, all of it gzipped in `.mgz`.

Source: the format as FreeSurfer documents it (https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat); that the
centre of the volume is at half its shape, and the defaults of a file without geometry: nipy/nibabel
`nibabel/freesurfer/mghformat.py` (MIT).
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from isal import igzip
from isal.igzip_lib import IsalError

from ..errors import BadCall
from ..guards.doors import ANYWHERE, Door
from ..guards.limits import BUDGET, check_ratio, check_size
from ..volume import Grid
from .table import NO_ORIENTATION, Raw

_HEAD = struct.Struct(
    ">7ih15f"
)  # version, width, height, depth, frames, type, dof, goodRASFlag; sizes, cosines, centre
_START = 284  # byte of the first voxel
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_PIECE = 1 << 22  # bytes
_MOST_COSINE_OFF = 1e-2


def read_mgh(path: Path, door: Door = ANYWHERE) -> Raw:
    """What the file holds.

    Raises:
        BadCall: no MGH, cut short, several frames, no sound geometry, or far more voxels than bytes.
    """
    with door.open(path) as file, ExitStack() as held:
        size = os.fstat(file.fileno()).st_size
        packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]  # a buffered file has it
        stream: Any = held.enter_context(igzip.IGzipFile(fileobj=file, mode="rb")) if packed else file
        try:
            shape, dtype, grid, known = read_head(stream, path.name)
            needed = check_size(path.name, shape, dtype.itemsize)
            if packed:
                check_ratio(path.name, size, needed)
            with BUDGET.reserved(path.name, 2 * needed):  # as it lies there, and in the order of this machine
                array = _voxels(stream, math.prod(shape), dtype, path.name)
        except (OSError, EOFError, zlib.error, gzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]  # isal types it loosely
            raise BadCall(
                f"'{path.name}' is cut short or damaged (gzip: {type(error).__name__}). Copy or download it again."
            ) from error
    return Raw(array.reshape(shape, order="F"), grid, () if known else (NO_ORIENTATION,))


def read_head(stream: BinaryIO, name: str) -> tuple[tuple[int, int, int], np.dtype[Any], Grid, bool]:
    """Shape, type, grid and whether the file tells the place; the stream then stands at the first voxel.

    Raises:
        BadCall: no MGH, or none of one volume with a sound place.
    """
    head = stream.read(_START)
    if len(head) < _START or head[:4] != b"\0\0\0\1":
        raise BadCall(f"'{name}' does not begin as an MGH file. Check the file or its ending.")
    _, x, y, z, frames, kind, _, good, *numbers = _HEAD.unpack_from(head)
    if min(x, y, z) < 1:
        raise BadCall(f"'{name}' has shape {(x, y, z)}: there are no voxels. Give a 3-D image.")
    if frames != 1:
        raise BadCall(f"'{name}' holds {frames} frames. One 3-D volume is needed. Save a single frame.")
    if kind not in _TYPES:
        raise BadCall(f"'{name}' has voxels of type {kind}, which is none of a grey image. Save it as int or float.")
    known = good == 1
    grid = Grid((x, y, z), _affine(numbers, (x, y, z), name) if known else np.diag([-1.0, -1.0, 1.0, 1.0]), known)
    return (x, y, z), np.dtype(_TYPES[kind]), grid, known


def _affine(numbers: list[float], shape: tuple[int, int, int], name: str) -> npt.NDArray[np.float64]:
    sizes, cosines, centre = np.array(numbers[:3]), np.array(numbers[3:12]).reshape(3, 3).T, np.array(numbers[12:])
    lengths = np.linalg.norm(cosines, axis=0)
    sound = np.isfinite(numbers).all() and (sizes > 0).all() and np.abs(lengths - 1).max() <= _MOST_COSINE_OFF
    if not sound:
        raise BadCall(f"The geometry of '{name}' is damaged (sizes or directions). Nothing is guessed. Save it again.")
    affine = np.eye(4)
    affine[:3, :3] = cosines * sizes
    affine[:3, 3] = centre - affine[:3, :3] @ (np.array(shape) / 2)
    return affine


def _voxels(stream: Any, count: int, dtype: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    array = np.empty(count, dtype)
    into, done = array.view(np.uint8).data.cast("B"), 0
    while done < len(into):
        got = stream.readinto(into[done : done + _PIECE])
        if not got:
            raise BadCall(f"'{name}' is cut short: fewer voxels than its header says. Copy it again.")
        done += got
    return array.astype(dtype.newbyteorder("="), copy=False)
