"""The voxels behind a text header: plain, deflated or as text, unpacked piece by piece and never further than wanted."""

from __future__ import annotations

import io
import math
import os
import warnings
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ...guards.limits import check_ratio, check_size
from .layout import Layout, damaged

_PIECE = 1 << 20
_ANY_WRAPPER = 47  # zlib's window bits: a zlib or a gzip stream, whichever it is


def bytes_needed(layout: Layout) -> int:
    """Bytes that reading this will hold at most: the voxels, in native order, and text beside them."""
    voxels = math.prod(layout.shape)
    return voxels * (layout.dtype.itemsize * 2 if layout.packing != "text" else layout.dtype.itemsize + 8 + 24)


def voxels(file: BinaryIO, layout: Layout, name: str) -> npt.NDArray[Any]:
    """All voxels in a row, first axis fastest.

    Raises:
        BadCall: too many, fewer than the header says, or a stream that is damaged.
    """
    needed = check_size(name, layout.shape, layout.dtype.itemsize)
    size = os.fstat(file.fileno()).st_size
    if layout.packing == "deflated":
        check_ratio(name, size, needed)
    if layout.packing == "plain" and layout.start < 0:
        file.seek(max(0, size - needed))
    else:
        file.seek(max(0, layout.start))
    for _ in range(layout.skip_lines):
        if not file.readline(_PIECE).endswith(b"\n"):
            raise damaged(name, "it has fewer lines than are to be skipped")
    if layout.packing == "text":
        return _from_text(file, layout, name, size)
    array = np.empty(math.prod(layout.shape), layout.dtype)
    into = array.data.cast("B")
    filled = (
        _inflated(file, into, layout.skip_bytes, name) if layout.packing == "deflated" else _copied(file, into, layout)
    )
    if filled < needed:
        raise damaged(name, "it is cut short: it holds fewer voxels than its header says")
    return array


def _copied(file: BinaryIO, into: memoryview, layout: Layout) -> int:
    file.seek(layout.skip_bytes, io.SEEK_CUR)
    filled = 0
    while filled < len(into):
        got = file.readinto(into[filled:])  # type: ignore[attr-defined]  # a buffered file has it
        if not got:
            break
        filled += got
    return filled


def _inflated(file: BinaryIO, into: memoryview, skip: int, name: str) -> int:
    """Bytes unpacked into the buffer; what follows them in the stream is not looked at."""
    unpacker, filled, pending = zlib.decompressobj(_ANY_WRAPPER), 0, b""
    while filled < len(into) and not unpacker.eof:
        pending = pending or file.read(_PIECE)
        if not pending:
            break
        try:
            piece = unpacker.decompress(pending, min(_PIECE, skip or len(into) - filled))
        except zlib.error as error:
            raise damaged(name, "its packed voxels are damaged") from error
        pending = unpacker.unconsumed_tail
        passed = min(skip, len(piece))
        skip -= passed
        kept = len(piece) - passed
        into[filled : filled + kept] = piece[passed:]
        filled += kept
    return filled


def _from_text(file: BinaryIO, layout: Layout, name: str, size: int) -> npt.NDArray[Any]:
    """Numbers in words; a number has at most some 25 characters."""
    count = math.prod(layout.shape)
    if size > 25 * count + (1 << 20):
        raise damaged(name, "its text is longer than its voxels can be")
    text = file.read().translate(None, b",")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = np.fromstring(text, dtype=np.float64, sep=" ", count=count)
        array = found.astype(layout.dtype.newbyteorder("="))
    except (ValueError, DeprecationWarning, RuntimeWarning) as error:
        raise damaged(name, "its voxels are not numbers of the type it says") from error
    if len(array) != count:
        raise damaged(name, "it is cut short: it holds fewer voxels than its header says")
    return array
