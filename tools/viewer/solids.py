"""What the 3-D view is made of: the scan as a small block of grey, and masks as surfaces, short enough to be sent.

Places are mm along the axes of the RAS grid, (0, 0, 0) being the middle of its first voxel: the planes' own geometry, which
needs no patient coordinates. Both are coarser than the scan and smoothed; they are looked at and never measured.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ...imaging.geometry import reorient_array
from ...imaging.masks.mesh import Mesh, mesh_of
from ...imaging.pictures.planes import RegionPlanes
from ...imaging.pictures.windows import window_of
from ...imaging.region import Region
from ...imaging.volume import BoolArray, Volume

MOST_BYTES = (
    700_000  # of one answer before base64; Python clients refuse events above 1 MiB (mcp 2.3, max_sse_event_size)
)
_SCAN_VOXELS = (128, 96, 64, 48)  # along the longest side; the first that is short enough
_MASK_VOXELS = (96, 64, 48, 32)
_KEPT = 0.7  # of a mask's voxels; where averages lose more, as in thin vessels, every voxel touched is kept
_ROUNDS, _INWARD, _OUTWARD = 20, 0.5, -0.53  # Source: Taubin 1995 (SIGGRAPH, p. 351): smoothing that does not shrink

Floats = npt.NDArray[np.float64]


def solid_scan(volume: Volume, window: Sequence[float] | None = None) -> dict[str, Any]:
    """The scan as deflated 8-bit grey (x y z, x fastest), seen through a window.

    Args:
        window: centre and width; None is the scan's own.
    """
    array, grid = reorient_array(volume.array, volume.grid, "RAS")
    centre, width = window or window_of(volume, "auto")
    for longest in _SCAN_VOXELS:
        steps = _steps(array.shape, longest)
        soft = _averaged(array, steps)
        grey = np.clip((soft - (centre - width / 2)) / width, 0, 1) * 255
        packed = zlib.compress(np.rint(grey).astype(np.uint8).tobytes(order="F"), 6)
        if len(packed) <= MOST_BYTES:
            break
    spacing = np.array(grid.spacing_mm)
    return {
        "shape": list(soft.shape),
        "spacing_mm": (spacing * steps).tolist(),
        "origin_mm": (spacing * (np.array(steps) - 1) / 2).tolist(),  # a coarse voxel's middle, among the fine ones
        "grey": _text(packed),
    }


def solid_mask(region: Region) -> dict[str, Any]:
    """A mask's surface: deflated points, 16-bit steps of `unit_mm` from `origin_mm`, and triangles; empty of an empty mask."""
    if region.box is None:
        return {"origin_mm": [0.0] * 3, "unit_mm": [1.0] * 3, "points": "", "triangles": ""}
    placed = RegionPlanes(region)
    spacing = np.array(reorient_array(region.array, region.grid_of_box, "RAS")[1].spacing_mm)
    for longest in _MASK_VOXELS:
        mesh = _surface(placed.array, spacing, _steps(placed.array.shape, longest))
        low, high = mesh.points_mm.min(axis=0), mesh.points_mm.max(axis=0)
        unit = np.maximum(high - low, 1e-6) / 65535
        points = zlib.compress(np.rint((mesh.points_mm - low) / unit).astype("<u2").tobytes(), 6)
        triangles = zlib.compress(mesh.faces.astype("<u4").tobytes(), 6)
        if len(points) + len(triangles) <= MOST_BYTES:
            break
    return {
        "origin_mm": (low + np.array(placed.start) * spacing).tolist(),
        "unit_mm": unit.tolist(),
        "points": _text(points),
        "triangles": _text(triangles),
    }


def _surface(body: BoolArray, spacing: Floats, steps: tuple[int, ...]) -> Mesh:
    """A body's smooth surface in mm from the middle of its first voxel, facing outwards."""
    soft = _averaged(body, steps)
    if (soft > 0.5).sum() * np.prod(steps) < _KEPT * body.sum():
        soft = (soft > 0).astype(np.float32)
    mesh = mesh_of(np.asarray(soft > 0.5), np.diag(spacing * steps))  # faces inwards
    points = _smoothed(mesh) + spacing * (np.array(steps) - 1) / 2
    return Mesh(points, mesh.faces[:, ::-1])


def _smoothed(mesh: Mesh) -> Floats:
    """Points drawn towards their neighbours and out again, by turns."""
    pairs = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    count = len(mesh.points_mm)
    near = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    near = near + near.T
    share = sparse.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near
    points = mesh.points_mm.copy()
    for factor in (_INWARD, _OUTWARD) * _ROUNDS:
        points += factor * (share @ points - points)
    return points


def _steps(shape: Sequence[int], longest: int) -> tuple[int, ...]:
    return tuple(-(-n // longest) for n in shape)


def _averaged(array: npt.NDArray[Any], steps: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Means of blocks of voxels; the last block of an axis may stand for fewer."""
    for axis, step in enumerate(steps):
        if step > 1:
            starts = np.arange(0, array.shape[axis], step)
            counts = np.diff([*starts, array.shape[axis]])
            sums = np.add.reduceat(array, starts, axis=axis, dtype=np.float32)
            array = sums / counts.reshape([-1 if a == axis else 1 for a in range(3)])
    return array.astype(np.float32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
