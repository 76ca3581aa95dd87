"""Array files named by their content: written once, whole or not at all.

Images are plain `.npy` files, so that a worker maps one into memory by its path in under a
millisecond (PERF.md §6); masks are packed bits, deflated (PERF.md §4: 0.01 s and 0.4 MB for
100 MB of labels).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from .errors import Failed
from .volume import BoolArray, FloatArray

BITS_MAGIC = b"OSTBITS1"
_HEADER = struct.Struct("<8s3Q")


def write_atomically(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write through a temporary file, fsync and rename: readers see the old file or the new one.

    Args:
        fill: gets the open binary file and writes the content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_bits(file: BinaryIO, mask: BoolArray) -> None:
    """Write a boolean array (x y z) as a header and deflated packed bits."""
    file.write(_HEADER.pack(BITS_MAGIC, *mask.shape))
    file.write(isal_zlib.compress(np.packbits(mask).tobytes(), 1))


def read_bits(path: Path) -> BoolArray:
    """The boolean array (x y z) of a file made by `write_bits`.

    Raises:
        Failed: the file is missing, cut short or not of this kind.
    """
    try:
        content = path.read_bytes()
        magic, *shape = _HEADER.unpack_from(content)
        if magic != BITS_MAGIC:
            raise ValueError(f"magic {magic!r}")
        packed = np.frombuffer(isal_zlib.decompress(content[_HEADER.size :]), dtype=np.uint8)
        count = int(np.prod(shape))
        if packed.size != -(-count // 8):
            raise ValueError(f"{packed.size} bytes for {count} voxels")
    except (OSError, struct.error, ValueError, IsalError) as error:  # type: ignore[misc]  # isal types it loosely
        raise Failed(f"A stored mask cannot be read ({type(error).__name__}). Run `ostensor store repair`.") from error
    bits: BoolArray = np.unpackbits(packed, count=count).view(np.bool_).reshape(shape)
    return bits


class ArrayFiles:
    """The store's `arrays` folder: `images/ab/<sha256>.npy` and `masks/ab/<sha256>.bits`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def image_path(self, content_hash: str) -> Path:
        """Where the voxels of an image with this hash lie."""
        return self.folder / "images" / content_hash[:2] / f"{content_hash}.npy"

    def mask_path(self, content_hash: str) -> Path:
        """Where the bits of a mask with this hash lie."""
        return self.folder / "masks" / content_hash[:2] / f"{content_hash}.bits"

    def put_image(self, content_hash: str, array: FloatArray) -> None:
        """Write the voxels (x y z) unless they are there already."""
        path = self.image_path(content_hash)
        if not path.exists():
            write_atomically(path, lambda file: np.save(file, np.asfortranarray(array), allow_pickle=False))

    def put_mask(self, content_hash: str, array: BoolArray) -> None:
        """Write the bits (x y z) unless they are there already."""
        path = self.mask_path(content_hash)
        if not path.exists():
            write_atomically(path, lambda file: write_bits(file, array))

    def image(self, content_hash: str) -> FloatArray:
        """The voxels, mapped read-only into memory.

        Raises:
            Failed: the file is missing or damaged.
        """
        try:
            array: FloatArray = np.load(self.image_path(content_hash), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise Failed(
                f"A stored image cannot be read ({type(error).__name__}). Run `ostensor store repair`."
            ) from error
        return array

    def mask(self, content_hash: str) -> BoolArray:
        """The bits as booleans (x y z)."""
        return read_bits(self.mask_path(content_hash))

    def all(self) -> Iterator[Path]:
        """Every finished array file."""
        for kind, suffix in (("images", ".npy"), ("masks", ".bits")):
            yield from sorted(self.folder.glob(f"{kind}/??/*{suffix}"))

    def unfinished(self) -> Iterator[Path]:
        """Temporary files of writers that are gone."""
        for path in sorted(self.folder.glob("*/??/.*.tmp")):
            writer = int(path.name.split(".")[-3])
            if not _is_running(writer):
                yield path


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
