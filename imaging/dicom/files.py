"""DICOM objects in a folder, a file or a zip archive: headers first, pixels only when asked for.

Every value the rest of the reader needs is parsed here once, so that a damaged header is met
here and nowhere else.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ..errors import BadCall
from ..guards.withheld import withhold_header_values
from .opening.frames_packed import check_packed_frames
from .opening.members import Member, Members
from .opening.streams import VALUE_BYTES, Meter, Metered, inflated

_NOT_IMAGES = ("SEG", "RTDOSE", "RTSTRUCT", "PR", "KO", "SR", "REG", "FID")
# Further kinds that may be named in a refusal; PS3.3 C.7.3.1.1.1. Another value may be anything, a name included.
_RARER = ("RTPLAN", "RTRECORD", "RTIMAGE", "PLAN", "AU", "ECG", "HD", "EPS", "DOC", "M3D", "SMR", "RWV")
UNREADABLE = (
    InvalidDicomError, BytesLengthException, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError,
    NotImplementedError, IndexError, OverflowError, RuntimeError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What pydicom and zipfile raise on damaged input."""


@dataclass(frozen=True)
class Head:
    """What a header says, parsed; None where it says nothing.

    Attributes:
        position: ImagePositionPatient, mm, LPS+.
        orientation: ImageOrientationPatient: along a row, then down a column, LPS+.
        spacing: PixelSpacing: between rows, then between columns, mm.
        thickness: SliceThickness, mm.
    """

    series_uid: str
    sop_uid: str
    sop_class: str
    modality: str
    rows: int
    columns: int
    samples: int
    frames: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None

    @property
    def is_placed(self) -> bool:
        """True when the header says where in the patient the slice lies."""
        return self.position is not None and self.orientation is not None and self.spacing is not None


@dataclass(frozen=True)
class Part:
    """One DICOM image object.

    Attributes:
        header: every element but the pixels.
        load: reads it again with pixels.
        packed: bytes it takes where it lies.
        plain: the bytes of uncompressed pixels straight from the file; None when they are not plain.
    """

    head: Head
    header: Any
    load: Callable[[], Any]
    packed: int
    plain: Callable[[], bytes | None] = lambda: None


@dataclass(frozen=True)
class Parts:
    """The images of a path, and what else was met there.

    Attributes:
        others: kinds of DICOM objects that are no images, such as "SEG".
        damaged: image files whose header could not be parsed.
        links: links that lead nowhere, to a folder, or out of what may be read.
    """

    images: tuple[Part, ...]
    others: tuple[str, ...]
    damaged: int
    links: int = 0


@dataclass(frozen=True)
class DicomObject:
    """One DICOM object that is no image.

    Attributes:
        header: every element but pixels.
        load: reads it again with pixels.
        packed: bytes it takes where it lies.
    """

    header: Any
    load: Callable[[], Any]
    packed: int


def find_objects(members: Members, kinds: Collection[str]) -> list[DicomObject]:
    """The objects of these modalities among the files of a path, to be read while they are open.

    Raises:
        BadCall: headers that are too long together.
    """
    withhold_header_values()
    objects = []
    for member, found, _is_damaged in _headers(members):
        if found is not None and str(found[0].get("Modality", "") or "") in kinds:
            objects.append(DicomObject(found[0], partial(_whole, member, found[0]), member.packed))
    return objects


def read_elements(member: Member, meter: Meter, keywords: Sequence[str]) -> Any | None:
    """A few elements of one file's header; None when it is no DICOM.

    Raises:
        one of `UNREADABLE`: it says it is DICOM and cannot be read.
        BadCall: all headers together are too much.
    """
    found = _header(member, meter, keywords)
    return None if found is None else found[0]


def find_parts(members: Members) -> Parts:
    """Every DICOM image among the files of a path, to be read while they are open.

    Raises:
        BadCall: headers that are too long together.
    """
    withhold_header_values()
    images, others, damaged = [], set(), 0
    for member, found, is_damaged in _headers(members):
        damaged += is_damaged
        if found is None:
            continue
        header, offset = found
        kind = str(header.get("Modality", "") or "")
        if _is_cut(header, kind):
            damaged += 1
            continue
        if "Rows" not in header or kind in _NOT_IMAGES:
            others.add(kind if kind in (*_NOT_IMAGES, *_RARER) else "unnamed")
            continue
        try:
            plain = partial(_plain, member, header, offset)
            images.append(Part(_parsed(header), header, partial(_whole, member, header), member.packed, plain))
        except UNREADABLE:
            damaged += 1
    return Parts(tuple(images), tuple(sorted(others)), damaged, members.links)


def _is_cut(header: Any, kind: str) -> bool:
    """True for an object that ends before it says what it shows: of a class of images, or of no class at all."""
    if "Rows" in header or kind in _NOT_IMAGES:
        return False
    meta = getattr(header, "file_meta", {})
    sop_class = str(header.get("SOPClassUID", "") or meta.get("MediaStorageSOPClassUID", "") or "")
    return not sop_class or "Image Storage" in UID(sop_class).name


def _parsed(header: Any) -> Head:
    shape = (int(header.Rows), int(header.Columns))
    if min(shape) < 1:
        raise ValueError(f"shape {shape}")
    thickness = _numbers(header, "SliceThickness", 1)
    spacing = _numbers(header, "PixelSpacing", 2)
    if spacing is not None and min(spacing) <= 0:
        spacing = None  # not a size: as good as missing
    return Head(
        series_uid=str(header.get("SeriesInstanceUID", "") or ""),
        sop_uid=str(header.get("SOPInstanceUID", "") or ""),
        sop_class=str(header.get("SOPClassUID", "") or ""),
        modality=str(header.get("Modality", "") or ""),
        rows=shape[0],
        columns=shape[1],
        samples=int(header.get("SamplesPerPixel", 1) or 1),
        frames=int(header.get("NumberOfFrames", 1) or 1),
        position=_numbers(header, "ImagePositionPatient", 3),
        orientation=_numbers(header, "ImageOrientationPatient", 6),
        spacing=spacing,
        thickness=thickness[0] if thickness is not None and thickness[0] > 0 else None,
    )


def _numbers(header: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """The finite numbers of an element, or None when it is absent, empty or of another length."""
    value = header.get(keyword)
    if value is None or value == "":
        return None
    found = [float(v) for v in (value if count > 1 else [value])]
    return tuple(found) if len(found) == count and np.isfinite(found).all() else None


def _headers(members: Members) -> Iterator[tuple[Member, tuple[Any, int] | None, bool]]:
    """Every file with its header as `_header` finds it, and whether it says it is DICOM and cannot be read.

    Raises:
        BadCall: all headers together are too much.
    """
    meter = Meter(members.name)
    for member in members.files:
        found, is_damaged = None, False
        try:
            found = _header(member, meter)
        except BadCall:
            raise
        except UNREADABLE:
            is_damaged = True
        yield member, found, is_damaged


def _header(member: Member, meter: Meter, keywords: Sequence[str] | None = None) -> tuple[Any, int] | None:
    """Header, and where the pixels begin in the file; None when the file is no DICOM.

    Raises:
        one of `UNREADABLE`: it says it is DICOM and cannot be read.
        BadCall: all headers together are too much.
    """
    marked = False
    try:
        with member.open() as file:
            marked = file.read(132)[128:] == b"DICM"
            file.seek(0)
            if not marked and file.read(2) != b"\x08\x00":  # old files begin with group 0008 and have no preamble
                return None
            file.seek(0)
            metered: Any = Metered(inflated(file, member.packed, meter), meter)
            try:
                wanted = None if keywords is None else ["SOPClassUID", *keywords]
                header = pydicom.dcmread(metered, stop_before_pixels=True, force=not marked, specific_tags=wanted)
            finally:
                metered.close()
            return (header, metered.tell()) if marked or "SOPClassUID" in header else None
    except BadCall:
        raise
    except UNREADABLE:
        if marked:
            raise
        return None


def _pixel_bytes(header: Any) -> int:
    """Bytes of the pixels as the header has them, unpacked."""
    count = int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames", 1) or 1)
    return count * int(header.get("SamplesPerPixel", 1) or 1) * max(8, int(header.get("BitsAllocated", 16) or 16)) // 8


def _whole(member: Member, header: Any) -> Any:
    """The object with its pixels, which are not larger than its header says."""
    most = max(VALUE_BYTES, int(1.2 * _pixel_bytes(header)))  # what cannot be packed grows a little
    with member.open() as file:
        metered: Any = Metered(inflated(file, member.packed, Meter("")), Meter(""), value_bytes=most)
        data = pydicom.dcmread(metered, force=True)
    if "TransferSyntaxUID" not in data.file_meta:  # old files without a meta header
        implicit, little = data.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian
    check_packed_frames(data)
    return data


def _plain(member: Member, header: Any, offset: int) -> bytes | None:
    """Pixel bytes of a little-endian, uncompressed file, without parsing it a second time."""
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        return None
    with member.open() as file:
        file.seek(offset)
        start = file.read(12 if syntax == ExplicitVRLittleEndian else 8)
        length = int.from_bytes(start[-4:], "little")
        if start[:4] != b"\xe0\x7f\x10\x00" or length == 0xFFFFFFFF:
            return None
        return file.read(min(length, _pixel_bytes(header) + 1))
