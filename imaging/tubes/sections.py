"""A tube cut by planes: how large each cut is, and where its middle lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from ..masks.diameters import perpendicular
from ..masks.mesh import greatest_distance
from .depth import Depth, Points

# Own choices, set on the bodies of tests/imaging/tubes; lengths in radii of the ball around the point.
_REACH = 4.0  # a cut is looked at so far from its point
_PIXEL = 1 / 8
_AT_ONCE = 64
_IN_PLANE = np.zeros((3, 3, 3), dtype=np.bool_)
_IN_PLANE[1] = True


@dataclass(frozen=True)
class Cuts:
    """Plane cuts through points (n): area in mm2 and middle (n 3) in mm; NaN where a cut is not whole."""

    areas: Points
    middles: Points

    @property
    def diameters(self) -> Points:
        """Diameters of circles of the same area, mm."""
        across: Points = 2 * np.sqrt(self.areas / np.pi)
        return across


def cut(depth: Depth, points: Points, along: Points) -> Cuts:
    """Cuts at right angles to directions (n 3) through points (n 3), each the connected piece around its point.

    Not whole are cuts that the scan's edge goes through, and those wider than four radii.
    """
    parts = [slice(n, n + _AT_ONCE) for n in range(0, len(points), _AT_ONCE)]
    made = [_cut(depth, points[part], along[part]) for part in parts]
    return Cuts(np.concatenate([one.areas for one in made]), np.concatenate([one.middles for one in made]))


def _cut(depth: Depth, points: Points, along: Points) -> Cuts:
    one, other = _frame(along)
    radius = np.maximum(depth.at(points), depth.deepest / 4)
    ticks = np.arange(-_REACH, _REACH + _PIXEL / 2, _PIXEL)
    u, v = np.meshgrid(ticks, ticks, indexing="ij")
    offsets = u[None, ..., None] * one[:, None, None] + v[None, ..., None] * other[:, None, None]
    places = points[:, None, None] + radius[:, None, None, None] * offsets
    inside = depth.at(places)
    labels, _count = scipy.ndimage.label(inside > 0, _IN_PLANE)
    middle = labels[:, len(ticks) // 2, len(ticks) // 2][:, None, None]
    mine = (labels == middle) & (middle > 0)
    at_border = mine[:, [0, -1]].any(axis=(1, 2)) | mine[:, :, [0, -1]].any(axis=(1, 2))
    outside = (mine & depth.beyond(places)).any(axis=(1, 2))
    whole = mine.any(axis=(1, 2)) & ~at_border & ~outside
    pixel = _PIXEL * radius
    soft = np.clip(inside / pixel[:, None, None] + 0.5, 0, 1)  # share of a pixel that lies inside
    cover = np.where(scipy.ndimage.binary_dilation(mine, _IN_PLANE), soft, 0)
    total = np.where(whole, cover.sum(axis=(1, 2)), np.nan)
    across, up = (radius * (cover * axis).sum(axis=(1, 2)) / total for axis in (u, v))
    return Cuts(total * pixel**2, points + across[:, None] * one + up[:, None] * other)


def lines_across(depth: Depth, point: Points, along: Points, diameter_mm: float) -> tuple[float, float]:
    """The longest line of one cut and the longest at right angles to it, mm, as RECIST has them."""
    one, other = (frame[0] for frame in _frame(along[None]))
    ticks = np.linspace(-1.5, 1.5, 181) * diameter_mm
    u, v = np.meshgrid(ticks, ticks, indexing="ij")
    labels, _count = scipy.ndimage.label(depth.at(point + u[..., None] * one + v[..., None] * other) > 0)
    mine = labels == labels[90, 90]
    step = float(ticks[1] - ticks[0])
    return greatest_distance(np.argwhere(mine).astype(np.float64) * step) + step, perpendicular(mine, step * np.eye(2))


def _frame(along: Points) -> tuple[Points, Points]:
    """Two unit vectors at right angles to each direction and to one another."""
    helper = np.eye(3)[np.abs(along).argmin(axis=1)]
    one = np.cross(along, helper)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    return one, np.cross(along, one)
