"""What a text header says of its image, once its grammar was followed to the letter."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import BadCall

HEADER_BYTES = 1 << 20  # our choice; the longest honest ones, with DICOM tags copied in, have some 20 kB
Packing = Literal["plain", "deflated", "text"]
_PLAIN_NAME = re.compile(r"[^/\\%:\x00-\x1f\x7f]{1,255}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Layout:
    """Where the voxels are and what they mean.

    Attributes:
        shape: voxels along each axis, fastest first; two or three axes longer than nothing.
        dtype: with its byte order.
        directions: (d d), a column for the step along each axis, in the header's unit, LPS.
        spacing_said: the header tells the size of a voxel.
        orientation_said: the header tells which way the patient lies.
        scale_mm: mm of one unit of the header.
        packing: "plain" bytes, a "deflated" stream (zlib or gzip), or numbers as "text".
        data_file: the file beside it that holds the voxels; "" when they follow the header.
        start: byte of the voxels in their file, before unpacking; -1: they end with the file.
        skip_lines: lines to pass over before them.
        skip_bytes: bytes to pass over after unpacking.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    directions: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]
    spacing_said: bool
    orientation_said: bool
    scale_mm: float = 1.0
    packing: Packing = "plain"
    data_file: str = ""
    start: int = 0
    skip_lines: int = 0
    skip_bytes: int = 0
    synthetic: bool = False


def damaged(name: str, why: str) -> BadCall:
    """The refusal of a header that does not follow its format."""
    return BadCall(f"'{name}' cannot be read: {why}. Export it again as a plain file of its format.")


def elsewhere(name: str) -> BadCall:
    """The refusal of a header that sends its reader away."""
    return BadCall(
        f"'{name}' keeps its voxels in files elsewhere. Only one file beside it is read. "
        "Save it as one file (.mha, .nrrd, .nii.gz)."
    )


def beside(name: str, file_name: str, data_file: str) -> str:
    """The name of a data file, once it can only mean a neighbour of the header.

    Raises:
        BadCall: a path, a list, a pattern, or the header itself.
    """
    tricky = data_file in ("", ".", "..", file_name) or data_file.strip() != data_file
    if tricky or not _PLAIN_NAME.fullmatch(data_file) or data_file.upper().split()[0] in ("LIST", "LOCAL"):
        raise elsewhere(name)
    return data_file


def header_lines(head: bytes, name: str) -> list[str]:
    """Lines of a header: printable text and tabs, ended by a line feed or by carriage return and line feed.

    Raises:
        BadCall: any other control character: a reader elsewhere may end a line there.
    """
    lines = head.replace(b"\r\n", b"\n").split(b"\n")
    if any(byte < 32 and byte != 9 for line in lines for byte in line) or b"\x7f" in head:
        raise damaged(name, "its header holds control characters")
    return [line.decode("utf-8", "replace") for line in lines]


def numbers(name: str, key: str, text: str, count: int | None = None) -> list[float]:
    """Finite or not, as written; "nan" and infinities are numbers here.

    Raises:
        BadCall: something else, or not `count` of them.
    """
    words = text.split()
    special = {"nan": math.nan, "-nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}
    found = []
    for word in words:
        if word.lower() in special:
            found.append(special[word.lower()])
        elif _NUMBER.fullmatch(word):
            found.append(float(word))
        else:
            raise damaged(name, f"{key} is no row of numbers")
    if count is not None and len(found) != count:
        raise damaged(name, f"{key} has {len(found)} numbers where {count} are needed")
    return found


def whole(name: str, key: str, text: str, *, least: int, most: int = 2**40) -> int:
    """A whole number within bounds.

    Raises:
        BadCall: none.
    """
    if not re.fullmatch(r"[+-]?\d{1,13}", text.strip()) or not least <= int(text) <= most:
        raise damaged(name, f"{key} is no whole number of at least {least}")
    return int(text)
