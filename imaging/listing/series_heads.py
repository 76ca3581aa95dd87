"""DICOM files grouped by folder and series, from a dozen elements of each header; no value of them but sizes is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..dicom.files import UNREADABLE, read_elements
from ..dicom.opening.members import Member
from ..dicom.opening.streams import Meter
from ..dicom.series import alias_of_series, modality_of
from ..errors import BadCall
from ..guards.doors import Door

_ELEMENTS = (
    "Modality", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient",
)  # fmt: skip
MASKS = ("SEG", "RTSTRUCT")


@dataclass
class SeriesHead:
    """One series in one folder.

    Attributes:
        kind: "dicom", or "SEG" and "RTSTRUCT" for objects that hold masks, each file of which is one.
        alias: what open_image takes as `series`.
    """

    path: Path
    kind: str
    alias: str = ""
    modality: str = ""
    files: int = 0
    frames: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)
    in_plane: tuple[float, ...] = ()
    heights: list[float] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """Columns, rows, slices; () where slices differ in size."""
        return (*next(iter(self.sizes)), self.frames) if len(self.sizes) == 1 else ()

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Within the slices and from slice to slice; () where it is not told or not even."""
        gaps = np.diff(np.unique(np.round(self.heights, 3)))
        if not self.in_plane or not len(gaps) or float(np.ptp(gaps)) > 0.05 * float(gaps.min()):
            return ()
        return (*self.in_plane, round(float(gaps.mean()), 4))


class SeriesHeads:
    """Collects the series of many files."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._meter = Meter("the folder")
        self._found: dict[tuple[Path, str], SeriesHead] = {}

    def add(self, path: Path, size: int) -> bool:
        """Count a file in; False when it is no DICOM, or one that is neither image nor mask."""
        try:
            data = read_elements(Member(partial(self._door.open, path), size), self._meter, _ELEMENTS)
            if data is None:
                return False
            kind = str(data.get("Modality", "") or "")
            if kind in MASKS:
                self._found[path, ""] = SeriesHead(path, kind, files=1)
                return True
            if "Rows" not in data or "Columns" not in data:
                return False
            uid = str(data.get("SeriesInstanceUID", "") or "")
            head = self._found.setdefault(
                (path.parent, uid), SeriesHead(path.parent, "dicom", alias_of_series(uid), modality_of(kind))
            )
            head.files += 1
            head.frames += int(data.get("NumberOfFrames", 1) or 1)
            head.sizes.add((int(data.Columns), int(data.Rows)))
            spacing, place, turned = (data.get(k) for k in _ELEMENTS[5:])
            if spacing and place and turned:
                head.in_plane = (round(float(spacing[1]), 4), round(float(spacing[0]), 4))
                normal = np.cross([float(v) for v in turned[:3]], [float(v) for v in turned[3:]])
                head.heights.append(float(np.dot([float(v) for v in place], normal)))
        except (BadCall, *UNREADABLE):
            return False
        return True

    @property
    def found(self) -> Sequence[SeriesHead]:
        """Series in the order they were met."""
        return tuple(self._found.values())
