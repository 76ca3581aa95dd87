"""The surface of a mask half-way between inside and outside voxels: triangles, volume and area.

Volume and area come without making the triangles: which of the 256 ways a cube of eight voxels is
inside or outside decides the triangles in it, so counting the ways is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import scipy
import skimage
from scipy.spatial.distance import cdist

from ..volume import BoolArray

Points = npt.NDArray[np.float64]
_AT_ONCE = 1000  # points compared with all others
_CORNERS = tuple(product((0, 1), repeat=3))  # bit n of a way is corner n


@dataclass(frozen=True)
class Mesh:
    """Triangles: points (n 3) in mm, and faces (m 3), rows of points."""

    points_mm: Points
    faces: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Enclosed:
    """What the surface holds and how large it is."""

    volume_mm3: float
    area_mm2: float


def mesh_of(region: BoolArray, axes_mm: Points) -> Mesh:
    """The surface of a region (x y z) that is not empty, closed at the array's border.

    Args:
        axes_mm: (3 3) columns are one voxel step in mm; the first voxel's centre is the origin.

    Source: marching cubes at level 0.5, as the IBSI asks (arXiv 1612.07003, section 3.1).
    """
    corners, faces, _normals, _values = skimage.measure.marching_cubes(np.pad(region, 1).astype(np.float32), 0.5)
    points: Points = (corners.astype(np.float64) - 1) @ axes_mm.T
    return Mesh(points, faces)


def enclosed(region: BoolArray, axes_mm: Points) -> Enclosed:
    """Volume and area of the surface `mesh_of` would give, counted from the cubes of eight voxels.

    By Gauss's theorem the volume is the sum over triangles of x times their area seen along x.
    """
    ways = _ways(region)
    way, points, across = _triangles()
    flux = np.bincount(way, across[:, 0] * points[:, :, 0].sum(axis=1) / 3, minlength=256)
    seen = np.bincount(way, across[:, 0], minlength=256)
    a, b, c = np.moveaxis(points @ axes_mm.T, 1, 0)
    area = np.bincount(way, np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2, minlength=256)
    place = np.arange(len(ways), dtype=np.float64) - 1
    volume = float((ways @ seen) @ place + (ways @ flux).sum())
    return Enclosed(abs(volume) * abs(float(np.linalg.det(axes_mm))), float((ways @ area).sum()))


def _ways(region: BoolArray) -> npt.NDArray[np.int64]:
    """For each plane of cubes along x, how often each of the 256 ways occurs: (x + 1, 256)."""
    _x, y, z = region.shape
    edges = np.zeros((y + 1, z + 1), dtype=np.uint8)
    found = np.zeros((len(region) + 1, 256), dtype=np.int64)
    for n, plane in enumerate([*region, np.zeros((y, z), dtype=np.bool_)]):
        fresh = np.zeros((y + 1, z + 1), dtype=np.uint8)
        bits = plane.view(np.uint8)
        # corner (i, j) of the cube at (v, w) is the voxel (v - 1 + i, w - 1 + j)
        fresh[1:, 1:] = bits
        fresh[1:, :-1] |= bits << 1
        fresh[:-1, 1:] |= bits << 2
        fresh[:-1, :-1] |= bits << 3
        ways = edges | (fresh << 4)
        found[n] = np.bincount(ways[ways - np.uint8(1) < 254], minlength=256)  # wraps: 0 and 255 have no surface
        edges = fresh
    return found


@cache
def _triangles() -> tuple[npt.NDArray[np.int64], Points, Points]:
    """The triangles of all ways: way (n), corners in a unit cube (n 3 3), area vectors (n 3), all turned the same way."""
    ways, found = [], []
    for way in range(1, 255):
        cube = np.zeros((2, 2, 2), dtype=np.float32)
        for bit, corner in enumerate(_CORNERS):
            cube[corner] = way >> bit & 1
        points, faces, _normals, _values = skimage.measure.marching_cubes(cube, 0.5)
        ways.append(np.full(len(faces), way))
        found.append(points[faces].astype(np.float64))
    corners = np.concatenate(found)
    a, b, c = np.moveaxis(corners, 1, 0)
    return np.concatenate(ways), corners, np.cross(b - a, c - a) / 2


def hull(points: Points) -> Points:
    """The corners of the points' convex hull; the points themselves where they span none."""
    try:
        corners: Points = points[scipy.spatial.ConvexHull(points).vertices]
    except scipy.spatial.QhullError:  # all in one line or plane, or too few
        return points
    return corners


def greatest_distance(points: Points) -> float:
    """Between any two of the points (n d); 0 for fewer than two.

    A far pair is found first; then only points that could be an end of a longer one are compared.
    """
    if len(points) < 2:
        return 0.0
    one = points[_from(points[0], points).argmax()]
    far = 0.0
    other = one
    for _ in range(4):
        away = _from(one, points)
        far, other, one = float(away.max()), one, points[away.argmax()]
    out = _from((one + other) / 2, points)
    ends = hull(points[out >= far - out.max() - 1e-9])
    blocks = np.array_split(ends, 1 + len(ends) // _AT_ONCE)
    return max(far, max(float(cdist(block, ends).max()) for block in blocks))


def _from(place: Points, points: Points) -> Points:
    distances: Points = cdist(place[None], points)[0]
    return distances
