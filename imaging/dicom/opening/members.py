"""The files of a DICOM path: of a folder, of a zip archive that is opened once, or the one file it is.

Nothing is unpacked to disk. A link is followed to a file of the folder itself or of another one that is allowed, and
what it leads to elsewhere is counted as left out.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ...errors import BadCall
from ...guards.doors import Door
from ...guards.limits import check_ratio, check_size

_FILES_LIMIT = 20_000
_ZIP_LIMIT_BYTES = 8 * 1024**3
_DIRECTORY_BYTES = 16 * 1024**2  # of an archive; 20,000 entries with names of 700 characters
_END = struct.Struct("<4s4H2LH")  # end of central directory; APPNOTE 4.3.16
_END64_BYTES, _LOCATOR_BYTES = 56, 20  # APPNOTE 4.3.14 and 4.3.15
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """One file.

    Attributes:
        open: a seekable stream of its content.
        packed: bytes it takes where it lies.
    """

    open: Callable[[], BinaryIO]
    packed: int


@dataclass(frozen=True)
class Members:
    """The files of a path.

    Attributes:
        links: left out, because they lead nowhere, to a folder, or out of what may be read.
    """

    name: str
    files: tuple[Member, ...]
    links: int = 0


@contextmanager
def members_of(path: Path, door: Door) -> Iterator[Members]:
    """The files of a folder (searched deep), an archive or a file, open while the block runs.

    Raises:
        BadCall: too many files, or an archive that is encrypted, damaged, oddly packed or too large.
    """
    with ExitStack() as held:
        if path.is_dir():
            yield _of_folder(path, door)
            return
        file = held.enter_context(door.open(path))
        size = os.fstat(file.fileno()).st_size
        marked = file.read(132)[128:] == b"DICM"
        if marked or not zipfile.is_zipfile(file):
            yield Members(path.name, (Member(partial(door.open, path), size),))
            return
        archive = held.enter_context(_archive(file, path.name))
        infos = _checked(archive, path.name, size)
        yield Members(path.name, tuple(Member(partial(_unpacking, archive, i), i.compress_size) for i in infos))


def _of_folder(path: Path, door: Door) -> Members:
    found: list[Path] = []
    links = 0
    for member in path.rglob("*"):
        if len(found) > _FILES_LIMIT:
            raise BadCall(
                f"'{path.name}' holds more than {_FILES_LIMIT} files. No more are searched. Give the folder of one study."
            )
        if not member.is_symlink():
            found += [member] if member.is_file() else []
            continue
        target = member.resolve()
        if target.is_file() and any(target.is_relative_to(folder) for folder in (path.resolve(), *door.folders)):
            found.append(target)
        else:
            links += 1
    return Members(
        path.name, tuple(Member(partial(door.open, file), file.stat().st_size) for file in sorted(found)), links
    )


def _archive(file: BinaryIO, name: str) -> zipfile.ZipFile:
    """The archive, once its directory is known to be small enough to be read."""
    if _directory_bytes(file) > _DIRECTORY_BYTES:
        raise _too_many(name)
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError, OverflowError) as error:
        raise BadCall(f"The archive '{name}' is damaged ({type(error).__name__}). Copy it again.") from error


def _directory_bytes(file: BinaryIO) -> int:
    """What the end of the archive says of its directory; the larger of what it says twice."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 65_557 - _END64_BYTES - _LOCATOR_BYTES))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return 0
    told = int(_END.unpack_from(tail, at)[5])
    at -= _LOCATOR_BYTES + _END64_BYTES
    if at >= 0 and tail[at : at + 4] == b"PK\x06\x06":
        return int(struct.unpack_from("<Q", tail, at + 40)[0])
    return told


def _checked(archive: zipfile.ZipFile, name: str, size: int) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if any(info.flag_bits & 1 for info in infos):
        raise BadCall(f"The archive '{name}' is encrypted. Unpack it first and give the folder.")
    if any(info.compress_type not in _METHODS for info in infos):
        raise BadCall(f"The archive '{name}' is packed by another method than deflate. Pack it again as a plain zip.")
    if len(infos) > _FILES_LIMIT or sum(info.file_size for info in infos) > _ZIP_LIMIT_BYTES:
        raise _too_many(name)
    check_ratio(name, size, sum(info.file_size for info in infos))
    for info in infos:
        check_size(name, (info.file_size,), 1)
    return infos


def _too_many(name: str) -> BadCall:
    return BadCall(
        f"'{name}' unpacks to more than {_FILES_LIMIT} files or {_ZIP_LIMIT_BYTES // 1024**3} GiB. "
        "Unpack it and give the folder of one series."
    )


def _unpacking(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """A member, unpacked as it is read and never further than its entry says."""
    return io.BufferedReader(archive.open(info), buffer_size=1 << 16)  # type: ignore[type-var]  # it reads into buffers
