"""What was measured, in words: only what was asked for, with intervals, in the unit asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ....tools.desk.results import CUT
from ...reply import Statement
from ..turn import Found, tell
from .phrases import phrase

_ALL = ("volume", "lengths", "density")
_PARTS_OF = {
    "volume": ("volume",), "sum": ("volume",), "ratio": ("volume",), "compare": ("volume",), "enlarged": ("volume", "lengths"),
    "size": _ALL, "length": ("lengths",), "diameter": ("lengths",), "density": ("density",), "spread": ("density",),
    "surface": ("surface", "volume"), "parts": ("parts", "volume"), "edge": ("volume",), "error": ("volume",), "uptake": ("volume",),
    "ejection": ("volume",), "phases": ("volume",), "thickness": ("volume",), "draft": _ALL,
}  # fmt: skip


def parts_wanted(aspects: Sequence[str], text: str) -> tuple[str, ...]:
    """Which numbers aspects ask for; of comparisons by density or length only those."""
    asks = list(aspects)
    if {"density", "length", "diameter"} & set(asks):  # "which is denser": the volume was not asked for
        asks = [
            one
            for one in asks
            if one not in ("compare", "ratio", "error", "enlarged") or (one == "enlarged" and "volume" in asks)
        ]
    if "size" in asks and len(set(asks) & {"volume", "length", "diameter", "density"}) and "measure" not in text:
        asks.remove("size")
    wanted = [part for one in asks for part in _PARTS_OF.get(one, ())]
    return tuple(dict.fromkeys(wanted)) or _ALL


def said_numbers(found: Found, parts: Sequence[str], text: str, language: str, *, phase: str = "") -> Statement:
    """One structure's numbers."""
    row = found.measured or {}
    said: list[str] = []
    if "volume" in parts and row.get("volume_ml") is not None:
        said.append(_volume(found, row, text, language))
    if "lengths" in parts:
        said += _lengths(row, text, language)
    if "density" in parts and row.get("intensity"):
        said += _grey(row["intensity"], language)
    if "surface" in parts:
        said += _surface(row)
    if "parts" in parts:
        said += _parts(row)
    name = f"{found.name}{phase}"
    if not said:
        return tell(f"The {name} could not be measured: {' '.join(row.get('reasons', []))}", *found.cites)
    sentence = phrase("measures", language, name=found.name, parts=", ".join(said))
    return tell(sentence.replace(found.name, name, 1) if phase else sentence, *found.cites)


def _volume(found: Found, row: dict[str, Any], text: str, language: str) -> str:
    cut = CUT if row.get("truncated_at") else ""
    ends = found.row.get("volume_90_ml")
    value = f"{row['volume_ml']:g}"
    if re.search(r"\bcc\b|cm³", text):
        value = f"{row['volume_ml']:g} cm³ ="
        value = f"{value} {row['volume_ml']:g}"
    if not ends or cut:
        return f"{value} ml{cut}"
    return phrase("interval", language, value=value, cut=cut, low=f"{ends[0]:g}", high=f"{ends[1]:g}")


def _lengths(row: dict[str, Any], text: str, language: str) -> list[str]:
    """A vessel's width across its course; of what has several parts each one's; else in its slice and along the body."""
    lengths, across = row.get("diameters"), row.get("across")
    parts = [part["lengths"]["longest_3d_mm"] for part in row.get("parts") or () if part["lengths"]]
    if across:
        where = (
            f" at {', '.join(f'{mm:g}' for mm in across['widest_at_mm'])} mm (RAS+)"
            if across.get("widest_at_mm")
            else ""
        )
        said = [phrase("across", language, a=f"{across['median_mm']:g}", b=f"{across['widest_mm']:g}") + where]
    elif len(parts) > 1:
        said = [f"the longest diameters of its {len(parts)} parts {', '.join(f'{mm:g}' for mm in parts[:4])} mm"]
    elif not lengths:
        return []
    else:
        said = [phrase("axial", language, a=f"{lengths['longest_axial_mm']:g}", b=f"{lengths['perpendicular_mm']:g}")]
        if lengths.get("craniocaudal_mm") is not None:
            said.append(phrase("along", language, a=f"{lengths['craniocaudal_mm']:g}"))
        said += _directions(lengths, text, language)
    return [_in_cm(one) for one in said] if re.search(r"\bcm\b", text) else said


def _directions(lengths: dict[str, Any], text: str, language: str) -> list[str]:
    said = []
    if re.search(r"\blongest\b|\blength\b|\blong\b|\bmax", text) and lengths.get("longest_3d_mm") is not None:
        said.append(phrase("longest", language, a=f"{lengths['longest_3d_mm']:g}"))
    if re.search(r"\btransverse\b|\bap\b|\banteroposterior\b|\bdimensions\b", text):
        said += [
            f"{lengths[f'{way}_mm']:g} mm {way}"
            for way in ("anteroposterior", "transverse")
            if lengths.get(f"{way}_mm")
        ]
    return said


def _in_cm(said: str) -> str:
    return re.sub(r"(\d+(?:\.\d+)?) mm\b", lambda match: f"{float(match.group(1)) / 10:.2f} cm", said)


def _grey(greys: dict[str, Any], language: str) -> list[str]:
    if greys["unit"] in ("HU", "SUV"):
        return [phrase("grey", language, mean=f"{greys['mean']:g}", sd=f"{greys['sd']:g}", unit=greys["unit"])]
    return [f"a mean signal of {greys['mean']:g} (SD {greys['sd']:g}) in the scan's own unit, which is not HU"]


def _surface(row: dict[str, Any]) -> list[str]:
    area = (row.get("shape") or {}).get("surface_cm2")
    return [] if area is None else [f"a surface of {area:g} cm²"]


def _parts(row: dict[str, Any]) -> list[str]:
    count = (row.get("shape") or {}).get("parts")
    if count is None:
        return []
    sizes = ", ".join(
        f"{part['volume_ml']:g} ml" for part in (row.get("parts") or ())[:6] if part.get("volume_ml") is not None
    )
    return [f"{count} connected part{'s' if count != 1 else ''}{f' ({sizes})' if sizes else ''}"]
