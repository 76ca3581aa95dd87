"""RT structure sets of anybody, filled on the image's slices.

Source: DICOM PS3.3 C.8.8.5 and C.8.8.6; holes are read by the even-odd rule, which keyholes and contours within contours
both follow (C.8.8.6.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dicom.contours import fill, holds, is_degenerate, signed_area
from ..errors import BadCall
from ..formats.segments import lps_affine
from ..volume import BoolArray, Grid
from .labels import LabelFile, Labels, Piece
from .placing import NEAR_VOXELS

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_MOST_IN_A_PLANE = 300  # contours of one region
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Region:
    """A region of the set: its contours as voxel indices of the image (n 3), and how many are points or open lines."""

    number: int
    name: str
    contours: tuple[Points, ...] = ()
    not_closed: int = 0


def read_outlines(data: Any, name: str, target: Grid, sha256: str, *, resample: bool) -> LabelFile:
    """The regions of a structure set, filled on the grid of the image.

    Args:
        resample: contours between the slices go to those they are nearest to.

    Raises:
        BadCall: contours that are damaged, parallel to no axis of the image or, without `resample`, between slices or outside.
    """
    if not target.spacing_known:
        raise BadCall("The image's voxel size is not known, and outlines are in mm. Open it with its spacing_mm first.")
    try:
        regions = _regions(data, np.linalg.inv(lps_affine(target)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadCall(f"A contour of '{name}' is damaged ({type(error).__name__}). Export it again.") from error
    axis = _axis(regions, name)
    step = _check(regions, axis, target, name, resample=resample)
    pieces, arrays = [], []
    for layer, region in enumerate(regions):
        area = _area(region.contours, axis)
        pieces.append(
            Piece(
                str(region.number),
                (region.name,) if region.name else (),
                layer,
                exact=False,
                before_ml=None if area is None else area * target.voxel_ml * step,
                notes=_said(region, axis, target, step),
            )
        )
        arrays.append(partial(_filled, region.contours, axis, target, step))

    def layer_of(number: int) -> Labels:
        return arrays[number]()

    return LabelFile("rtstruct", target, tuple(pieces), layer_of, sha256, header=data)


def _regions(data: Any, inverse: npt.NDArray[Any]) -> list[_Region]:
    names = {
        int(item.ROINumber): str(item.get("ROIName", "") or "") for item in data.get("StructureSetROISequence") or []
    }
    found = []
    for item in data.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        contours, not_closed = [], 0
        for contour in item.get("ContourSequence") or []:
            points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
            if not np.isfinite(points).all():
                raise ValueError("no numbers")
            if str(contour.get("ContourGeometricType", "")) not in _CLOSED:
                not_closed += 1
                continue
            contours.append(points @ inverse[:3, :3].T + inverse[:3, 3])
        found.append(_Region(number, names.get(number, ""), tuple(contours), not_closed))
    drawn = {region.number for region in found}
    return found + [_Region(number, told) for number, told in names.items() if number not in drawn]


def _axis(regions: Sequence[_Region], name: str) -> int:
    """The axis of the image that every contour is flat along; slices first."""
    contours = [contour for region in regions for contour in region.contours]
    for axis in (2, 1, 0):
        if all(float(np.ptp(contour[:, axis])) <= 2 * NEAR_VOXELS for contour in contours):
            return axis
    raise BadCall(
        f"The contours of '{name}' are parallel to no axis of the image, so they cannot be filled on its slices. Open the "
        "scan they were drawn on."
    )


def _check(regions: Sequence[_Region], axis: int, target: Grid, name: str, *, resample: bool) -> float:
    """Slices of the image from contour plane to contour plane: 1 where every contour lies in a slice.

    Raises:
        BadCall: contours between the slices or outside, and resampling was not asked for.
    """
    heights = np.array([float(c[:, axis].mean()) for region in regions for c in region.contours])
    if not len(heights):
        return 1.0
    between = np.abs(heights - np.rint(heights)) > NEAR_VOXELS
    outside = (heights < -0.5) | (heights > target.shape[axis] - 0.5)
    if not between.any() and not outside.any():
        return 1.0
    if not resample:
        raise BadCall(
            f"Of {len(heights)} contours of '{name}' {int(between.sum())} lie between the slices of the image and "
            f"{int(outside.sum())} outside of it. Open the scan they were drawn on, or pass resample=true to fill the "
            "nearest slices."
        )
    if not between.any():
        return 1.0
    gaps = np.diff(np.unique(np.round(heights, 2)))
    return max(float(gaps[gaps > NEAR_VOXELS].min()), NEAR_VOXELS) if (gaps > NEAR_VOXELS).any() else 1.0


def _by_level(contours: Sequence[Points], axis: int) -> dict[float, list[Points]]:
    """Contours of a plane together, lowest first, without the axis they are flat along."""
    levels: dict[float, list[Points]] = {}
    height = -np.inf
    for contour in sorted(contours, key=lambda one: float(one[:, axis].mean())):
        here = float(contour[:, axis].mean())
        height = height if here - height <= NEAR_VOXELS else here
        levels.setdefault(height, []).append(np.delete(contour, axis, axis=1))
    return levels


def _area(contours: Sequence[Points], axis: int) -> float | None:
    """Area of all contours in voxels; a contour that lies in another one of its plane is a hole.

    None where a plane has more contours than anybody draws.
    """
    found = 0.0
    for polygons in _by_level(contours, axis).values():
        sound = [p for p in polygons if not is_degenerate(p)]
        if len(sound) > _MOST_IN_A_PLANE:
            return None
        for n, polygon in enumerate(sound):
            around = sum(holds(other, polygon[0]) for m, other in enumerate(sound) if m != n)
            found += abs(signed_area(polygon)) * (-1 if around % 2 else 1)
    return found


def _filled(contours: Sequence[Points], axis: int, target: Grid, step: float) -> BoolArray:
    """Every slice filled by the nearest plane of contours, where that is at most half a step away."""
    shape = tuple(n for a, n in enumerate(target.shape) if a != axis)
    found = np.zeros((target.shape[axis], *shape), dtype=np.bool_)
    levels = _by_level(contours, axis)
    heights = np.array(list(levels))
    planes = list(levels.values())
    for z in range(target.shape[axis]) if planes else ():
        nearest = int(np.abs(heights - z).argmin())
        if abs(heights[nearest] - z) <= max(step, 1.0) / 2 + NEAR_VOXELS:
            found[z] = fill(planes[nearest], (shape[0], shape[1]))
    return np.moveaxis(found, 0, axis)


def _said(region: _Region, axis: int, target: Grid, step: float) -> tuple[str, ...]:
    notes = []
    if region.not_closed:
        notes.append(f"{region.not_closed} contours that are points or open lines were left out.")
    empty = sum(is_degenerate(np.delete(c, axis, axis=1)) for c in region.contours)
    if empty:
        notes.append(f"{empty} contours that enclose nothing were left out.")
    outside = sum(not -0.5 <= float(c[:, axis].mean()) <= target.shape[axis] - 0.5 for c in region.contours)
    if outside:
        notes.append(f"{outside} contours outside the image were left out.")
    if step != 1.0:
        notes.append(f"Contours lie {step:.3g} slices apart; each fills the slices it is nearest to.")
    return tuple(notes)
