"""Where masks lie: in the patient, in the picture, and to one another. Numbers, not guesses.

Places are measured along the patient's right (R), front (A) and head (S) from the scan's low
corner, in mm, or in voxels when the voxel size is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import edt
import numpy as np

from ..errors import BadCall
from ..geometry import Box, reorient_array, reorient_mask
from ..volume import BoolArray, Grid, Mask
from .edit import filled

Point = tuple[float, float, float]

# Direction word -> RAS axis and sign. Left and right are the patient's.
_BODY = {"left": (0, -1), "right": (0, 1), "back": (1, -1), "front": (1, 1), "bottom": (2, -1), "top": (2, 1)}
DIRECTIONS = (*_BODY, *(f"picture {word}" for word in ("left", "right", "top", "bottom")))
# The axis a flat picture is cut along -> what lies at its left and at its top (as `imaging.pictures` draws).
_PICTURES = {0: ((1, 1), (2, 1)), 1: ((0, 1), (2, 1)), 2: ((0, 1), (1, 1))}

# Share of a liver right of Cantlie's plane when no landmark shows the plane.
# Source: Abdalla et al. 2004, Surgery 135:404-410: segments V-VIII hold 65 % (SD 7 %) of the liver.
RIGHT_LIVER = 0.65


@dataclass(frozen=True)
class Place:
    """A mask's size and position along R, A, S.

    Attributes:
        voxels: how many.
        size: volume in ml; area or volume in voxels when the voxel size is unknown.
        centre: centre of mass.
        low, high: faces of the box around it.
        field: the scan's extent along R, A, S.
        unit: "mm", or "voxels" when the voxel size is unknown.
    """

    voxels: int
    size: float
    centre: Point
    low: Point
    high: Point
    field: Point
    unit: str

    @property
    def size_unit(self) -> str:
        """Unit of `size`."""
        return "ml" if self.unit == "mm" else "voxels"

    def edge(self, axis: int, sign: int) -> float:
        """Its outermost face towards a direction; larger is farther that way."""
        return self.high[axis] if sign > 0 else -self.low[axis]


def place(mask: Mask) -> Place | None:
    """Where a mask lies; None when it is empty."""
    array, grid = reorient_array(mask.array, mask.grid, "RAS")
    step = grid.spacing_mm if grid.spacing_known else (1.0, 1.0, 1.0)
    lines = [np.count_nonzero(array, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    voxels = int(lines[0].sum())
    if not voxels:
        return None
    centre, low, high = [], [], []
    for line, size in zip(lines, step, strict=True):
        held = np.flatnonzero(line)
        centre.append((float((line * np.arange(line.size)).sum()) / voxels + 0.5) * size)
        low.append(float(held[0]) * size)
        high.append(float(held[-1] + 1) * size)
    size_ml = voxels * grid.voxel_ml if grid.volume_known else float(voxels)
    field = [n * s for n, s in zip(array.shape, step, strict=True)]
    unit = "mm" if grid.spacing_known else "voxels"
    return Place(voxels, size_ml, _point(centre), _point(low), _point(high), _point(field), unit)


def axis_of(word: str, grid: Grid, *, flat: bool = False) -> tuple[int, int] | None:
    """RAS axis and sign a direction word means on this scan; None when the scan has no such direction.

    In a flat picture "top" and "bottom" are the picture's when its own axis is the cut one. A
    picture is drawn as radiologists see it: of an axial slice, the patient's right is on the left.

    Args:
        word: one of `DIRECTIONS`.
        flat: one axial slice of a volume is looked at.

    Raises:
        BadCall: no such word.
    """
    if word not in DIRECTIONS:
        raise BadCall(f"Unknown direction '{word}'. Allowed: {', '.join(DIRECTIONS)}.")
    cut = 2 if flat else cut_axis(grid)
    across, up = _PICTURES[1 if cut is None else cut]  # a whole volume is thought of as seen from the front
    if word.startswith("picture "):
        axis, sign = across if word.endswith(("left", "right")) else up
        return axis, -sign if word.endswith(("right", "bottom")) else sign
    axis, sign = _BODY[word]
    if axis != cut:
        return axis, sign
    return (up[0], sign * up[1]) if word in ("top", "bottom") else None


@lru_cache(maxsize=64)
def cut_axis(grid: Grid) -> int | None:
    """The RAS axis along which the scan holds a single voxel; None for a volume."""
    _array, turned = reorient_array(np.broadcast_to(np.False_, grid.shape), grid, "RAS")
    thin = [axis for axis, n in enumerate(turned.shape) if n == 1]
    return thin[0] if thin else None


def share_along(inner: Place, outer: Place, axis: int, sign: int) -> float:
    """How far `inner` lies towards a direction within the box of `outer`: 0 one end, 1 the other."""
    length = outer.high[axis] - outer.low[axis]
    share = (inner.centre[axis] - outer.low[axis]) / length
    return float(np.clip(share if sign > 0 else 1 - share, 0, 1))


def share_inside(mask: Mask, other: Mask) -> float:
    """Share of the mask's voxels that lie in the other mask, in [0, 1]; 0 for an empty mask."""
    _on_one_grid(mask, other)
    count = np.count_nonzero(mask.array)
    return float(np.count_nonzero(mask.array & other.array) / count) if count else 0.0


def without_holes(array: BoolArray) -> BoolArray:
    """The mask with its holes closed; what lies in a single plane is closed in that plane."""
    box = Box.of(array)
    if box is None or 1 not in box.shape:
        return filled(array)
    axis = box.shape.index(1)
    closed: BoolArray = np.zeros_like(array)
    plane = np.take(array, box.start[axis], axis=axis)
    np.moveaxis(closed, axis, 0)[box.start[axis]] = filled(plane[:, :, None])[:, :, 0]
    return closed


def gap(mask: Mask, other: Mask) -> float | None:
    """Shortest distance between voxel centres of two masks, mm (voxels when unknown); None if one is empty.

    0 when they overlap; one voxel's edge when they touch.
    """
    _on_one_grid(mask, other)
    boxes = [Box.of(one.array) for one in (mask, other)]
    if boxes[0] is None or boxes[1] is None:
        return None
    cut = tuple(
        slice(min(a0, b0), max(a1, b1))
        for a0, b0, a1, b1 in zip(boxes[0].start, boxes[1].start, boxes[0].stop, boxes[1].stop, strict=True)
    )
    step = mask.grid.spacing_mm if mask.grid.spacing_known else (1.0, 1.0, 1.0)
    away = edt.edt(np.ascontiguousarray(~other.array[cut]), anisotropy=step)
    return float(away[mask.array[cut]].min())


def beyond(inner: Place, other: Place, axis: int, sign: int) -> float:
    """How far the centre of `inner` lies from that of `other` towards a direction, mm (voxels); negative is behind."""
    return sign * (inner.centre[axis] - other.centre[axis])


def between(middle: Place, one: Place, other: Place) -> bool:
    """Whether a centre projects between two others, near their line, of something that fits between them.

    Near: no farther off than half the distance of the two. Fits: no box edge longer than twice that
    distance, which keeps a shell around both from counting. Own choices.
    """
    a, b, m = (np.array(p.centre) for p in (one, other, middle))
    line = b - a
    length = float(np.linalg.norm(line))
    if length == 0:
        return False
    along = float((m - a) @ line) / length**2
    off = float(np.linalg.norm(m - a - along * line))
    widest = max(h - lo for lo, h in zip(middle.low, middle.high, strict=True))
    return 0 < along < 1 and off < length / 2 and widest <= 2 * length


def side_of(where: Place) -> str:
    """ "left", "right" or "midline", by the centre's distance from the scan's middle.

    Within 3 % of the scan's width from the middle counts as midline (`imaging.measures.side` for
    scans without voxel size).
    """
    away = where.centre[0] - where.field[0] / 2
    return "midline" if abs(away) <= 0.03 * where.field[0] else "right" if away > 0 else "left"


def end_part(mask: Mask, axis: int, sign: int, *, share: float = 1 / 3) -> Mask:
    """The part of a mask in the outer `share` of its box towards a direction (a third: own choice)."""
    turned, grid = reorient_array(mask.array, mask.grid, "RAS")
    held = np.flatnonzero(np.asarray(turned.any(axis=tuple(a for a in range(3) if a != axis))))
    if not held.size:
        return mask
    low, high = int(held[0]), int(held[-1]) + 1
    width = max(1, round((high - low) * share))
    keep = np.zeros(turned.shape[axis], dtype=np.bool_)
    keep[slice(high - width, high) if sign > 0 else slice(low, low + width)] = True
    cut = turned & keep.reshape([-1 if a == axis else 1 for a in range(3)])
    return reorient_mask(Mask(np.ascontiguousarray(cut), grid), mask.grid.axis_codes)


@dataclass(frozen=True)
class Lobe:
    """A lobe cut from its organ, and how."""

    mask: Mask
    how: str


def liver_lobe(liver: Mask, side: str, *, gallbladder: Mask | None = None, cava: Mask | None = None) -> Lobe:
    """The right or left lobe of a liver, cut at Cantlie's plane.

    The plane runs along the body's long axis through the centres of gallbladder and inferior vena
    cava; without both, a sagittal plane leaves `RIGHT_LIVER` of the voxels on the right.

    Args:
        side: "left" or "right", the patient's.

    Source: Cantlie's line as described by Couinaud 1957; share as `RIGHT_LIVER`.
    """
    array, grid = reorient_array(liver.array, liver.grid, "RAS")
    step = grid.spacing_mm if grid.spacing_known else (1.0, 1.0, 1.0)
    marks = [place(one) if one is not None else None for one in (gallbladder, cava)]
    if marks[0] is not None and marks[1] is not None:
        (gx, gy, _), (cx, cy, _) = marks[0].centre, marks[1].centre
        normal = np.array([gy - cy, cx - gx])  # at right angles to the line, in the axial plane
        normal = normal if normal[0] > 0 else -normal
        x = (np.arange(array.shape[0]) + 0.5) * step[0] - cx
        y = (np.arange(array.shape[1]) + 0.5) * step[1] - cy
        right = (normal[0] * x[:, None] + normal[1] * y[None] > 0)[:, :, None]
        how = "cut at the plane through gallbladder and inferior vena cava"
    else:
        across = np.cumsum(np.count_nonzero(array, axis=(1, 2)))
        first = int(np.searchsorted(across, (1 - RIGHT_LIVER) * across[-1]))
        right = (np.arange(array.shape[0]) > first)[:, None, None]
        how = f"cut where {RIGHT_LIVER:.0%} of the liver lies to the right; no landmark of the true border was found"
    cut = array & (right if side == "right" else ~right)
    return Lobe(reorient_mask(Mask(np.ascontiguousarray(cut), grid), liver.grid.axis_codes), how)


def half_of_scan(mask: Mask, side: str) -> Mask:
    """The part of a mask on the "left" or "right" of the scan's middle plane."""
    array, grid = reorient_array(mask.array, mask.grid, "RAS")
    right = (np.arange(array.shape[0]) >= array.shape[0] / 2)[:, None, None]
    cut = array & (right if side == "right" else ~right)
    return reorient_mask(Mask(np.ascontiguousarray(cut), grid), mask.grid.axis_codes)


def only_slice(mask: Mask, index: int) -> Mask:
    """The mask in one axial slice, counted from the patient's feet; empty elsewhere.

    Raises:
        BadCall: the scan has no such slice.
    """
    array, grid = reorient_array(mask.array, mask.grid, "RAS")
    if not 0 <= index < array.shape[2]:
        raise BadCall(
            f"Slice {index} is outside the scan. It has {array.shape[2]} axial slices, 0 (feet) to {array.shape[2] - 1}."
        )
    kept: BoolArray = np.zeros(array.shape, dtype=np.bool_)
    kept[:, :, index] = array[:, :, index]
    return reorient_mask(Mask(kept, grid), mask.grid.axis_codes)


def _point(values: list[float]) -> Point:
    x, y, z = values
    return x, y, z


def _on_one_grid(one: Mask, other: Mask) -> None:
    if not one.grid.same_as(other.grid):
        raise BadCall("The masks lie on different grids. Only masks of one image can be related.")
