"""Where a mask lies: beside the body's middle, and among its neighbours as in reference bodies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..masks import measures
from ..region import Region
from ..volume import Volume
from .priors import Point, Priors, partner_of, side_of

LEAST_NEIGHBOURS = 3
_BODY_HU = -300.0  # air and lung below, skin and all else above
_BODY_SHARE = 0.08  # of a non-CT scan's bright end; below it is air


def body_offset(region: Region, image: Volume | None, near: Mapping[str, Region]) -> float | None:
    """How far to the patient's right of the body's middle it lies, as a share of the body's half-width.

    The middle is that of the body's outline in the mask's own slices, or half-way between pairs of
    other structures. None when neither is to be had.
    """
    axis = next(a for a, code in enumerate(region.grid.axis_codes) if code in "RL")
    sign = 1 if region.grid.axis_codes[axis] == "R" else -1
    found = None if image is None else _outline(region, image, axis)
    if found is None:
        found = _between_pairs(region, near, axis)
    if found is None:
        return None
    middle, half = found
    return sign * (float(region.centre_index[axis]) - middle) / half


def _outline(region: Region, image: Volume, axis: int) -> tuple[float, float] | None:
    """Middle and half-width of the body along an axis, in voxels, from a few slices through the mask."""
    assert region.box is not None
    axial = region.axial_axis
    if axial == axis:
        return None
    places = np.unique(np.linspace(region.box.start[axial], region.box.stop[axial] - 1, 7).astype(int))
    scan = np.moveaxis(np.moveaxis(image.array, axial, 0)[places], 0, axial).astype(np.float32)
    bright = _BODY_HU if image.modality == "ct" else _BODY_SHARE * float(np.percentile(scan, 99))
    lines = (scan > bright).sum(axis=tuple(a for a in range(3) if a != axis)).astype(np.float64)
    if lines.sum() < 100 or lines[0] > 0.9 * lines.max() or lines[-1] > 0.9 * lines.max():
        return None  # nothing there, or the body does not end within the scan
    reached = np.cumsum(lines) / lines.sum()
    low, middle, high = (float(np.searchsorted(reached, share)) for share in (0.02, 0.5, 0.98))
    return middle, max(1.0, (high - low) / 2)


def _between_pairs(region: Region, near: Mapping[str, Region], axis: int) -> tuple[float, float] | None:
    """Middle between pairs of other structures, and half the scan's width as a scale."""
    middles = []
    for name, one in near.items():
        other = near.get(partner_of(name) or "")
        if side_of(name) == "left" and other is not None and one.voxels and other.voxels:
            middles.append((float(one.centre_index[axis]) + float(other.centre_index[axis])) / 2)
    if not middles:
        return None
    return float(np.median(middles)), region.grid.shape[axis] / 2


def place_error(region: Region, structure: str, near: Mapping[str, Region], priors: Priors) -> float | None:
    """Distance in mm from where the neighbours' places in reference bodies put it; the kindest body counts.

    Each body is moved and scaled so that its centres fit those of the neighbours. None when no body has
    the structure and at least three of its neighbours.
    """
    centre = measures.centroid_mm(region)
    if centre is None:
        return None
    whole = {}
    for name, other in near.items():
        point = measures.centroid_mm(other)
        if point is not None and not other.touches_edge:
            whole[name] = np.array(point)
    errors = []
    for body in priors.bodies.values():
        shared = [name for name in whole if name in body]
        if structure in body and len(shared) >= LEAST_NEIGHBOURS:
            expected = _fitted(body, whole, shared, structure)
            errors.append(float(np.linalg.norm(np.array(centre) - expected)))
    return min(errors, default=None)


def _fitted(body: Mapping[str, Point], whole: Mapping[str, Point], shared: list[str], structure: str) -> Point:
    """The structure's place after moving the body by the median and scaling it by the spread of the neighbours."""
    here, there = np.array([whole[name] for name in shared]), np.array([body[name] for name in shared])
    middle, base = np.median(here, axis=0), np.median(there, axis=0)
    spread = np.linalg.norm(there - base, axis=1).sum()
    scale = np.linalg.norm(here - middle, axis=1).sum() / spread if spread else 1.0
    point: Point = middle + np.clip(scale, 0.75, 1.33) * (body[structure] - base)
    return point
