"""What an NRRD or MetaImage header says about the place of its voxels, read from its text.

SimpleITK fills in what a header leaves out (1 mm, axes along the patient's), so the answer of the
library cannot tell a fact of the file from its own default. Source: the NRRD format
(https://teem.sourceforge.net/nrrd/format.html, sections 4 and 5) and MetaIO's tag reference
(https://itk.org/Wiki/ITK/MetaIO/Documentation).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = re.compile(r"[^\s(),]+")
# Spaces of NRRD whose axes are named after the patient; "scanner-xyz" and "3D-right-handed" are not.
_PATIENT_SPACES = ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior", "ras", "las", "lps")
_MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "meter": 1000.0, "um": 1e-3, "μm": 1e-3,
       "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6}  # fmt: skip
_METAIMAGE_DIRECTIONS = ("transformmatrix", "rotation", "orientation")


@dataclass(frozen=True)
class PlaceSaid:
    """Whether a header tells the size and the orientation of its voxels.

    Attributes:
        scale_mm: mm of one unit of the header.
    """

    spacing: bool
    orientation: bool
    scale_mm: float = 1.0


def said_of_place(head: bytes) -> PlaceSaid:
    """What the first bytes of an NRRD, MHA or MHD file say.

    Args:
        head: of the file; what follows the header is passed over.
    """
    if head.startswith(b"NRRD"):
        return _nrrd(_fields(re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0], ":"))
    text = re.split(rb"(?im)^\s*ElementDataFile\b", head, maxsplit=1)[0]
    return _metaimage(_fields(text, "="))


def _fields(text: bytes, sign: str) -> dict[str, str]:
    """Lower-case names and their values; comments and NRRD's own key:=value pairs are left out."""
    found = {}
    for line in text.decode("utf-8", "replace").splitlines():
        name, met, value = line.partition(sign)
        if met and not line.startswith("#") and not value.startswith("="):
            found[name.strip().lower()] = value.strip()
    return found


def _nrrd(fields: dict[str, str]) -> PlaceSaid:
    vectors = [vector for vector in re.findall(r"\([^)]*\)", fields.get("space directions", "")) if _sizes(vector)]
    spacings = [n for n in fields.get("spacings", "").split() if n.lower() not in ("nan", "none")]
    given = len(vectors) >= 3 or (len(spacings) >= 3 and all(_sizes(n) for n in spacings))
    space = fields.get("space", "").lower().removesuffix("-time").removesuffix("t")
    units = fields.get("space units") if vectors else fields.get("units")
    words = {word.lower() for word in re.findall(r'"([^"]*)"', units or "")} - {"", "s", "ms", "none", "???"}
    scales = {_MM.get(word) for word in words} or {1.0}
    scale = scales.pop() if len(scales) == 1 else None
    return PlaceSaid(given and scale is not None, len(vectors) >= 3 and space in _PATIENT_SPACES, scale or 1.0)


def _metaimage(fields: dict[str, str]) -> PlaceSaid:
    spacing = fields.get("elementspacing", "")
    turned = any(_sizes(fields.get(name, "")) for name in _METAIMAGE_DIRECTIONS)
    # "RAI" is what ITK calls axes that run along LPS, its own default.
    return PlaceSaid(
        len(_NUMBER.findall(spacing)) >= 3 and _sizes(spacing, each=True),
        turned or fields.get("anatomicalorientation", "").upper() == "RAI",
    )


def _sizes(text: str, *, each: bool = False) -> bool:
    """True when the numbers are finite and not all (with `each`: none) zero."""
    try:
        numbers = [float(n) for n in _NUMBER.findall(text)]
    except ValueError:
        return False
    counts = all if each else any
    return bool(numbers) and all(math.isfinite(n) for n in numbers) and counts(n != 0 for n in numbers)
