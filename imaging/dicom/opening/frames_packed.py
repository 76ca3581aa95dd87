"""How large compressed frames say they are, read from the frames themselves: a decoder believes them, not the DICOM header.

Source: ITU-T T.81 B.2 (JPEG), T.87 C.2 (JPEG-LS), T.800 A.5.1 (JPEG 2000), DICOM PS3.5 annex G (RLE).
"""

from __future__ import annotations

import re
import struct
from typing import Any

from pydicom.encaps import generate_frames
from pydicom.uid import RLELossless

_SOC_SIZ = b"\xff\x4f\xff\x51"
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_FRAME_STARTS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def check_packed_frames(data: Any) -> None:
    """Refuse an object whose compressed frames hold more pixels than its header says.

    Args:
        data: with PixelData.

    Raises:
        ValueError: they do, or say nothing that can be read.
    """
    meta = data.file_meta
    syntax = meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    count = int(data.get("NumberOfFrames", 1) or 1)
    samples = int(data.get("SamplesPerPixel", 1) or 1)
    wanted = int(data.Rows) * int(data.Columns) * samples
    for number, frame in enumerate(generate_frames(data.PixelData, number_of_frames=count)):
        if number >= count:
            raise ValueError("more frames than the header says")
        if syntax == RLELossless:
            told = _rle_pixels(frame, wanted, max(1, int(data.BitsAllocated) // 8))
        else:
            told = pixels_told(frame)
        if told > wanted + 1024:
            raise ValueError("a frame larger than the header says")


def pixels_told(frame: bytes) -> int:
    """Samples that a JPEG, JPEG-LS or JPEG 2000 stream unpacks to.

    Raises:
        ValueError: it does not say.
    """
    if frame.startswith(_SOC_SIZ):
        return _j2k(frame, 0)
    if frame[4:8] == b"jP  ":
        return max((_j2k(frame, met.start()) for met in re.finditer(re.escape(_SOC_SIZ), frame)), default=-1)
    if frame.startswith(b"\xff\xd8"):
        return _jpeg(frame)
    raise ValueError("a frame of no known compression")


def _j2k(frame: bytes, at: int) -> int:
    try:
        x, y, left, top = struct.unpack_from(">4I", frame, at + 8)
        (parts,) = struct.unpack_from(">H", frame, at + 40)
    except struct.error as error:
        raise ValueError("a frame cut short") from error
    return max(0, int(x) - int(left)) * max(0, int(y) - int(top)) * int(parts)


def _jpeg(frame: bytes) -> int:
    at = 2
    while at + 9 < len(frame):
        if frame[at] != 0xFF:
            break
        marker = frame[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_STARTS:
            rows, columns, parts = struct.unpack_from(">HHB", frame, at + 5)
            if not rows:
                break
            return int(rows * columns * parts)
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    raise ValueError("a frame without a size")


def _rle_pixels(frame: bytes, wanted: int, voxel_bytes: int) -> int:
    """As many as are wanted when the frame is too short to hold many more: a byte of it unpacks to 64 at most."""
    if len(frame) < 1 << 20 or len(frame) * 64 <= 4 * wanted * voxel_bytes:
        return wanted
    return rle_bytes(frame, most=4 * wanted * voxel_bytes + 1024) // voxel_bytes


def rle_bytes(frame: bytes, *, most: int) -> int:
    """Bytes that an RLE frame unpacks to; counted no further than `most`."""
    done, at, end = 0, 64, len(frame)
    while at < end and done <= most:
        step = frame[at]
        if step < 128:
            done, at = done + step + 1, at + step + 2
        else:
            done, at = done + (257 - step if step > 128 else 0), at + (2 if step > 128 else 1)
    return done
