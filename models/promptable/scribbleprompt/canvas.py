"""How marks look to the networks taught here: discs, strokes and boxes in three channels. Torch-free; training and use share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...interface import Prompt

RADIUS = {2: 2.0, 3: 1.5}  # pixels of a click, by dimensions; ours: one pixel is lost on a network of a million weights
Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """What was drawn on a picture so far, on the network's own grid.

    Attributes:
        channels: (3 ...): filled boxes, what is meant, what is not.
    """

    channels: Float

    @classmethod
    def blank(cls, shape: Sequence[int]) -> Canvas:
        """Nothing drawn."""
        return cls(np.zeros((3, *shape), np.float32))

    def point_(self, at: Sequence[float], positive: bool) -> None:
        """A disc; where it covers one of the other kind, it replaces it."""
        shape = self.channels.shape[1:]
        reach = RADIUS[len(shape)]
        middle = [min(max(float(one), 0.0), side - 1.0) for one, side in zip(at, shape, strict=True)]
        window = tuple(
            slice(max(0, int(np.floor(one - reach))), min(side, int(np.ceil(one + reach)) + 1))
            for one, side in zip(middle, shape, strict=True)
        )
        grids = np.ogrid[window]
        squared = sum((grid - round(one)) ** 2 for grid, one in zip(grids, middle, strict=True))
        self._mark_((slice(None), *window), (np.asarray(squared) <= reach**2).astype(np.float32), positive)

    def stroke_(self, covered: Float, positive: bool) -> None:
        """A scribble (...) in [0, 1]."""
        self._mark_((slice(None),), covered, positive)

    def box_(self, low: Sequence[float], high: Sequence[float]) -> None:
        """A box from its lower to its upper edges; whole numbers are the middles of pixels."""
        shape = self.channels.shape[1:]
        ends = zip(low, high, shape, strict=True)
        self.channels[0][
            tuple(slice(max(0, round(a + 0.5)), max(0, min(side, round(b + 0.5)))) for a, b, side in ends)
        ] = 1

    def _mark_(self, window: tuple[slice, ...], covered: Float, positive: bool) -> None:
        part = self.channels[window]
        own, other = (1, 2) if positive else (2, 1)
        part[own] = np.maximum(part[own], covered)
        part[other] = np.minimum(part[other], 1 - covered)


def draw_(canvas: Canvas, prompts: Sequence[Prompt]) -> None:
    """Add prompts whose voxel indices are the canvas's own."""
    for one in prompts:
        if one.kind == "point":
            canvas.point_(one.at, one.positive)
        elif one.kind == "box":
            canvas.box_([first - 0.5 for first, _ in one.box], [stop - 0.5 for _, stop in one.box])
        elif one.array is not None:
            canvas.stroke_(one.array.astype(np.float32), one.positive)
