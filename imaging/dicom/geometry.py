"""From the places of slices to one affine, or the reason why there is none.

The affine is taken from ImagePositionPatient alone; SliceThickness and SpacingBetweenSlices are
never used as a distance. Source: DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..volume import Affine
from .series import SAME_PLACE_MM

UNEVEN = 0.05
"""Share of the slice distance by which a slice may be off its place before the series counts as uneven."""
# Half a tenth along each of three axes, for the slice itself and for the two ends of the line it is measured against.
_ROUNDED = 2 * 0.05 * 3**0.5 + 1e-6
_MOST_ROUNDED = 0.3  # of a step; a missing slice moves its neighbour by half a step at least
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TILT_DEG = 0.05  # below this the drift is rounding in the header


@dataclass(frozen=True)
class Placement:
    """The order of the slices and the affine of the volume they make.

    Attributes:
        order: indices of the slices, lowest along their normal first.
        thickness_known: False for a single slice whose header says no thickness.
    """

    order: npt.NDArray[np.intp]
    affine: Affine
    notes: tuple[str, ...]
    thickness_known: bool = True


def place(
    positions: npt.ArrayLike,
    orientation: Sequence[float],
    spacing: Sequence[float],
    *,
    thickness_mm: float | None,
    what: str = "slices",
) -> Placement:
    """Order and affine of parallel slices.

    Args:
        positions: (n 3) centres of the first pixels, mm, LPS+.
        orientation: six cosines, along a row and down a column.
        spacing: between rows, between columns, mm.

    Raises:
        BadCall: directions that are no right angle, several slices at one place, slices missing,
            unevenly spaced or off the line.
    """
    points = np.asarray(positions, dtype=np.float64)
    row, column = _directions(orientation)
    normal = np.cross(row, column)
    along = points @ normal
    order = np.argsort(along, kind="stable")
    points, gaps = points[order], np.diff(along[order])
    rounded = _rounding(points)
    _check_gaps(gaps, what, points, rounded)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = row * spacing[1], column * spacing[0]  # x runs along a row, from column to column
    lps[:3, 3] = points[0]
    notes: list[str] = []
    if len(gaps):
        step = (points[-1] - points[0]) / len(gaps)
        lps[:3, 2] = step
        notes += _notes(points, step, normal, thickness_mm, rounded)
    else:
        lps[:3, 2] = normal * (thickness_mm or 1.0)
        notes.append(
            "A single slice: its thickness is taken from the header."
            if thickness_mm
            else "A single slice without thickness: no volume can be given."
        )
    return Placement(order, _LPS_TO_RAS @ lps, tuple(notes), len(gaps) > 0 or thickness_mm is not None)


def _directions(orientation: Sequence[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > 1e-2 or abs(float(row @ column)) > 1e-2:
        raise BadCall(
            "ImageOrientationPatient is no pair of perpendicular unit vectors. Nothing is guessed. Export the series again."
        )
    return row / lengths[0], column / lengths[1]


def _rounding(points: npt.NDArray[np.float64]) -> float:
    """How far off its place, in mm, a slice may be because the header rounds places to tenths; 0 where it does not."""
    return _ROUNDED if np.allclose(points * 10, np.round(points * 10), atol=1e-6) else 0.0


def _is_rounded_line(points: npt.NDArray[np.float64], rounded: float) -> bool:
    """Whether evenly spaced slices, rounded, give these places. A missing slice moves one by half a step or more."""
    line = points[0] + np.arange(len(points))[:, None] * (points[-1] - points[0]) / max(len(points) - 1, 1)
    off = float(np.linalg.norm(points - line, axis=1).max())
    step = float(np.linalg.norm(points[-1] - points[0])) / max(len(points) - 1, 1)
    return off <= min(rounded, _MOST_ROUNDED * step)


def _check_gaps(gaps: npt.NDArray[np.float64], what: str, points: npt.NDArray[np.float64], rounded: float) -> None:
    if not len(gaps):
        return
    if gaps.min() < SAME_PLACE_MM:
        raise BadCall(
            f"{int((gaps < SAME_PLACE_MM).sum()) + 1} {what} lie at the same place (a time series, several echoes or copies). "
            "One per place is needed. Choose another series, or leave one out."
        )
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    off = np.abs(gaps - usual)
    if off.max() > UNEVEN * usual and not _is_rounded_line(points, rounded):
        where = int(off.argmax())
        raise BadCall(
            f"Slices are missing or unevenly spaced: {gaps[where]:.2f} mm after slice {where + 1}, usually {usual:.2f} mm. "
            f"{int((off > UNEVEN * usual).sum())} of {len(gaps)} gaps are off. Give the complete series, evenly spaced."
        )


def _notes(
    points: npt.NDArray[np.float64],
    step: npt.NDArray[np.float64],
    normal: npt.NDArray[np.float64],
    thickness_mm: float | None,
    rounded: float,
) -> list[str]:
    """Warnings; refuses slices that do not lie on one straight line."""
    notes = []
    distance = float(step @ normal)
    off = np.linalg.norm(points - (points[0] + np.arange(len(points))[:, None] * step), axis=1)
    if off.max() > max(UNEVEN * distance, 0.02) and not _is_rounded_line(points, rounded):
        where = int(off.argmax())
        raise BadCall(
            f"The slices do not lie on one straight line: slice {where + 1} is {off[where]:.2f} mm off. "
            "One affine cannot hold them. Export the series evenly spaced."
        )
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(step - distance * normal), distance)))
    if tilt > _TILT_DEG:
        notes.append(
            f"Slices are shifted as by a gantry tilt of {tilt:.1f} degrees; the affine is sheared accordingly."
        )
    if thickness_mm is not None and abs(thickness_mm - distance) > UNEVEN * distance:
        notes.append(
            f"SliceThickness says {thickness_mm:g} mm, but slices lie {distance:g} mm apart; the distance is used."
        )
    return notes
