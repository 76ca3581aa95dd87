"""Checksums of a file's blocks, written behind its content: bits that flip on a disk are found on reading.

A block or two are looked at each time, which costs a millisecond; `store verify` looks at all.
"""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

BLOCK = 1 << 20
_MAGIC = b"OSTCRC32"
_HEAD = struct.Struct("<8sQI")  # magic, bytes of content, number of blocks
_SAMPLE = random.Random()  # which blocks are looked at; nothing depends on it


def save_checked(file: BinaryIO, array: npt.NDArray[Any]) -> None:
    """Write an array as `.npy` with its checksums behind it; readers of `.npy` do not see them."""
    np.save(file, array, allow_pickle=False)
    size = array.nbytes
    content = array.reshape(-1, order="A" if array.flags.c_contiguous else "F").data.cast("B")
    sums = [isal_zlib.crc32(content[at : at + BLOCK]) for at in range(0, size, BLOCK)]
    file.write(_HEAD.pack(_MAGIC, size, len(sums)) + struct.pack(f"<{len(sums)}I", *sums))


def has_its_length(path: Path) -> bool:
    """Whether a file made by `save_checked`, or by an earlier version without checksums, does not end too early."""
    try:
        with path.open("rb") as file:
            end = sum(_content(file))
            size = end - file.tell()
            return os.fstat(file.fileno()).st_size in (end, end + _HEAD.size + 4 * -(-size // BLOCK))
    except (OSError, ValueError, EOFError):
        return False


def is_whole(path: Path, *, every: bool = False) -> bool:
    """Whether a file made by `save_checked` has all its bytes, and the blocks looked at are as they were written.

    Files of earlier versions have no checksums: then only their length is looked at.

    Args:
        every: look at every block, not at the last and two others.
    """
    try:
        with path.open("rb") as file:
            start, size = _content(file)
            length = os.fstat(file.fileno()).st_size
            if length == start + size:
                return True
            return length > start + size and _blocks_agree(file, start, size, every=every)
    except (OSError, ValueError, EOFError, struct.error):
        return False


def _content(file: BinaryIO) -> tuple[int, int]:
    """Where the values of a `.npy` begin, and how many bytes they take."""
    version = np.lib.format.read_magic(file)
    shape, _, dtype = _header(file, version)
    return file.tell(), int(np.prod(shape)) * dtype.itemsize


def _header(file: BinaryIO, version: tuple[int, int]) -> Any:
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _blocks_agree(file: BinaryIO, start: int, size: int, *, every: bool) -> bool:
    file.seek(start + size)
    magic, told, count = _HEAD.unpack(file.read(_HEAD.size))
    sums = struct.unpack(f"<{count}I", file.read(4 * count)) if count == -(-size // BLOCK) else ()
    if magic != _MAGIC or told != size or len(sums) != count:
        return False
    chosen = range(count) if every else {count - 1, *_SAMPLE.sample(range(count), min(2, count))} - {-1}
    for number in chosen:
        file.seek(start + number * BLOCK)
        if isal_zlib.crc32(file.read(min(BLOCK, size - number * BLOCK))) != sums[number]:
            return False
    return True
