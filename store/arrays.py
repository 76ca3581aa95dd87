"""Array files named by their content: written once, whole or not at all.

Images are plain `.npy` files, so that a worker maps one into memory by its path in under a
millisecond (PERF.md §6); masks are packed bits, deflated (PERF.md §4: 0.01 s and 0.4 MB for
100 MB of labels).
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from isal.igzip_lib import IsalError

from ..imaging.errors import Failed
from ..imaging.geometry import Box
from ..imaging.guards.atomic import abandoned, write_atomically
from ..imaging.guards.private import make_folder
from ..imaging.region import Region, slices
from ..imaging.volume import BoolArray, FloatArray, Grid
from .checksums import has_its_length, is_whole, save_checked

BITS_MAGIC = b"OSTBITS1"
_HEADER = struct.Struct("<8s3Q")


def write_bits(file: BinaryIO, mask: BoolArray) -> None:
    """Write a boolean array (x y z) as a header and deflated packed bits."""
    file.write(_HEADER.pack(BITS_MAGIC, *mask.shape))
    file.write(isal_zlib.compress(np.packbits(mask).tobytes(), 1))


def read_bits(path: Path) -> BoolArray:
    """The boolean array (x y z) of a file made by `write_bits`.

    Raises:
        Failed: the file is missing, cut short or not of this kind.
    """
    packed, shape = _packed(path)
    bits: BoolArray = np.unpackbits(packed, count=math.prod(shape)).view(np.bool_).reshape(shape)
    return bits


def read_region(path: Path, grid: Grid) -> Region:
    """The same mask cut to its voxels, unpacking only the planes that have some.

    Raises:
        Failed: as `read_bits`, or the mask is not of the grid's shape.
    """
    packed, (count, *plane_shape) = _packed(path)
    if (count, *plane_shape) != grid.shape:
        raise Failed("A stored mask does not fit its image. Run `ostensor store repair`.")
    used = packed != 0
    if not used.any():
        return Region(np.zeros((1, 1, 1), dtype=np.bool_), None, grid)
    plane = math.prod(plane_shape)
    first = int(used.argmax()) * 8 // plane
    stop = min(count, (len(used) - int(used[::-1].argmax())) * 8 // plane + 1)
    skip = first * plane % 8
    wanted = packed[first * plane // 8 : -(-stop * plane // 8)]
    bits = np.unpackbits(wanted)[skip : skip + (stop - first) * plane].view(np.bool_).reshape(-1, *plane_shape)
    found = Box.of(bits)
    if found is None:
        raise Failed("A stored mask has bits beyond its end. Run `ostensor store repair`.")
    box = Box((found.start[0] + first, *found.start[1:]), (found.stop[0] + first, *found.stop[1:]))
    return Region(np.ascontiguousarray(bits[slices(found)]), box, grid)


def _packed(path: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, ...]]:
    """The packed bits of a mask file and its shape, checked."""
    try:
        content = path.read_bytes()
        magic, *shape = _HEADER.unpack_from(content)
        if magic != BITS_MAGIC:
            raise ValueError(f"magic {magic!r}")
        packed = np.frombuffer(isal_zlib.decompress(content[_HEADER.size :]), dtype=np.uint8)
        if packed.size != -(-math.prod(shape) // 8):
            raise ValueError(f"{packed.size} bytes for {math.prod(shape)} voxels")
    except (OSError, struct.error, ValueError, IsalError) as error:  # type: ignore[misc]  # isal types it loosely
        raise Failed(f"A stored mask cannot be read ({type(error).__name__}). Run `ostensor store repair`.") from error
    return packed, tuple(shape)


class ArrayFiles:
    """The store's `arrays` folder: `images/ab/<sha256>.npy` and `masks/ab/<sha256>.bits`."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder)

    def image_path(self, content_hash: str) -> Path:
        """Where the voxels of an image with this hash lie."""
        return self.folder / "images" / content_hash[:2] / f"{content_hash}.npy"

    def mask_path(self, content_hash: str) -> Path:
        """Where the bits of a mask with this hash lie."""
        return self.folder / "masks" / content_hash[:2] / f"{content_hash}.bits"

    def put_image(self, content_hash: str, array: FloatArray) -> None:
        """Write the voxels (x y z) unless they are there already, undamaged: then nothing changes but their age."""
        path = self.image_path(content_hash)
        if not (path.exists() and is_whole(path, every=True) and _renewed(path)):
            write_atomically(path, lambda file: save_checked(file, np.asfortranarray(array)))

    def put_mask(self, content_hash: str, array: BoolArray) -> None:
        """Write the bits (x y z) unless they are there already, undamaged: then nothing changes but their age."""
        path = self.mask_path(content_hash)
        if not (self._reads(path) and _renewed(path)):
            write_atomically(path, lambda file: write_bits(file, array))

    def image(self, content_hash: str) -> FloatArray:
        """The voxels, mapped read-only into memory, once a few blocks of them were found as they were written.

        Raises:
            Failed: the file is missing or damaged.
        """
        path = self.image_path(content_hash)
        if not is_whole(path):
            raise _damaged("FileDamaged" if path.exists() else "FileNotFoundError")
        try:
            array: FloatArray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(type(error).__name__) from error
        return array

    @staticmethod
    def _reads(path: Path) -> bool:
        """Whether the bits of a mask file can be read; their packing holds a checksum."""
        try:
            _packed(path)
        except Failed:
            return False
        return True

    def is_cut(self, path: Path) -> bool:
        """Whether a finished file ends too early, as after a power cut; its voxels are not looked at."""
        return not (has_its_length(path) if path.suffix == ".npy" else path.stat().st_size > _HEADER.size)

    def mask(self, content_hash: str) -> BoolArray:
        """The bits as booleans (x y z)."""
        return read_bits(self.mask_path(content_hash))

    def mask_region(self, content_hash: str, grid: Grid) -> Region:
        """The mask cut to its voxels, on its image's grid."""
        return read_region(self.mask_path(content_hash), grid)

    def is_intact(self, path: Path) -> bool:
        """Whether every block of an array file is as it was written."""
        return is_whole(path, every=True) if path.suffix == ".npy" else self._reads(path)

    def has(self, path: Path) -> bool:
        """Whether an array is kept under this path."""
        return path.exists()

    def here(self, path: Path) -> Path:
        """The same path, for who is about to map it."""
        return path

    @property
    def is_there(self) -> bool:
        """Whether the place where arrays are kept answers."""
        return self.folder.is_dir()

    def sweep(self) -> int:
        """Delete what killed writers left elsewhere than in the folder; answers the bytes freed."""
        return 0

    def bytes_kept(self) -> int:
        """What all arrays take."""
        return sum(path.stat().st_size for path in self.local())

    def all(self) -> Iterator[Path]:
        """Every finished array file."""
        yield from self.local()

    def free(self, path: Path, older_than_s: float) -> int:
        """Delete an array that is old enough; answers the bytes freed."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return 0
        if time.time() - status.st_mtime < older_than_s:
            return 0
        path.unlink(missing_ok=True)
        return status.st_size

    def local(self) -> Iterator[Path]:
        """Every finished array file in the folder."""
        for kind, suffix in (("images", ".npy"), ("masks", ".bits")):
            yield from sorted(self.folder.glob(f"{kind}/??/*{suffix}"))

    def unfinished(self) -> Iterator[Path]:
        """Temporary files of writers that are gone."""
        yield from abandoned(self.folder, "*/??/.*.tmp")


def _renewed(path: Path) -> bool:
    """Make a file young again, so that `gc` leaves it to who names it next; False when it is gone."""
    try:
        path.touch()
    except OSError:
        return False
    return True


def _damaged(why: str) -> Failed:
    return Failed(
        f"A stored image cannot be read ({why}). Open the scan again, which writes it anew, or run `ostensor store repair`."
    )
