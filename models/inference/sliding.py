"""Overlapping windows over a scan, weighed by a Gaussian, as published networks want them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box

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
