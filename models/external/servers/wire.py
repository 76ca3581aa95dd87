"""Arrays as nnInteractive ("NNIA") and VoxTell ("VXA2") send them: a header, then pieces packed by Blosc2. Torch-free.

What a server says of its own array is believed only where it is what we expect.
"""

from __future__ import annotations

import struct
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
PIECE = 1 << 30  # bytes of one piece; Blosc2 takes at most 2 GiB
_ZSTD = 1
_TYPES = ("uint8", "int8", "uint16", "int16", "float16", "float32", "bool")
_SHORT = {np.dtype(name).newbyteorder("<").str: name for name in _TYPES}  # as VoxTell writes them


class Damaged(Exception):
    """An array that is truncated, too large, or not the one expected."""


def pack_nnia(array: Array) -> bytes:
    """An array as nnInteractive's server reads it."""
    content = np.ascontiguousarray(array)
    name = content.dtype.name.encode()
    head = struct.pack(
        f"<4sBBBB{len(name)}s{content.ndim}q", b"NNIA", 1, _ZSTD, content.ndim, len(name), name, *content.shape
    )
    raw = memoryview(content.data).cast("B")
    pieces = [raw[start : start + PIECE] for start in range(0, raw.nbytes, PIECE)]
    packed = [blosc2.compress2(piece, typesize=content.itemsize, codec=blosc2.Codec.ZSTD, clevel=3) for piece in pieces]
    lengths = [struct.pack("<QQ", piece.nbytes, len(one)) for piece, one in zip(pieces, packed, strict=True)]
    body = b"".join(part for pair in zip(lengths, packed, strict=True) for part in pair)
    return head + struct.pack("<I", len(pieces)) + body


def unpack_nnia(content: bytes, shape: tuple[int, ...]) -> Array:
    """The array of this shape that nnInteractive's server sent.

    Raises:
        Damaged: it is another, or cannot be read.
    """
    try:
        magic, version, _codec, axes, length = struct.unpack_from("<4sBBBB", content)
        if magic != b"NNIA" or version != 1:
            raise Damaged("no array of nnInteractive's")
        name = content[8 : 8 + length].decode("ascii")
        told = struct.unpack_from(f"<{axes}q", content, 8 + length)
        (count,) = struct.unpack_from("<I", content, 8 + length + 8 * axes)
    except (struct.error, UnicodeDecodeError) as error:
        raise Damaged("truncated") from error
    return _array(content, 12 + length + 8 * axes, count, name, told, shape)


def unpack_vxa2(content: bytes, shape: tuple[int, ...]) -> Array:
    """The array of this shape that VoxTell's server sent.

    Raises:
        Damaged: it is another, or cannot be read.
    """
    try:
        if content[:4] != b"VXA2":
            raise Damaged("no array of VoxTell's")
        length = content[4]
        name = _SHORT.get(content[5 : 5 + length].decode("ascii"), "no type of a mask")
        axes = content[5 + length]
        told = struct.unpack_from(f"<{axes}Q", content, 6 + length)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise Damaged("truncated") from error
    return _array(content, 14 + length + 8 * axes, None, name, told, shape)


def pack_vxa2(array: Array) -> bytes:
    """An array as VoxTell's server sends it."""
    content = np.ascontiguousarray(array)
    name = content.dtype.str.encode()
    raw = content.tobytes()
    head = b"VXA2" + bytes([len(name)]) + name + bytes([content.ndim])
    head += struct.pack(f"<{content.ndim}QQ", *content.shape, len(raw))
    pieces = [raw[start : start + PIECE] for start in range(0, len(raw), PIECE)]
    packed = [blosc2.compress(piece, typesize=content.itemsize) for piece in pieces]
    return head + b"".join(struct.pack("<QQ", len(a), len(b)) + b for a, b in zip(pieces, packed, strict=True))


def _array(
    content: bytes, start: int, count: int | None, name: str, told: tuple[int, ...], shape: tuple[int, ...]
) -> Array:
    if name not in _TYPES or tuple(told) != tuple(shape):
        raise Damaged(f"type {name[:20]} and shape {told[:8]}, where shape {shape} was expected")
    found = np.empty(shape, name)
    raw = memoryview(found.data).cast("B")
    place, written, pieces = start, 0, 0
    while place < len(content) and (count is None or pieces < count):
        try:
            plain, packed = struct.unpack_from("<QQ", content, place)
            piece = content[place + 16 : place + 16 + packed]
            if len(piece) != packed or written + plain > raw.nbytes or blosc2.get_cbuffer_sizes(piece)[0] != plain:
                raise Damaged("a piece of another length than it says")
            raw[written : written + plain] = blosc2.decompress2(piece) if plain else b""
        except (struct.error, RuntimeError, ValueError, TypeError) as error:
            raise Damaged("a damaged piece") from error
        place, written, pieces = place + 16 + packed, written + plain, pieces + 1
    if written != raw.nbytes:
        raise Damaged("truncated")
    return found
