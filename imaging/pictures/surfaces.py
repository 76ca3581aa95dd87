"""Masks as solid bodies, lit from where one stands: shaded surfaces without a screen or a 3-D library.

Every line of sight ends at the first voxel of a mask; its brightness is that of a matt surface under a lamp at the eye, the
normal being the slope of the depths around (Hoehne and Bernstein 1986, IEEE Trans Med Imaging 5:45, depth shading).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from ..errors import BadCall
from ..region import Region
from ..volume import BoolArray, Grid, Mask
from .legend import COLOURS
from .panels import MARGIN, framed
from .planes import PLANES, Plane

VOXELS = 220  # along the longest side of what is drawn
_SOFT = 1.5  # voxels over which depths are smoothed
_DARKEST = 0.2
_TURN_DEG, _TILT_DEG = 35.0, 20.0  # of the oblique view: to the patient's left, and up
OBLIQUE = Plane(1, 0, 2, True, ("", "", "S", "I"))


@dataclass(frozen=True)
class Bodies:
    """Masks on a common grid of cubes, `step` mm wide."""

    step: float
    shapes: tuple[BoolArray, ...]


def surface(bodies: Bodies, view: str, width: int) -> Image.Image:
    """Bodies seen along a plane's axis, or obliquely from the front and the patient's left ("oblique")."""
    step, shapes = bodies.step, bodies.shapes
    if view == "oblique":
        shapes, plane = tuple(_turned(shape) for shape in shapes), OBLIQUE
    else:
        plane = PLANES[view]
    lit = lit_bodies([_facing(shape, plane) for shape in shapes])
    rows, columns = (np.flatnonzero(lit.any(axis=(other, 2))) for other in (1, 0))
    lit = lit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    mm_across = lit.shape[1] * step
    inner = width - 2 * MARGIN
    zoom = inner / max(mm_across, lit.shape[0] * step * 0.75)
    size = (max(8, round(mm_across * zoom)), max(8, round(lit.shape[0] * step * zoom)))
    picture = Image.fromarray(lit).resize(size, Image.Resampling.BILINEAR)
    return framed(picture, plane, zoom if view != "oblique" else None, mm_across)


def lit_bodies(bodies: Sequence[BoolArray]) -> npt.NDArray[np.uint8]:
    """Bodies (depth, rows, columns), the eye before depth 0, as a picture (rows, columns, 3) in the order of `COLOURS`."""
    nearest = np.full(bodies[0].shape[1:], np.inf)
    picture = np.zeros((*bodies[0].shape[1:], 3), dtype=np.uint8)
    for number, body in enumerate(bodies):
        hit: BoolArray = np.asarray(body.any(axis=0))
        depth = np.where(hit, body.argmax(axis=0), np.inf)
        front = depth < nearest
        shade = _shade(np.where(hit, depth, 0.0), hit)
        colour = np.array(COLOURS[number % len(COLOURS)], dtype=np.float64)
        picture[front] = (shade[..., None] * colour)[front].astype(np.uint8)
        nearest = np.minimum(nearest, depth)
    return picture


def _shade(depth: npt.NDArray[np.float64], hit: BoolArray) -> npt.NDArray[np.float64]:
    """Cosine between the line of sight and the surface, from `_DARKEST` to 1."""
    weight = ndimage.gaussian_filter(hit.astype(np.float64), _SOFT)
    smooth = ndimage.gaussian_filter(depth * hit, _SOFT) / np.maximum(weight, 1e-6)
    down, across = np.gradient(smooth)
    cosine = 1 / np.sqrt(1 + down**2 + across**2)
    return np.asarray(_DARKEST + (1 - _DARKEST) * cosine)


def solid_bodies(masks: Sequence[BoolArray], spacing: tuple[float, float, float]) -> Bodies:
    """Masks (RAS) on a common grid of cubes around all of them.

    Raises:
        BadCall: nothing is marked.
    """
    union = np.any(np.stack([np.asarray(mask) for mask in masks]), axis=0) if masks else np.zeros((1, 1, 1), bool)
    box = Region.of(Mask(union, Grid(union.shape, np.eye(4)))).box
    if box is None:
        raise BadCall("A surface view shows masks, and none was given that marks anything. Segment something first.")
    where = tuple(slice(max(0, a - 1), b + 1) for a, b in zip(box.start, box.stop, strict=True))
    size = np.array([(one.stop - one.start) * mm for one, mm in zip(where, spacing, strict=True)])
    step = float(max(size.max() / VOXELS, min(spacing)))
    shape = np.maximum(1, np.round(size / step)).astype(int)
    points = [(np.arange(n) + 0.5) * step / mm - 0.5 for n, mm in zip(shape, spacing, strict=True)]
    places = np.meshgrid(*points, indexing="ij")
    soft = [ndimage.map_coordinates(mask[where].astype(np.float32), places, order=1, mode="constant") for mask in masks]
    return Bodies(step, tuple(one > 0.5 for one in soft))


def _turned(body: BoolArray) -> BoolArray:
    """The body turned about the axis to the head and tilted, in a cube that holds it in any position."""
    turn, tilt = np.radians(_TURN_DEG), np.radians(_TILT_DEG)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    matrix = about_z @ about_x
    side = int(np.ceil(np.linalg.norm(body.shape)))
    middle = (np.array(body.shape) - 1) / 2
    offset = middle - matrix @ np.full(3, (side - 1) / 2)
    soft = ndimage.affine_transform(body.astype(np.float32), matrix, offset, (side, side, side), order=1)
    return np.asarray(soft > 0.5)


def _facing(body: BoolArray, plane: Plane) -> BoolArray:
    """A RAS body as (depth, rows, columns) of a plane: axial from the feet, coronal from the front, sagittal from the left."""
    from_end = plane.axis == 1  # the front is at the end of its axis, the feet and the left at the beginning
    depth = np.moveaxis(body, (plane.axis, plane.down, plane.across), (0, 1, 2))
    depth = depth[::-1] if from_end else depth
    depth = depth[:, ::-1]  # front or head at the top
    return depth[:, :, ::-1] if plane.flip_across else depth
