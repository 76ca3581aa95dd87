"""DICOM elements whose value is none: words that an anonymiser wrote into a date, a number or a code.

Other readers stumble over them, so a written file leaves them out and says so.
"""

from __future__ import annotations

import re
import warnings as python_warnings
from datetime import date
from typing import Any, Protocol

from pydicom.uid import UID, generate_uid

# Source: PS3.5, table 6.2-1 (value representations).
_SHAPES = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]{1,16}"),
    "DS": re.compile(r" *[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)? *"),
    "IS": re.compile(r" *[+-]?\d{1,12} *"),
    "TM": re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?"),
}
_CHOICES = {"PatientSex": ("M", "F", "O"), "PatientIdentityRemoved": ("YES", "NO")}  # PS3.3 C.7.1.1


class HasHeader(Protocol):
    """Where a scan's shared elements come from; see `dicom.source.DicomSource`."""

    @property
    def header(self) -> Any:
        """A data set of pydicom, the caller's own."""


def mended_header(source: HasHeader) -> tuple[Any, tuple[str, ...]]:
    """The shared header without elements whose value their representation does not allow, and a sentence about them.

    They are named, never shown. A UID is replaced by one made from it, so that files of one study still belong together.
    """
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # pydicom warns of the values that are taken out here
        header = source.header
        wrong = unsound_elements(header)
        for keyword in wrong:
            element = header[keyword]
            if element.VR == "UI":
                element.value = generate_uid(entropy_srcs=["mended", str(element.value)])
            else:
                del header[keyword]
    if not wrong:
        return header, ()
    return header, (
        f"Elements of the scan's header that hold no valid value were left out or mended: {', '.join(wrong)}.",
    )


def unsound_elements(header: Any, keywords: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Keywords of top-level elements with a value that is none.

    Args:
        keywords: which to look at; None for all.
    """
    names = header.dir() if keywords is None else keywords
    return tuple(name for name in names if name and name in header and not _is_sound(header, name))


def _is_sound(header: Any, keyword: str) -> bool:
    try:
        element = header[keyword]
    except (TypeError, ValueError):  # pydicom makes numbers of texts when they are asked for
        return False
    value = element.value
    if value is None or value == "" or keyword == "SpecificCharacterSet":
        return True
    values = value if element.VM > 1 else [value]
    return all(_fits(str(one), element.VR, keyword) for one in values)


def _fits(text: str, kind: str, keyword: str) -> bool:
    if kind == "UI":
        return UID(text).is_valid
    if kind == "DA":
        try:
            return len(text) == 8 and bool(date(int(text[:4]), int(text[4:6]), int(text[6:])))
        except ValueError:
            return False
    if keyword in _CHOICES:
        return text.strip() in _CHOICES[keyword]
    shape = _SHAPES.get(kind)
    return shape is None or shape.fullmatch(text.strip()) is not None
