"""Names for the numbers of a label map: from tables in its header, beside it, or above it, and FreeSurfer's own."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import BadCall
from ..guards.doors import Door
from .labels import MOST_NUMBER

FREESURFER = Path(__file__).parent / "freesurfer.tsv"
FREESURFER_NOTE = "Numbers were read as FreeSurfer's (aseg)."
_MOST_BYTES = 1 << 20
_UPLOADED = re.compile(r"^[0-9a-f]{12}_")
Names = Mapping[tuple[int, ...], str]
"""Name of a structure by the numbers that belong to it: one, or several of a region."""
# Label tables in XML, as the Connectome Workbench and TotalSegmentator write them behind a NIfTI header.
_XML_LABEL = re.compile(rb'<Label\s[^<>]{0,200}?Key="(\d{1,9})"[^<>]{0,200}>\s*(?:<!\[CDATA\[)?([^<>\]]{1,200})')
_TABLES = (".ctbl", ".label", ".lut", ".txt", ".tsv")
_LINES = (
    re.compile(
        r'\s*(?P<number>\d{1,9})\s+(?:\d{1,3}\s+){3}[\d.]+\s+[01]\s+[01]\s+"(?P<name>[^"]{1,200})"\s*'
    ),  # ITK-SNAP
    re.compile(r"\s*(?P<number>\d{1,9})\s+(?P<name>\S{1,200})(?:\s+\d{1,3}){3,4}\s*"),  # 3D Slicer, FreeSurfer
)


def names_of(path: Path, door: Door, kind: str) -> tuple[Names, str]:
    """Names, and a sentence about where they come from when that is not the file itself."""
    if kind == "nifti":
        from ..formats.nifti import read_extensions  # nibabel loads slowly

        found: dict[tuple[int, ...], str] = {}
        for number, name in _XML_LABEL.findall(read_extensions(path, door)):
            found.setdefault((int(number),), name.decode("utf-8", "replace").strip())
        if found:
            return _without_nothing(found), ""
    stem = stem_of(path.name)
    for ending in _TABLES:
        text = _text(path.with_name(stem + ending), door)
        table = _bids(text) if ending == ".tsv" else _colours(text)
        if table:
            return table, f"Names come from '{stem}{ending}' beside it."
    beside = path.parent
    for folder in (beside, beside.parent):
        table = _dataset(_text(folder / "dataset.json", door))
        if table:
            return table, "Names come from nnU-Net's dataset.json."
    if kind == "mgh":
        return _freesurfer(), FREESURFER_NOTE
    return {}, ""


def stem_of(name: str) -> str:
    """A file's name without its ending, `.nii.gz` being one."""
    return re.sub(r"(\.seg)?\.[A-Za-z]{2,4}$", "", re.sub(r"\.gz$", "", name, flags=re.IGNORECASE))


def plain_stem(name: str) -> str:
    """A file's name without its ending and without what the upload route puts before it."""
    return _UPLOADED.sub("", stem_of(name))


def structure_in(file_name: str) -> str:
    """What a file's name says of its structure: without its ending, and the handle that our exports add."""
    plain = plain_stem(file_name)
    stem, _, handle = plain.rpartition("_msk_")
    return stem if stem and len(handle) == 12 else plain


def _text(path: Path, door: Door) -> str:
    """A small text file, "" when it is not there or may not be read."""
    try:
        with door.open(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except (BadCall, OSError):
        return ""
    return content.decode("utf-8", "replace") if len(content) <= _MOST_BYTES else ""


def _colours(text: str) -> Names:
    found: dict[tuple[int, ...], str] = {}
    for line in text.splitlines():
        met = next((met for met in (pattern.fullmatch(line) for pattern in _LINES) if met), None)
        if met is not None:
            found[(int(met["number"]),)] = met["name"].strip()
    return _without_nothing(found)


def _bids(text: str) -> Names:
    """Columns "index" and "name", as BIDS has them for discrete segmentations."""
    try:
        rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    except csv.Error:
        return {}
    return _without_nothing({
        (int(row["index"]),): str(row["name"]).strip()
        for row in rows
        if re.fullmatch(r"\d{1,9}", str(row.get("index") or "")) and row.get("name")
    })  # fmt: skip


def _dataset(text: str) -> Names:
    """`labels` of nnU-Net: name to number, name to numbers of a region, or (version 1) number to name.

    Source: MIC-DKFZ/nnUNet `documentation/dataset_format.md` and `region_based_training.md` (Apache-2.0).
    """
    try:
        labels = json.loads(text).get("labels") if text else None
    except (ValueError, AttributeError, RecursionError):
        return {}
    if not isinstance(labels, dict):
        return {}
    found: dict[tuple[int, ...], str] = {}
    for key, value in labels.items():
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}", str(key)):
            found[(int(key),)] = value
        elif numbers := _numbers(value):
            found[numbers] = str(key)
    return _without_nothing(found)


def _numbers(value: Any) -> tuple[int, ...]:
    """Numbers that labels may have; () where one of them is none."""
    given = value if isinstance(value, list) else [value]
    right = [isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= MOST_NUMBER for n in given]
    return tuple(given) if given and all(right) else ()


def _without_nothing(found: Mapping[tuple[int, ...], str]) -> Names:
    return {numbers: name for numbers, name in found.items() if numbers != (0,) and name and name.lower() != "ignore"}


@cache
def _freesurfer() -> Names:
    with FREESURFER.open(encoding="utf-8", newline="") as file:
        return {(int(row["number"]),): row["name"] for row in csv.DictReader(file, delimiter="\t")}
