"""Streams that a header is parsed from: how much may be read of one object and of all, and deflated ones inflated within bounds.

pydicom keeps what it reads, a hundred bytes to a kilobyte for each element, however short it is in the file.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ...errors import BadCall
from ...guards.limits import FREE_BYTES, MOST_RATIO

# Our measurement of pydicom 3.0: an element it has not looked at takes some 300 bytes in two reads, an empty item 1,200.
READ_BYTES, ITEM_BYTES = 150, 1200
OBJECT_BYTES = 512 * 1024**2  # of one header; a multi-frame one of 2,000 frames needs some 70 MB
ALL_BYTES = 2 * 1024**3  # of all headers of one opening; 20,000 slices need some 1.1 GB
VALUE_BYTES = 64 * 1024**2  # of one element before the pixels
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_PIECE = 1 << 20


class TooLong(ValueError):
    """A header that goes on for longer than any honest one."""


@dataclass
class Meter:
    """What the headers of one opening took so far."""

    name: str
    taken: int = 0
    packed: int = 0
    unpacked: int = 0

    def check(self) -> None:
        """Refuse the whole path once its headers are too much together.

        Raises:
            BadCall: they are.
        """
        if self.taken > ALL_BYTES:
            raise BadCall(
                f"The headers in '{self.name}' are too long to be read together. Give the folder of one series."
            )
        if self.unpacked > max(FREE_BYTES, MOST_RATIO * self.packed):
            raise BadCall(
                f"'{self.name}' unpacks to {self.unpacked // max(1, self.packed)} times its size, which no scan does. At "
                f"most {MOST_RATIO} times are unpacked. Store it uncompressed."
            )


class Metered:
    """A file as pydicom needs it, which ends in `TooLong` when its header does not end.

    Args:
        value_bytes: of one element; more where pixels are read, too.
    """

    def __init__(self, file: BinaryIO, meter: Meter, *, value_bytes: int = VALUE_BYTES) -> None:
        self._file, self._meter, self._value_bytes = file, meter, value_bytes
        self._left = OBJECT_BYTES + value_bytes
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Bytes, and what keeping them takes on the meter."""
        if size < 0 or size > min(self._value_bytes, self._left):
            raise TooLong("a header without end")
        content = self._file.read(size)
        self._left -= len(content) + (ITEM_BYTES if content[:4] in _ITEMS else READ_BYTES)
        return content

    def close(self) -> None:
        """Write on the meter what was taken; the file stays open."""
        self._meter.taken += OBJECT_BYTES + self._value_bytes - self._left
        self._meter.check()


def inflated(file: BinaryIO, packed: int, meter: Meter) -> BinaryIO:
    """The same object uncompressed, when its transfer syntax deflates the data set; else the file as it is.

    Raises:
        TooLong: it unpacks to far more than its size.
    """
    if file.read(132)[128:] != b"DICM":
        file.seek(0)
        return file
    meta = read_dataset(_limited(file, meter), False, True, stop_when=_after_meta)
    if str(meta.get("TransferSyntaxUID", "")) != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return file
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plain = io.BytesIO()
    plain.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(DicomIO(plain), FileMetaDataset(meta), enforce_standard=False)
    _inflate(file, plain, max(FREE_BYTES, MOST_RATIO * packed), meter)
    meter.packed += packed
    plain.seek(0)
    return plain


def _limited(file: BinaryIO, meter: Meter) -> Any:
    return Metered(file, meter)


def _after_meta(tag: Any, vr: str | None, length: int) -> bool:
    del vr, length
    return bool(tag.group != 2)


def _inflate(file: BinaryIO, into: BinaryIO, most: int, meter: Meter) -> None:
    unpacker, pending, done = zlib.decompressobj(-zlib.MAX_WBITS), b"", 0
    while not unpacker.eof:
        pending = pending or file.read(_PIECE)
        if not pending:
            return
        piece = unpacker.decompress(pending, _PIECE)
        pending = unpacker.unconsumed_tail
        done += len(piece)
        meter.unpacked += len(piece)
        if done > most:
            raise TooLong("a data set that unpacks without end")
        into.write(piece)
