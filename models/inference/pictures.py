"""A slice as people see it, cut to the body and brought to one size; and masks back onto the scan.

For the referring networks, which take square pictures in [0, 1]: patient's right on the left, front on
top. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from ...imaging.geometry import reorient_array
from ...imaging.hounsfield import may_be_hu
from ...imaging.volume import Grid, Modality, Volume
from .preprocess import CT_WINDOW_HU, normalised

Float = npt.NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)
LEVEL_HU, WIDTH_HU = 40.0, 400.0  # Source: FLanS data preparation and the liver window of the LSMS spec
BODY = 0.1  # a pixel of more than this of the window is body: -120 HU, darker than fat
MARGIN = 0.03  # of the side, left free around the body
_DISPLAY = "LPS"  # columns grow to the patient's left, rows to the back


@dataclass(frozen=True)
class Frame:
    """Where the square picture lies in the displayed slice.

    Attributes:
        shape: rows and columns of the displayed slice.
        top, left, side: of the square, in pixels; it may stick out.
    """

    shape: tuple[int, int]
    top: float
    left: float
    side: float


def windowed(array: npt.NDArray[np.generic], modality: Modality) -> Float:
    """Values in [0, 1]: CT by level 40 and width 400 HU, everything else by its 0.5 and 99.5 percentiles.

    An image of unknown modality is taken for CT whose unit was lost, as is a CT that cannot be in HU; air and soft tissue are guessed.
    """
    values = np.asarray(array, dtype=np.float32)
    if modality in ("ct", "unknown"):
        low, high = CT_WINDOW_HU
        scaled = (
            normalised(values, "ct", calibrated=modality == "ct" and may_be_hu(values)) * ((high - low) / 4)
            + (low + high) / 2
        )
        return window_hu(scaled)
    low, high = np.percentile(values.ravel()[:: max(1, values.size // 200_000)], (0.5, 99.5))
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-6), 0, 1), dtype=np.float32)


def window_hu(hu: npt.NDArray[np.floating[Any]]) -> Float:
    """Hounsfield units as [0, 1]."""
    return np.asarray(np.clip((hu - LEVEL_HU) / WIDTH_HU + 0.5, 0, 1), dtype=np.float32)


def displayed(volume: Volume) -> Float:
    """Every axial slice as shown, (slices rows columns) in [0, 1]."""
    array, _ = reorient_array(volume.array, volume.grid, _DISPLAY)
    return np.ascontiguousarray(windowed(array, volume.modality).transpose(2, 1, 0))


def displayed_labels(labels: npt.NDArray[np.integer], grid: Grid) -> npt.NDArray[np.uint8]:
    """A label map the same way."""
    array, _ = reorient_array(labels, grid, _DISPLAY)
    return np.ascontiguousarray(array.transpose(2, 1, 0).astype(np.uint8))


def undisplayed(slices: npt.NDArray[Kind], grid: Grid) -> npt.NDArray[Kind]:
    """Masks, or other values (slices rows columns) as shown, back on the scan's own grid (x y z)."""
    like, moved = reorient_array(np.broadcast_to(np.uint8(0), grid.shape), grid, _DISPLAY)
    array = slices.transpose(2, 1, 0)
    assert array.shape == like.shape
    back, _ = reorient_array(array, moved, grid.axis_codes)
    return np.ascontiguousarray(back)


def shown_index(grid: Grid, index: int) -> int:
    """Number of the displayed slice at `index` of the file's own axial axis.

    Raises:
        IndexError: there is no such slice.
    """
    codes = grid.axis_codes
    axis = next(n for n, code in enumerate(codes) if code in "SI")
    if not 0 <= index < grid.shape[axis]:
        raise IndexError(f"slice {index} of {grid.shape[axis]}")
    return index if codes[axis] == "S" else grid.shape[axis] - 1 - index


def shown_place(grid: Grid, at: Sequence[float]) -> tuple[float, float, float]:
    """Where a voxel index (x y z) of the scan is among the displayed slices: slice, row, column."""
    turned = []
    for letter, opposite in ("SI", "PA", "LR"):
        axis = next(n for n, code in enumerate(grid.axis_codes) if code in (letter, opposite))
        turned.append(at[axis] if grid.axis_codes[axis] == letter else grid.shape[axis] - 1 - at[axis])
    return turned[0], turned[1], turned[2]


def frame_of(picture: Float) -> Frame:
    """The square around the body, which is the largest bright part; the whole picture when there is none."""
    rows, columns = picture.shape
    step = max(1, max(rows, columns) // 128)
    body = ndimage.binary_opening(picture[::step, ::step] > BODY, iterations=1)
    parts, count = ndimage.label(body)
    if count == 0:
        return Frame(
            (rows, columns), (rows - max(rows, columns)) / 2, (columns - max(rows, columns)) / 2, max(rows, columns)
        )
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    where = ndimage.find_objects(parts)[int(sizes.argmax()) - 1]
    (top, bottom), (left, right) = ((s.start * step, s.stop * step) for s in where)
    side = max(bottom - top, right - left) * (1 + 2 * MARGIN)
    return Frame((rows, columns), (top + bottom - side) / 2, (left + right - side) / 2, side)


def framed(picture: Float, frame: Frame, size: int) -> Float:
    """The square as (size size), smoothed when it shrinks, black outside the slice."""
    square, corner, side = _padded(picture, frame)
    box = (corner[1], corner[0], corner[1] + side, corner[0] + side)
    image = Image.fromarray(square, mode=None).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype=np.float32)


def framed_labels(labels: npt.NDArray[np.uint8], frame: Frame, size: int) -> npt.NDArray[np.uint8]:
    """Labels of the square as (size size), nearest."""
    square, corner, side = _padded(labels, frame)
    box = (corner[1], corner[0], corner[1] + side, corner[0] + side)
    return np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.NEAREST, box=box))


def unframed(logits: Float, frame: Frame) -> Float:
    """Logits (n n) of the square, back on the displayed slice; far below zero outside the square."""
    rows, columns = (
        _weights(length, start, frame.side, len(logits))
        for length, start in zip(frame.shape, (frame.top, frame.left), strict=True)
    )
    values: Float = rows @ np.clip(logits, -30, 30).astype(np.float32) @ columns.T
    values[rows.sum(1) == 0] = -30.0
    values[:, columns.sum(1) == 0] = -30.0
    return values


def _weights(length: int, start: float, side: float, count: int) -> Float:
    """Linear interpolation as a matrix (length count) from the square's cells to pixels; zero rows outside it."""
    at = (np.arange(length) + 0.5 - start) / side * count - 0.5
    inside = (at >= -0.5) & (at <= count - 0.5)
    at = np.clip(at, 0, count - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count))) * inside[:, None], dtype=np.float32)


def _padded(array: npt.NDArray[np.generic], frame: Frame) -> tuple[npt.NDArray[np.generic], tuple[float, float], float]:
    """The slice with black around it so that the square lies inside; the square's corner there; its side."""
    pad = [
        (max(0, int(np.ceil(-start))), max(0, int(np.ceil(start + frame.side)) - length))
        for start, length in zip((frame.top, frame.left), frame.shape, strict=True)
    ]
    return np.pad(array, pad), (frame.top + pad[0][0], frame.left + pad[1][0]), frame.side


def largest_frame(frames: Sequence[Frame]) -> Frame:
    """One square for a whole stack: the median middle and the largest side of its frames."""
    side = max(frame.side for frame in frames)
    middle = np.median([(f.top + f.side / 2, f.left + f.side / 2) for f in frames], axis=0)
    return Frame(frames[0].shape, float(middle[0]) - side / 2, float(middle[1]) - side / 2, side)
