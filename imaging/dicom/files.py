"""DICOM objects in a folder, a file or a zip archive: headers first, pixels only when asked for.

Every value the rest of the reader needs is parsed here once, so that a damaged header is met
here and nowhere else. Nothing is unpacked to disk; a link is followed to a file of the folder itself or of
another one that is allowed, and what it leads to elsewhere is counted as left out.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ..errors import BadCall
from ..guards.limits import check_ratio, check_size
from ..guards.withheld import withhold_header_values

_FILES_LIMIT = 20_000
_ZIP_LIMIT_BYTES = 8 * 1024**3
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
        plain: the bytes of uncompressed pixels straight from the file; None when they are not plain.
    """

    head: Head
    header: Any
    load: Callable[[], Any]
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


def find_parts(path: Path, *, within: Sequence[Path] = ()) -> Parts:
    """Every DICOM image of a folder (searched deep), a file or a zip archive.

    Args:
        within: folders beside `path` that links may lead into.

    Raises:
        BadCall: too many files, an archive that is encrypted, damaged or too large.
    """
    withhold_header_values()
    images, others, damaged = [], set(), 0
    members, links = _members(path, within) if path.is_dir() else ((), 0)
    for opener in (partial(_opened, member) for member in members) if path.is_dir() else _openers(path):
        try:
            found = _header(opener)
        except UNREADABLE:
            damaged += 1
            continue
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
            images.append(
                Part(_parsed(header), header, partial(_whole, opener), partial(_plain, opener, header, offset))
            )
        except UNREADABLE:
            damaged += 1
    return Parts(tuple(images), tuple(sorted(others)), damaged, links)


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


def _header(opener: Callable[[], BinaryIO]) -> tuple[Any, int] | None:
    """Header, and where the pixels begin in the file; None when the file is no DICOM.

    Raises:
        one of `UNREADABLE`: it says it is DICOM and cannot be read.
    """
    marked = False
    try:
        with opener() as file:
            marked = file.read(132)[128:] == b"DICM"
            file.seek(0)
            try:
                return pydicom.dcmread(file, stop_before_pixels=True), file.tell()
            except InvalidDicomError:
                file.seek(0)
                if file.read(2) != b"\x08\x00":  # old files begin with group 0008 and have no preamble
                    return None
                file.seek(0)
                header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
                return (header, file.tell()) if "SOPClassUID" in header else None
    except UNREADABLE:
        if marked:
            raise
        return None


def _whole(opener: Callable[[], BinaryIO]) -> Any:
    with opener() as file:
        data = pydicom.dcmread(file, force=True)
    if "TransferSyntaxUID" not in data.file_meta:  # old files without a meta header
        implicit, little = data.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian
    return data


def _openers(path: Path) -> Iterator[Callable[[], BinaryIO]]:
    if zipfile.is_zipfile(path):
        yield from _zip_openers(path)
    else:
        yield partial(_opened, path)


def _members(path: Path, within: Sequence[Path]) -> tuple[list[Path], int]:
    """The files of a folder, links that may be followed among them, and how many links were left out."""
    allowed = [folder.resolve() for folder in (path, *within)]
    members, links = [], 0
    for member in sorted(path.rglob("*")):
        if not member.is_symlink():
            members += [member] if member.is_file() else []
            continue
        target = member.resolve()
        if target.is_file() and any(target.is_relative_to(folder) for folder in allowed):
            members.append(target)
        else:
            links += 1
    if len(members) > _FILES_LIMIT:
        raise BadCall(
            f"'{path.name}' holds {len(members)} files. At most {_FILES_LIMIT} are searched. Give the folder of one study."
        )
    return members, links


def _plain(opener: Callable[[], BinaryIO], header: Any, offset: int) -> bytes | None:
    """Pixel bytes of a little-endian, uncompressed file, without parsing it a second time."""
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        return None
    with opener() as file:
        file.seek(offset)
        start = file.read(12 if syntax == ExplicitVRLittleEndian else 8)
        length = int.from_bytes(start[-4:], "little")
        if start[:4] != b"\xe0\x7f\x10\x00" or length == 0xFFFFFFFF:
            return None
        return file.read(length)


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _zip_openers(path: Path) -> Iterator[Callable[[], BinaryIO]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except UNREADABLE as error:
        raise BadCall(f"The archive '{path.name}' is damaged ({type(error).__name__}). Copy it again.") from error
    if any(info.flag_bits & 1 for info in members):
        raise BadCall(f"The archive '{path.name}' is encrypted. Unpack it first and give the folder.")
    if len(members) > _FILES_LIMIT or sum(info.file_size for info in members) > _ZIP_LIMIT_BYTES:
        raise BadCall(
            f"'{path.name}' unpacks to more than {_FILES_LIMIT} files or {_ZIP_LIMIT_BYTES // 1024**3} GiB. "
            "Unpack it and give the folder of one series."
        )
    check_ratio(path.name, path.stat().st_size, sum(info.file_size for info in members))
    for info in members:
        check_size(path.name, (info.file_size,), 1)
    yield from (partial(_member, path, info.filename) for info in members)


def _member(path: Path, name: str) -> BinaryIO:
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(name))
