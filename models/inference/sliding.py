"""Overlapping windows over a scan, weighed by a Gaussian, as published networks want them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box
from ..interface import Cancelled, Progress
from .windows import mean_of_views, turned, turned_back

Float = npt.NDArray[np.float32]


def windows_over(shape: Sequence[int], window: tuple[int, int, int], *, multiple_of: int) -> tuple[Box, ...]:
    """Windows at half a window's distance; the last one of each axis is moved inside.

    Raises:
        ValueError: a side of the window is no multiple of the network's stride.
    """
    if any(side % multiple_of for side in window):
        raise ValueError(f"window {window} must be made of multiples of {multiple_of}")
    starts = []
    for length, side in zip(shape, window, strict=True):
        last = max(0, length - side)
        starts.append(sorted({*range(0, last, side // 2), last}))
    return tuple(
        Box((x, y, z), (x + window[0], y + window[1], z + window[2])) for x, y, z in itertools.product(*starts)
    )


def gaussian(window: tuple[int, int, int]) -> Float:
    """Weights (x y z) that fall off from 1 in the middle, sigma one eighth of the side."""
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    bell = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    weights: Float = np.maximum(bell / bell.max(), 1e-6).astype(np.float32)
    return weights


def cut_window(array: Float, window: Box, *, fill: float = 0.0) -> Float:
    """The window's voxels, padded with `fill` where it sticks out."""
    inside = array[window.slices]
    missing = [(0, (b - a) - n) for a, b, n in zip(window.start, window.stop, inside.shape, strict=True)]
    padded: Float = np.pad(inside, missing, constant_values=fill)
    return padded


def run_windows(
    array: Float,
    network: Callable[[Float], Float],
    *,
    window: tuple[int, int, int],
    channels: int,
    stride: int,
    progress: Progress,
    cancelled: Callable[[], bool],
    views: Sequence[str] = (),
) -> npt.NDArray[np.float16]:
    """What a network says of a whole array (x y z), windows blended; where the array is shorter, its least value fills them.

    Args:
        network: (1 1 x y z) to (1 channels x y z), of the window's size.
        stride: what the window's sides are multiples of.
        views: see `windows.run_tiles`.

    Returns:
        (channels x y z) half precision.

    Raises:
        Cancelled: `cancelled` answered True between two windows.
    """
    fill, boxes = float(array.min(initial=0.0)), windows_over(array.shape, window, multiple_of=stride)

    def answers() -> Iterator[Float]:
        for number, box in enumerate(boxes):
            if cancelled():
                raise Cancelled
            seen = cut_window(array, box, fill=fill)

            def look(view: str, seen: Float = seen) -> Float:
                return turned_back(network(np.ascontiguousarray(turned(seen, view))[None, None])[0], view)

            yield mean_of_views(look, views)
            progress((number + 1) / len(boxes))

    return blended(answers(), boxes, array.shape, channels).astype(np.float16)


def blended(answers: Iterable[Float], boxes: Sequence[Box], shape: Sequence[int], channels: int) -> Float:
    """The mean (channels x y z) of what is said in windows, each weighed by a bell; windows may stick out.

    Args:
        answers: (channels x y z) for each of `boxes`, which are of one size and cover everything.
    """
    total, weight = np.zeros((channels, *shape), np.float32), np.zeros(shape, np.float32)
    x, y, z = (b - a for a, b in zip(boxes[0].start, boxes[0].stop, strict=True))
    bell = gaussian((x, y, z))
    for answer, box in zip(answers, boxes, strict=True):
        here = tuple(slice(a, min(b, n)) for a, b, n in zip(box.start, box.stop, shape, strict=True))
        part = tuple(slice(0, one.stop - one.start) for one in here)
        total[(slice(None), *here)] += (answer * bell)[(slice(None), *part)]
        weight[here] += bell[part]
    return total / weight
