"""STL: the closed surface of a mask in patient millimetres, and back to voxels.

Binary STL, LPS+ mm, said so in its header as 3D Slicer reads it ("SPACE=LPS"). The surface runs
half-way between inside and outside voxel centres (marching cubes after Lewiner et al. 2003, as in
scikit-image) and is not smoothed, so that filling it gives the same voxels again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..geometry import Box
from ..guards.atomic import write_atomically
from ..volume import BoolArray, Grid, Mask
from .segments import Segment, lps_affine

Triangles = npt.NDArray[np.float64]
"""(n 3 3): corners in mm, LPS+, against the clock when seen from outside."""
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
# The lines along which the surface is filled pass beside the voxel centres, for surface corners lie on these.
_BESIDE = (0.0137, 0.0071)


def surface(mask: Mask) -> Triangles:
    """Triangles of the mask's closed surface.

    Raises:
        BadCall: the mask is empty, or mm are not known.
    """
    from skimage.measure import marching_cubes

    if not mask.grid.volume_known:
        raise BadCall(
            "The scan's voxel size is not known, and STL needs places in mm. None is invented. Export as nifti."
        )
    box = Box.of(mask.array)
    if box is None:
        raise BadCall("The mask is empty: it has no surface. Export as nifti, or leave it out.")
    cut = mask.array[box.slices]
    points, faces, _, _ = marching_cubes(np.pad(cut, 1).astype(np.float32), 0.5, allow_degenerate=False)
    affine = lps_affine(mask.grid)
    places = (points.astype(np.float64) + np.array(box.start) - 1) @ affine[:3, :3].T + affine[:3, 3]
    triangles: Triangles = places[faces]
    # scikit-image's triangles face inwards in a right-handed grid.
    return triangles[:, ::-1] if np.linalg.det(affine[:3, :3]) > 0 else triangles


def write_stl(path: Path, mask: Mask, *, synthetic: bool = False) -> None:
    """Write the surface of a mask.

    Raises:
        BadCall: as `surface`.
    """
    triangles = surface(mask)
    records = np.zeros(len(triangles), dtype=_RECORD)
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    records["normal"] = normals / np.where(lengths > 0, lengths, 1)
    records["corners"] = triangles
    said = f"ostensor SPACE=LPS UNIT=mm{' synthetic image' if synthetic else ''}{' voxel size by user' if mask.grid.stated else ''}".encode().ljust(
        80
    )
    content = said + np.uint32(len(records)).tobytes() + records.tobytes()
    write_atomically(path, lambda file: file.write(content))


def read_stl(path: Path) -> Triangles:
    """The triangles of a binary STL.

    Raises:
        BadCall: it is no binary STL, or cut short.
    """
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little")
    if len(content) != 84 + count * _RECORD.itemsize:
        raise BadCall(f"'{path.name}' is no binary STL of {count} triangles, or cut short.")
    corners: Triangles = np.frombuffer(content, dtype=_RECORD, offset=84)["corners"].astype(np.float64)
    return corners


def voxelise(triangles: Triangles, grid: Grid) -> BoolArray:
    """Voxels (x y z) of a grid whose centre lies inside a closed surface: crossings along z are counted."""
    inverse = np.linalg.inv(lps_affine(grid))
    points = triangles @ inverse[:3, :3].T + inverse[:3, 3]
    columns, heights = _crossings(points, grid.shape[:2])
    box_low = np.clip(np.ceil(heights), 0, grid.shape[2]).astype(np.int64)
    filled = np.zeros(grid.shape, dtype=np.bool_)
    if not len(columns):
        return filled
    low, high = columns.min(axis=0), columns.max(axis=0) + 1
    toggles = np.zeros((*(high - low), grid.shape[2] + 1), dtype=np.uint8)
    np.add.at(toggles, (columns[:, 0] - low[0], columns[:, 1] - low[1], box_low), 1)
    inside = np.bitwise_xor.accumulate(toggles & 1, axis=2)[:, :, :-1]
    filled[low[0] : high[0], low[1] : high[1]] = inside
    return filled


def _crossings(points: Triangles, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where lines along z beside the voxel centres pierce triangles: column (x y) and height z, in voxels."""
    flat = points[:, :, :2] - np.array(_BESIDE)
    low = np.clip(np.ceil(flat.min(axis=1)), 0, None).astype(np.int64)
    high = np.minimum(np.floor(flat.max(axis=1)), np.array(shape) - 1).astype(np.int64)
    counts = np.clip(high - low + 1, 0, None)
    total = counts[:, 0] * counts[:, 1]
    owner = np.repeat(np.arange(len(points)), total)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(total) - total, total)
    across = np.maximum(counts[owner, 1], 1)
    columns = low[owner] + np.stack([place // across, place % across], axis=1)
    a, b, c = (flat[owner, corner] for corner in range(3))
    area = _cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        share_b, share_c = _cross(columns - a, c - a) / area, _cross(b - a, columns - a) / area
        hit = (area != 0) & (share_b >= 0) & (share_c >= 0) & (share_b + share_c <= 1)
        z = points[owner, :, 2]
        heights = z[:, 0] + share_b * (z[:, 1] - z[:, 0]) + share_c * (z[:, 2] - z[:, 0])
    return columns[hit], heights[hit]


def _cross(u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return found


def write_masks(
    path: Path, segments: Sequence[Segment], grid: Grid, *, source: object, synthetic: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Write the one mask; see `write_stl`."""
    (segment,) = segments
    write_stl(path, segment.load(), synthetic=synthetic)
    return {}


def read_masks(path: Path, segments: Sequence[Segment], grid: Grid) -> list[Callable[[], BoolArray]]:
    """A reader of the mask, filled again on the grid."""
    return [lambda: voxelise(read_stl(path), grid)]
