"""Turning a scan into the axes an engine wants and its answer back, and finding out which axes those are. Torch-free."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.volume import Affine, Grid
from .engine import Orientation

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Turn:
    """A way to store the same voxels: which axes in which order, and which of them backwards.

    Attributes:
        axes: `axes[n]` is the old axis that becomes axis n.
        flips: whether the new axis n runs the other way.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def of(self, array: Array) -> Array:
        """The array, stored the new way (contiguous)."""
        turned = array.transpose(self.axes)
        return np.ascontiguousarray(turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)])

    def back(self, array: Array) -> Array:
        """What `of` made, stored the old way again."""
        unflipped = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return np.ascontiguousarray(unflipped.transpose(np.argsort(self.axes)))

    def grid(self, grid: Grid) -> Grid:
        """Where the turned voxels lie: each at its old place."""
        old_index = np.eye(4)
        old_index[:3, :3] = 0
        for new, (old, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            old_index[old, new] = -1 if flip else 1
            old_index[old, 3] = grid.shape[old] - 1 if flip else 0
        shape = tuple(grid.shape[old] for old in self.axes)
        affine: Affine = grid.affine @ old_index
        return Grid(shape, affine, grid.spacing_known, grid.thickness_known, grid.stated)  # type: ignore[arg-type]


def turn_to(grid: Grid, orientation: Orientation) -> Turn:
    """How a scan must be turned so that its axes grow in the directions an engine wants; oblique axes by the nearest."""
    if orientation == "as-stored":
        return Turn()
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform  # nibabel loads slowly

    change = ornt_transform(io_orientation(grid.affine), axcodes2ornt(orientation))  # old axis -> new axis, direction
    axes, flips = [0, 0, 0], [False, False, False]
    for old, (new, direction) in enumerate(change):
        axes[int(new)], flips[int(new)] = old, bool(direction < 0)
    return Turn((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def every_turn() -> Iterator[Turn]:
    """All 48."""
    for axes in itertools.permutations((0, 1, 2)):
        for flips in itertools.product((False, True), repeat=3):
            yield Turn(axes, flips)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Probe:
    """How well an engine does when its arrays are stored in one of the 48 ways.

    Attributes:
        codes: axes of the arrays it was given, e.g. "LPS".
        dice: mean over the labelled structures.
    """

    codes: str
    dice: float


def probe_orientations(
    array: Array, grid: Grid, dice_of: Callable[[Array, Grid, Turn], float], turns: Iterator[Turn] | None = None
) -> list[Probe]:
    """Ask the engine about the same scan in every storage order, the best first.

    Args:
        dice_of: gets the turned array, its grid and the turn; answers the mean Dice with the labels.
    """
    found = []
    for turn in turns or every_turn():
        turned = turn.grid(grid)
        found.append(Probe(turned.axis_codes, dice_of(turn.of(array), turned, turn)))
    return sorted(found, key=lambda one: -one.dice)
