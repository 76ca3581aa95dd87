"""Move arrays between grids: reorient, resample, crop, pad, each with its way back.

Every function takes the array with its grid and returns both, so that no array is ever
without its place in the patient. There is one resampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from .errors import BadCall
from .volume import Affine, FloatArray, Grid, Mask, Volume

AnyArray = npt.NDArray[Any]
_PARALLEL = 1e-4  # voxels of drift over the whole grid below which two grids count as parallel


def reorient_array(array: AnyArray, grid: Grid, axis_codes: str = "RAS") -> tuple[AnyArray, Grid]:
    """The same voxels with axes flipped and swapped so that they grow towards `axis_codes`.

    No voxel value changes; an oblique grid stays oblique, its nearest axes are used.

    Raises:
        BadCall: `axis_codes` is not three letters, one of each pair R/L, A/P, S/I.
    """
    import nibabel.orientations as nio  # nibabel loads slowly

    transform = _orientation_change(grid, axis_codes)
    moved = nio.apply_orientation(array, transform)
    affine = grid.affine @ nio.inv_ornt_aff(transform, grid.shape)
    return moved, replace(grid, shape=moved.shape, affine=affine)


def reorient(volume: Volume, axis_codes: str = "RAS") -> Volume:
    """The volume with its axes in the given order; `reorient(…, old_codes)` is the way back."""
    array, grid = reorient_array(volume.array, volume.grid, axis_codes)
    return Volume(array, grid, volume.modality, volume.synthetic)


def reorient_mask(mask: Mask, axis_codes: str = "RAS") -> Mask:
    """The mask with its axes in the given order."""
    array, grid = reorient_array(mask.array, mask.grid, axis_codes)
    return Mask(np.ascontiguousarray(array), grid)


def _orientation_change(grid: Grid, axis_codes: str) -> npt.NDArray[Any]:
    pairs = [next((pair for pair in ("RL", "AP", "SI") if code in pair), None) for code in axis_codes]
    if len(axis_codes) != 3 or None in pairs or len(set(pairs)) != 3:
        raise BadCall(f"'{axis_codes}' is no orientation. Use one of each pair R/L, A/P, S/I, for example RAS or LPS.")
    import nibabel.orientations as nio

    current = nio.io_orientation(grid.affine)
    change: npt.NDArray[Any] = nio.ornt_transform(current, nio.axcodes2ornt(tuple(axis_codes)))
    return change


def respaced_grid(grid: Grid, spacing_mm: Sequence[float | None]) -> Grid:
    """A grid over the same field of view with other voxel sizes.

    Args:
        spacing_mm: along x, y, z; None keeps that axis as it is. Outer voxel faces stay where
            they are to within half a new voxel.
    """
    old = np.array(grid.spacing_mm)
    wanted = np.array([o if s is None else s for o, s in zip(old, spacing_mm, strict=True)], dtype=np.float64)
    if not (wanted > 0).all():
        raise BadCall(f"A spacing of {tuple(spacing_mm)} mm is impossible. Every value must be above 0.")
    shape = np.maximum(1, np.round(np.array(grid.shape) * old / wanted)).astype(int)
    ratio = wanted / old
    # Both grids share their centre.
    start = (np.array(grid.shape) - 1) / 2 - ratio * (shape - 1) / 2
    change = np.eye(4)
    change[:3, :3] = np.diag(ratio)
    change[:3, 3] = start
    return replace(grid, shape=(int(shape[0]), int(shape[1]), int(shape[2])), affine=grid.affine @ change)


def resample(array: AnyArray, grid: Grid, target: Grid, *, order: int = 1, fill: float = 0.0) -> AnyArray:
    """The array's values at the voxel centres of another grid.

    Linear sampling widens its triangle to the target's spacing when the target is coarser,
    so fine detail is averaged and not picked by chance; nearest takes the closest voxel.
    Points outside the source's outer voxel faces get `fill`.

    Args:
        array: (x y z) on `grid`.
        order: 0 nearest (labels; keeps the type), 1 linear (float32; a boolean becomes 0 to 1).

    Returns:
        (x y z) on `target`.
    """
    if order not in (0, 1):
        raise BadCall(f"Order {order} is not known. Use 0 (nearest) or 1 (linear).")
    if array.shape != grid.shape:
        raise BadCall(f"The array has shape {array.shape} but its grid {grid.shape}. They must agree.")
    source_from_target = np.linalg.inv(grid.affine) @ target.affine
    axes = _parallel_axes(source_from_target, target.shape)
    if axes is None:
        return _resample_any(array, source_from_target, target.shape, order, fill)
    moved = array.transpose(axes)
    for axis, source in enumerate(axes):
        step, start = source_from_target[source, axis], source_from_target[source, 3]
        moved = _resample_axis(moved, axis, float(start), float(step), target.shape[axis], order, fill)
    return np.ascontiguousarray(moved)


def _parallel_axes(matrix: Affine, shape: tuple[int, int, int]) -> list[int] | None:
    """For each target axis the source axis it runs along, or None when some axes are oblique."""
    linear = np.abs(matrix[:3, :3])
    axes = [int(a) for a in linear.argmax(axis=0)]
    if len(set(axes)) != 3:
        return None
    drift = linear * np.array(shape)
    drift[axes, range(3)] = 0
    return axes if drift.max() < _PARALLEL else None


def _resample_axis(
    array: AnyArray, axis: int, start: float, step: float, count: int, order: int, fill: float
) -> AnyArray:
    length = array.shape[axis]
    positions = start + step * np.arange(count)
    inside = (positions > -0.5 - 1e-6) & (positions < length - 0.5 + 1e-6)
    if order == 0:
        nearest = np.clip(np.floor(positions + 0.5), 0, length - 1).astype(np.intp)
        moved: AnyArray = array.take(nearest, axis=axis)
    elif np.allclose(positions, np.round(positions), atol=1e-6) and abs(abs(step) - 1) < 1e-6:
        moved = array.take(np.clip(np.round(positions), 0, length - 1).astype(np.intp), axis=axis).astype(np.float32)
    else:
        weights = _triangle_weights(positions, length, max(1.0, abs(step)))
        rows = np.moveaxis(array, axis, 0)
        flat = np.ascontiguousarray(rows.reshape(length, -1), dtype=np.float32)
        mixed: AnyArray = weights @ flat
        moved = np.moveaxis(mixed.reshape(count, *rows.shape[1:]), 0, axis)
    if not inside.all():
        moved = np.array(moved)
        np.moveaxis(moved, axis, 0)[~inside] = fill
    return moved


def _triangle_weights(positions: FloatArray, length: int, width: float) -> scipy.sparse.csr_matrix:
    """Rows of interpolation weights (target, source): triangles of half-width `width`, edges repeated."""
    reach = int(np.ceil(width))
    base = np.floor(positions).astype(np.int64)
    offsets = np.arange(-reach + 1, reach + 1)
    columns = base[:, None] + offsets
    weights = np.clip(1 - np.abs(columns - positions[:, None]) / width, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(positions)), len(offsets))
    clipped = np.clip(columns, 0, length - 1).ravel()
    matrix = scipy.sparse.coo_matrix(
        (weights.ravel().astype(np.float32), (rows, clipped)), shape=(len(positions), length)
    )
    csr: scipy.sparse.csr_matrix = matrix.tocsr()
    return csr


def _resample_any(array: AnyArray, matrix: Affine, shape: tuple[int, int, int], order: int, fill: float) -> AnyArray:
    """Oblique grids: every target voxel looks up its own source point."""
    source = array
    if order == 1:
        source = array.astype(np.float32)
        width = np.linalg.norm(matrix[:3, :3], axis=1)  # target voxel in source voxels, per source axis
        if (width > 1).any():
            # A Gaussian as wide as the triangle of the parallel path: variance width^2/6 against 1/6 of plain linear.
            sigma = np.sqrt(np.clip(width**2 - 1, 0, None) / 6)
            source = scipy.ndimage.gaussian_filter(source, sigma, mode="nearest")
    moved: AnyArray = scipy.ndimage.affine_transform(
        source.astype(np.uint8) if source.dtype == np.bool_ else source,
        matrix[:3, :3],
        offset=matrix[:3, 3],
        output_shape=shape,
        order=order,
        mode="nearest",
        output=np.float32 if order == 1 else (np.uint8 if source.dtype == np.bool_ else None),
    )
    corners = np.indices(shape, dtype=np.float32).reshape(3, -1)
    points = matrix[:3, :3].astype(np.float32) @ corners + matrix[:3, 3:].astype(np.float32)
    limits = np.array(array.shape, dtype=np.float32)[:, None]
    outside = ((points < -0.5) | (points > limits - 0.5)).any(axis=0).reshape(shape)
    moved[outside] = fill
    result: AnyArray = moved.astype(np.bool_) if order == 0 and array.dtype == np.bool_ else moved
    return result


@dataclass(frozen=True)
class Box:
    """A block of voxels: indices from `start` up to, not including, `stop`; may reach outside an array."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return x, y, z

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """What cuts the box out of an array that holds it wholly."""
        x, y, z = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return x, y, z

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_], *, margin: int | Sequence[int] = 0) -> Box | None:
        """The smallest box around the true voxels, grown by `margin` but kept in the array; None if all are false."""
        margins = [margin] * 3 if isinstance(margin, int) else list(margin)
        spans = []
        for axis in range(3):
            line = mask.any(axis=tuple(a for a in range(3) if a != axis))
            found = np.flatnonzero(line)
            if not found.size:
                return None
            low = max(0, int(found[0]) - margins[axis])
            spans.append((low, min(mask.shape[axis], int(found[-1]) + 1 + margins[axis])))
        (x0, x1), (y0, y1), (z0, z1) = spans
        return cls((x0, y0, z0), (x1, y1, z1))


def crop(array: AnyArray, grid: Grid, box: Box, *, fill: float = 0) -> tuple[AnyArray, Grid]:
    """The voxels of a box; where it reaches outside the array they are `fill` (so it pads, too)."""
    if min(box.shape) < 1:
        raise BadCall(f"The box {box.start} to {box.stop} is empty. Every stop must lie beyond its start.")
    cut = np.full(box.shape, fill, dtype=array.dtype)
    inner, outer = _overlap(box, array.shape)
    cut[inner] = array[outer]
    shift = np.eye(4)
    shift[:3, 3] = box.start
    return cut, replace(grid, shape=box.shape, affine=grid.affine @ shift)


def _overlap(box: Box, shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    low = [max(0, a) for a in box.start]
    high = [max(lo, min(n, b)) for lo, n, b in zip(low, shape, box.stop, strict=True)]
    inner = tuple(slice(lo - a, hi - a) for lo, hi, a in zip(low, high, box.start, strict=True))
    return inner, tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))
