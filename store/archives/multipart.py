"""`multipart/related` as it arrives: each part goes to its own file, and a body that ends early is noticed.

Source: RFC 2046 5.1.1; the parts are DICOM files (PS3.18 8.6.1.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...imaging.errors import Unavailable
from .downloads import Meter

_MOST_HEAD = 16_384  # bytes of a part's header
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)


class Cut(Unavailable):
    """The answer of an archive ended too early."""


def boundary_of(content_type: str, name: str) -> bytes:
    """The boundary that a Content-Type tells.

    Raises:
        Unavailable: it is no multipart answer.
    """
    met = _BOUNDARY.search(content_type)
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "multipart/related" or met is None:
        shown = kind if re.fullmatch(r"[a-z0-9.+/-]{1,60}", kind) else "something else"
        raise Unavailable(
            f"'{name}' answered {shown} where DICOM files were asked for (multipart/related). Check that its url is the "
            f"root of DICOMweb: `ostensor archives check {name}`."
        )
    return met[1].encode("ascii", "replace")


def save_parts(chunks: Iterable[bytes], boundary: bytes, folder: Path, meter: Meter) -> int:
    """Write each part to a file of the folder as it arrives; answers how many.

    Raises:
        Unavailable: the body ends before its closing boundary, a part is no DICOM file, or `meter` stops it.
        BadCall: more comes than `meter` allows.
    """
    reader = _Reader(_counted(chunks, meter), meter.name)
    reader.skip_to(b"--" + boundary)
    number = 0
    while reader.take(2) == b"\r\n":
        reader.head()
        number += 1
        meter.add_file()
        path = folder / f"{number:06d}.dcm"
        with path.open("wb") as file:
            for piece in reader.until(b"\r\n--" + boundary):
                file.write(piece)
        check_is_dicom(path, meter.name)
    return number


def check_is_dicom(path: Path, name: str) -> None:
    """Refuse a file without DICOM's mark.

    Raises:
        Unavailable: it is none.
    """
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            raise Unavailable(
                f"'{name}' sent a part that is no DICOM file. Ask whoever runs the archive; nothing was kept."
            )


def _counted(chunks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    for chunk in chunks:
        meter.add_bytes(len(chunk))
        yield chunk


class _Reader:
    """Bytes that arrive in pieces of any length."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks, self._held, self._name = chunks, b"", name

    def _more(self) -> None:
        piece = next(self._chunks, None)
        if piece is None:
            raise Cut(f"The answer of '{self._name}' ended before it was complete. Nothing was kept; call it again.")
        self._held += piece

    def take(self, count: int) -> bytes:
        """The next bytes."""
        while len(self._held) < count:
            self._more()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def skip_to(self, mark: bytes) -> None:
        """Pass over everything up to and with the mark."""
        for _ in self.until(mark):
            pass

    def head(self) -> None:
        """Pass over the header of a part; an empty one is no more than its end."""
        while b"\r\n\r\n" not in b"\r\n" + self._held:
            if len(self._held) > _MOST_HEAD:
                raise Unavailable(f"'{self._name}' sent a part whose header does not end. Nothing was kept.")
            self._more()
        self._held = (b"\r\n" + self._held).partition(b"\r\n\r\n")[2]

    def until(self, mark: bytes) -> Iterator[bytes]:
        """What comes before the mark, which is taken, too."""
        while True:
            found = self._held.find(mark)
            if found >= 0:
                piece, self._held = self._held[:found], self._held[found + len(mark) :]
                yield piece
                return
            keep = len(mark) - 1
            if len(self._held) > keep:
                piece, self._held = self._held[:-keep], self._held[-keep:]
                yield piece
            self._more()
