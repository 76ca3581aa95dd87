"""Which series a DICOM folder holds, and which stacks of parallel slices a series is made of.

No identifier leaves this file: a series is named by an alias made from its UID, a stack of a
mixed series by the alias and a number; descriptions are made of numbers and words of ours.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import BadCall
from ..volume import Modality
from .files import Part, find_parts
from .opening.members import Members

_MODALITIES: dict[str, Modality] = {
    "CT": "ct", "MR": "mr", "PT": "pet", "US": "us", "CR": "xr", "DX": "xr", "XA": "xr", "RF": "xr", "MG": "xr",
}  # fmt: skip
SAME_PLACE_MM = 1e-3
_SIEMENS = "SIEMENS MR HEADER"  # creator of private elements
# Times that may run on from slice to slice; slices at one place are told apart by their order.
_RUNNING = ("TriggerTime", "AcquisitionTime", "ContentTime", "InstanceNumber")
# What may cover other places in one group than in the next, as two acquisitions do.
_UNEVEN = ("EchoTime", "EchoNumbers", "AcquisitionNumber", "ImageType")
# What tells slices at one place apart, likeliest first: keyword, our words, and whether the value itself may be shown.
_TELLING = (
    ("EchoTime", "echo time", True),
    ("EchoNumbers", "echo", True),
    ("TemporalPositionIdentifier", "time point", True),
    ("DiffusionBValue", "b-value", True),
    ("AcquisitionNumber", "acquisition", True),
    ("TriggerTime", "trigger time", True),
    ("ImageType", "image type", False),
    ("AcquisitionTime", "acquisition time", False),
)


class NoImages(BadCall):
    """Nothing at a path is a DICOM image; something else may be."""


@dataclass(frozen=True)
class Stack:
    """Slices of one series that may form one volume.

    Attributes:
        alias: what the caller passes back to choose it.
        differs: what sets it apart from the other stacks of its series, or "".
    """

    alias: str
    parts: tuple[Part, ...]
    differs: str = ""

    @property
    def modality(self) -> Modality:
        """As this project names it."""
        return modality_of(self.parts[0].head.modality)


@dataclass(frozen=True)
class Series:
    """One series: a single stack, or several when slices of different kinds are mixed in it.

    Attributes:
        mixed: in what the stacks differ: "sizes", "directions", "times or echoes"; "" for a single stack.
    """

    alias: str
    stacks: tuple[Stack, ...]
    mixed: str


@dataclass(frozen=True)
class Study:
    """What a path holds.

    Attributes:
        damaged: image files left out because their header could not be parsed.
        links: links left out; see `files.Parts`.
    """

    series: tuple[Series, ...]
    damaged: int
    links: int = 0

    @property
    def left_out(self) -> tuple[str, ...]:
        """What was passed over, a sentence each."""
        notes = [f"{self.damaged} image files with damaged headers were left out."] if self.damaged else []
        if self.links:
            notes.append(
                f"{self.links} links were left out: they lead nowhere, to a folder, or out of the allowed roots."
            )
        return tuple(notes)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """All there is to choose from, largest first."""
        every = [stack for one in self.series for stack in one.stacks]
        return tuple(sorted(every, key=lambda stack: (-_slices(stack), stack.alias)))


def discover(members: Members) -> Study:
    """The series among the files of a folder, a file or a zip archive.

    Raises:
        BadCall: nothing in it is a DICOM image.
    """
    found = find_parts(members)
    if not found.images:
        if found.damaged:
            raise BadCall(
                f"'{members.name}' holds {found.damaged} DICOM images with damaged headers. Export them again."
            )
        if found.others:
            raise NoImages(
                f"'{members.name}' holds DICOM of kind {', '.join(found.others)}, no DICOM image. Give the scan it belongs to."
                + (" SEG and RTSTRUCT are for import_mask." if {"SEG", "RTSTRUCT"} & set(found.others) else "")
            )
        if found.links:
            raise BadCall(
                f"'{members.name}' holds {found.links} links that lead nowhere, to a folder, or out of the allowed roots, and "
                "no DICOM image beside them. Copy the files, or allow the folder they lie in as a root."
            )
        raise NoImages(f"'{members.name}' holds no DICOM image. Give a folder, file or zip with image slices.")
    by_uid: dict[str, list[Part]] = defaultdict(list)
    for part in found.images:
        by_uid[part.head.series_uid].append(part)
    series = tuple(_split(alias_of_series(uid), parts) for uid, parts in by_uid.items())
    return Study(series, found.damaged, found.links)


def alias_of_series(uid: str) -> str:
    """What callers know a series by; its UID stays hidden."""
    return "ser_" + hashlib.sha256(uid.encode()).hexdigest()[:8]


def choose(study: Study, alias: str | None) -> Stack | None:
    """The stack of this alias; None when none is named and there are several series.

    Raises:
        BadCall: an unknown alias, or a series that mixes several stacks.
    """
    stacks = {stack.alias: stack for stack in study.stacks}
    if alias is None and len(study.series) > 1:
        return None
    if alias is not None and alias in stacks:
        return stacks[alias]
    for one in study.series:
        if alias in (None, one.alias):
            if len(one.stacks) == 1:
                return one.stacks[0]
            refuse_mosaic(one.stacks[0].parts[0].header)
            listed = "; ".join(f"{s.alias}: {describe(s)}, {_slices(s)} slices" for s in one.stacks[:8])
            raise BadCall(
                f"The series mixes slices of different {one.mixed}. One volume needs slices of one kind. "
                f"Open one part of it with series set to one of {len(one.stacks)}: {listed}."
            )
    raise BadCall(f"There is no series '{str(alias)[:40]}'. Choose one of: {', '.join(stacks)}.")


def refuse_mosaic(header: Any) -> None:
    """Refuse a picture that is many slices tiled side by side: read as one slice, its places and sizes are wrong.

    Siemens says so in Image Type, and in its private number of images per mosaic (0019,100A).
    Source: the mosaic format as read by rordenlab/dcm2niix (console/nii_dicom.cpp, BSD-2-Clause).

    Raises:
        BadCall: it is one.
    """
    kinds = [str(kind).upper() for kind in header.get("ImageType") or []]
    try:
        count = int(header.private_block(0x0019, _SIEMENS)[0x0A].value)
    except (KeyError, TypeError, ValueError, IndexError):
        count = 0
    if "MOSAIC" in kinds or count > 1:
        held = f"{count} slices" if count > 1 else "several slices"
        raise BadCall(
            f"The DICOM picture is a mosaic: {held} tiled side by side in one image of {header.get('Rows')} x "
            f"{header.get('Columns')} pixels. Read as one slice it would be wrong. Convert it first (dcm2niix makes NIfTI of it)."
        )


def summaries(study: Study) -> tuple[SeriesSummary, ...]:
    """What there is to choose from, largest first."""
    return tuple(SeriesSummary(s.alias, s.modality, describe(s), _slices(s)) for s in study.stacks)


def modality_of(code: str) -> Modality:
    """DICOM's modality code as this project names it."""
    return _MODALITIES.get(code, "unknown")


def describe(stack: Stack) -> str:
    """Plane, size and what differs, without any text of the header."""
    head = stack.parts[0].head
    plane = ""
    if head.orientation is not None:
        normal = np.abs(np.cross(head.orientation[:3], head.orientation[3:]))
        plane = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return " ".join(word for word in (plane, f"{head.rows}x{head.columns}", stack.differs) if word)


def heights(parts: Sequence[Part]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How far along the slices' normal each lies, mm."""
    orientation = parts[0].head.orientation
    assert orientation is not None
    positions = np.array([part.head.position for part in parts], dtype=np.float64)
    along: np.ndarray[tuple[int], np.dtype[np.float64]] = positions @ np.cross(orientation[:3], orientation[3:])
    return along


def _slices(stack: Stack) -> int:
    return sum(part.head.frames for part in stack.parts)


def _split(alias: str, parts: list[Part]) -> Series:
    """The stacks of a series: by size, then by direction, then by what tells slices at one place apart."""
    stacks = [Stack(alias, tuple(parts))]
    mixed = ""
    for name, divide in (("sizes", _by_size), ("directions", _by_direction), ("times or echoes", _by_time)):
        divided = [small for stack in stacks for small in divide(stack)]
        if len(divided) > len(stacks):
            mixed = mixed or name
        stacks = divided
    if len(stacks) > 1:
        stacks = [replace(stack, alias=f"{alias}-{number}") for number, stack in enumerate(stacks, start=1)]
    return Series(alias, tuple(stacks), mixed)


def _grouped(stack: Stack, key: Callable[[Part], Hashable]) -> list[Stack]:
    groups: dict[Hashable, list[Part]] = defaultdict(list)
    for part in stack.parts:
        groups[key(part)].append(part)
    return [replace(stack, parts=tuple(group)) for group in groups.values()]


def _by_size(stack: Stack) -> list[Stack]:
    """Multi-frame files and pictures without a place stand alone; slices group by rows, columns, spacing and colour."""

    def key(part: Part) -> Hashable:
        head = part.head
        spacing = None if head.spacing is None else tuple(round(s, 3) for s in head.spacing)
        alone = head.frames > 1 or (not head.is_placed and modality_of(head.modality) in ("xr", "us"))
        return (head.rows, head.columns, spacing, head.samples, head.is_placed, head.sop_uid if alone else "")

    return _grouped(stack, key)


def _by_direction(stack: Stack) -> list[Stack]:
    if not stack.parts[0].head.is_placed:
        return [stack]
    seen: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []

    def key(part: Part) -> Hashable:
        direction = np.array(part.head.orientation)
        for number, known in enumerate(seen):
            if np.abs(direction - known).max() <= 1e-3:
                return number
        seen.append(direction)
        return len(seen) - 1

    return _grouped(stack, key)


def _by_time(stack: Stack) -> list[Stack]:
    """Echoes, time points and the like, where one of them alone makes every place unique.

    Groups cover the same places, or else are acquisitions of several slices each. Where every slice has a time of its
    own, the first, second, third of each place belong together.
    """
    if not stack.parts[0].head.is_placed or len({p.head.sop_uid for p in stack.parts}) == 1 or _unique(stack):
        return [stack]
    uneven: list[Stack] = []
    for keyword, words, shown in _TELLING:
        values = [str(part.header.get(keyword, "")) for part in stack.parts]
        if "" in values or len(set(values)) == 1:
            continue
        wanted = dict(zip((id(part) for part in stack.parts), values, strict=True))
        groups = _grouped(stack, lambda part: wanted[id(part)])  # noqa: B023  # used within this turn only
        if not all(_unique(group) for group in groups):
            continue
        named = [
            replace(group, differs=f"{words} {wanted[id(group.parts[0])] if shown else number}")
            for number, group in enumerate(groups, start=1)
        ]
        if len({tuple(sorted(_places(group))) for group in groups}) == 1:
            return named
        if not uneven and keyword in _UNEVEN and min(len(group.parts) for group in groups) > 1:
            uneven = named
    return _by_order(stack) or uneven or [stack]


def _by_order(stack: Stack) -> list[Stack]:
    """The first, second, third slice of each place by a time that runs on; empty where places differ in their number."""
    once = list({part.head.sop_uid: part for part in stack.parts}.values())
    at: dict[int, list[Part]] = defaultdict(list)
    for part, place in zip(once, _places(replace(stack, parts=tuple(once))), strict=True):
        at[place].append(part)
    counts = {len(parts) for parts in at.values()}
    if len(counts) != 1 or len(at) < 2:
        return []
    for keyword in _RUNNING:
        try:
            ordered = [sorted(parts, key=lambda part: _number_of(part, keyword)) for parts in at.values()]
        except (TypeError, ValueError):
            continue
        if all(_number_of(a, keyword) < _number_of(b, keyword) for parts in ordered for a, b in pairwise(parts)):
            return [
                replace(stack, parts=tuple(parts[n] for parts in ordered), differs=f"time point {n + 1}")
                for n in range(max(counts))
            ]
    return []


def _number_of(part: Part, keyword: str) -> float:
    return float(part.header.get(keyword))


def _places(stack: Stack) -> tuple[int, ...]:
    """Where each slice lies along the normal, in steps of `SAME_PLACE_MM`."""
    return tuple(round(float(height) / SAME_PLACE_MM) for height in heights(stack.parts))


def _unique(stack: Stack) -> bool:
    """True when no two files lie at one place; copies of one file (same UID) count once."""
    once = list({part.head.sop_uid: part for part in stack.parts}.values())
    return len(once) < 2 or bool(np.diff(np.sort(heights(once))).min() >= SAME_PLACE_MM)


@dataclass(frozen=True)
class SeriesSummary:
    """One series of a DICOM folder, without anything that names the patient.

    Attributes:
        series: short alias to pass back as `series`; made from the series UID, which stays hidden.
        description: plain words about the acquisition, or "".
        slices: files of the series.
    """

    series: str
    modality: Modality
    description: str
    slices: int
