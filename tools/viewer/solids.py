"""What the 3-D view is made of: the scan as a small block of grey, and masks as blocks of bits, short enough to be sent.

Places are mm along the axes of the RAS grid, (0, 0, 0) being the middle of its first voxel: the planes' own geometry, which
needs no patient coordinates. Both may be coarser than the scan; they are looked at and never measured.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.geometry import reorient_array
from ...imaging.pictures.planes import RegionPlanes
from ...imaging.pictures.windows import window_of
from ...imaging.region import Region
from ...imaging.volume import Volume

MOST_BYTES = 700_000  # before base64; Python clients refuse events above 1 MiB (Source: mcp 2.3, max_sse_event_size)
_SCAN_VOXELS = (128, 96, 64, 48)  # along the longest side; the first that is short enough
_MASK_VOXELS = 96
_KEPT = 0.7  # of a mask's voxels; where averages lose more, as in thin vessels, every voxel touched is kept


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
    """A mask's voxels as deflated bits (x y z, x fastest) of the box that holds them; no voxels of an empty mask."""
    if region.box is None:
        return {"shape": [0, 0, 0], "spacing_mm": [1.0] * 3, "origin_mm": [0.0] * 3, "bits": ""}
    placed = RegionPlanes(region)
    spacing = np.array(reorient_array(region.array, region.grid_of_box, "RAS")[1].spacing_mm)
    steps = _steps(placed.array.shape, _MASK_VOXELS)
    soft = _averaged(placed.array, steps)
    body = soft > 0.5
    if body.sum() * np.prod(steps) < _KEPT * placed.array.sum():
        body = soft > 0
    return {
        "shape": list(body.shape),
        "spacing_mm": (spacing * steps).tolist(),
        "origin_mm": (spacing * (np.array(placed.start) + (np.array(steps) - 1) / 2)).tolist(),
        "bits": _text(zlib.compress(np.packbits(body.ravel(order="F")).tobytes(), 6)),
    }


def _steps(shape: Sequence[int], longest: int) -> tuple[int, ...]:
    return tuple(-(-n // longest) for n in shape)


def _averaged(array: npt.NDArray[Any], steps: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Means of blocks of voxels, slab by slab as scans are large; the last block of an axis may stand for fewer."""
    if max(steps) == 1:
        return array.astype(np.float32)
    slabs = []
    for first in range(0, array.shape[2], steps[2]):
        flat = array[:, :, first : first + steps[2]].mean(axis=2, dtype=np.float32)
        for axis in (0, 1):
            starts = np.arange(0, flat.shape[axis], steps[axis])
            counts = np.diff([*starts, flat.shape[axis]]).astype(np.float32)
            flat = np.add.reduceat(flat, starts, axis=axis) / np.expand_dims(counts, 1 - axis)
        slabs.append(flat)
    return np.stack(slabs, axis=2)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
