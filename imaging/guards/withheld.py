"""What libraries remark about headers, without the values: pydicom alone repeats names and birth dates in its warnings.

Every remark of theirs, a Python warning or a log line, keeps its category and the elements it is
about. Nothing else of its words is kept, since a header value may stand anywhere in them.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

from ..errors import bare_trace

LIBRARIES = ("pydicom", "highdicom", "nibabel", "pynetdicom", "httpx", "httpcore")
_WORD = re.compile(r"[A-Z][A-Za-z0-9]{3,}")
_TAG = re.compile(r"\(([0-9A-Fa-f]{4}), ?([0-9A-Fa-f]{4})\)|\btag ([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})\b")
_CATEGORY = re.compile(r"\S+:\d+: ([A-Z]\w*Warning): ")  # as `logging.captureWarnings` has them
_DONE = "words_are_withheld"  # of a record
_VR = re.compile(r"\bVR ([A-Z]{2})\b")


def withhold_header_values() -> None:
    """From now on, warnings and log lines of these libraries name category and elements only, in this process.

    Called wherever headers are read or written and where logs are set up; again does nothing.
    """
    if not isinstance(warnings.showwarning, _Shown):
        warnings.showwarning = _Shown(warnings.showwarning)
    if not isinstance(logging.getLogRecordFactory(), _Records):
        logging.setLogRecordFactory(_Records(logging.getLogRecordFactory()))


def without_values(text: str) -> str:
    """A remark of a library as we say it: the elements of DICOM and the value representations it names, no more."""
    found = [*_elements(text), *(f"VR {vr}" for vr in _VR.findall(text) if vr in _known("VR"))]
    about = ", ".join(dict.fromkeys(found)) or "a header"
    return f"a remark on {about}; its words are withheld, for they may hold header values"


def _elements(text: str) -> list[str]:
    keywords = _known("keyword")
    tags = [int((m[1] or m[3]) + (m[2] or m[4]), 16) for m in _TAG.finditer(text)]
    named = [_known("tag")[tag] for tag in tags if tag in _known("tag")]
    return [*named, *(word for word in _WORD.findall(text) if word in keywords)]


def _known(what: str) -> Any:
    """pydicom's dictionary, when it is loaded: keywords, value representations, or keyword by tag."""
    module = sys.modules.get("pydicom.datadict")
    if module is None:
        return {}
    if what == "keyword":
        return module.keyword_dict
    entries = module.DicomDictionary
    return {row[0] for row in entries.values()} if what == "VR" else {tag: row[4] for tag, row in entries.items()}


def _is_theirs(name: object) -> bool:
    return str(name).partition(".")[0] in LIBRARIES


def _from_them() -> bool:
    """Whether one of the libraries is at work further up; a warning's file is often that of its caller."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_theirs(frame.f_globals.get("__name__", "")):
            return True
        frame = frame.f_back
    return False


class _Shown:
    """Python's `warnings.showwarning` with the libraries' words withheld."""

    def __init__(self, before: Callable[..., None]) -> None:
        self._before = before

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if _from_them():
            message = without_values(str(message))
        self._before(message, category, filename, lineno, file, line)


class _Records:
    """`logging`'s maker of records with the libraries' words withheld, whichever handler gets them."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self._before = before

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._before(*args, **kwargs)
        if getattr(record, _DONE, False):  # another library has put its maker round ours, and we ours round that
            return record
        if _is_theirs(record.name) or (record.name == "py.warnings" and _from_them()):
            category = _CATEGORY.match(record.getMessage())
            kept = without_values(record.getMessage())
            record.msg, record.args = f"{category[1]}: {kept}" if category else kept, None
            error = record.exc_info[1] if record.exc_info else None
            record.exc_text, record.exc_info = (bare_trace(error) if error is not None else None), None
            setattr(record, _DONE, True)
        return record
