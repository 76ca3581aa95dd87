"""Several masks of one image side by side: who marks a voxel, how far they agree, who stands apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy

from ..errors import BadCall
from ..geometry import Box
from ..masks.dice import dice
from ..region import Region, slices
from ..volume import BoolArray, Grid

NEIGHBOURHOOD = 2  # voxels around what anybody marks; our choice, so that background does not drown the question
APART = 0.1  # of Dice between the worst pair without somebody and the best pair with them; our choice
FEW_SHARED = 0.5  # Dice below which two masks of one structure hardly mean the same; our choice


@dataclass(frozen=True, eq=False)
class Votes:
    """Masks of one grid, as votes on the voxels near what any of them marks.

    Attributes:
        marks: (n v), whether mask n marks voxel v of the neighbourhood.
        near: (x y z) of `box`: the neighbourhood, in whose order the voxels v come.
        box: where `near` lies on `grid`; None when every mask is empty, and then there is no v.
    """

    marks: npt.NDArray[np.bool_]
    near: BoolArray
    box: Box | None
    grid: Grid

    @classmethod
    def of(cls, regions: Sequence[Region]) -> Votes:
        """Votes of two or more masks.

        Raises:
            BadCall: fewer masks, or different grids.
        """
        if len(regions) < 2:
            raise BadCall(f"{len(regions)} mask was given. Merging takes two or more masks of one image.")
        grid = regions[0].grid
        if any(not region.grid.same_as(grid) for region in regions):
            raise BadCall("The masks lie on different grids. Only masks of one image can be merged.")
        box = joint_box(regions, margin=NEIGHBOURHOOD)
        if box is None:
            return cls(np.zeros((len(regions), 0), np.bool_), np.zeros((1, 1, 1), np.bool_), None, grid)
        any_of_them = np.zeros(box.shape, np.bool_)
        for region in regions:
            any_of_them |= painted(region, box)
        near: BoolArray = scipy.ndimage.binary_dilation(any_of_them, iterations=NEIGHBOURHOOD)
        marks = np.array([painted(region, box)[near] for region in regions])
        return cls(marks, near, box, grid)

    @cached_property
    def voxels(self) -> tuple[int, ...]:
        """Of each mask."""
        return tuple(int(count) for count in np.count_nonzero(self.marks, axis=1))

    @cached_property
    def share(self) -> npt.NDArray[np.float32]:
        """(v) of the masks that mark a voxel."""
        return np.asarray(self.marks.mean(axis=0, dtype=np.float32))

    @property
    def voxels_of_all(self) -> int:
        """Marked by every mask."""
        return int(np.count_nonzero(self.marks.all(axis=0)))

    @property
    def voxels_of_any(self) -> int:
        """Marked by one mask or more."""
        return int(np.count_nonzero(self.marks.any(axis=0)))

    @cached_property
    def pairs(self) -> dict[tuple[int, int], float]:
        """Dice of every two masks, by their places; two empty ones agree, 1."""
        count = len(self.marks)
        return {(a, b): dice(self.marks[a], self.marks[b]) for a in range(count) for b in range(a + 1, count)}

    def dice_to_others(self, number: int) -> float:
        """Dice of a mask with what the others mark, each voxel counted by the share of them; never with itself.

        A share leaves nothing to a rule for ties. Nobody marks anything: 1.
        """
        others = np.delete(self.marks, number, axis=0).mean(axis=0)
        both = float(others[self.marks[number]].sum())
        total = self.voxels[number] + float(others.sum())
        return 2 * both / total if total else 1.0

    def stands_apart(self) -> int | None:
        """The mask whose every pair agrees clearly less than all pairs without it; None for two masks or without one such."""
        for number in range(len(self.marks)) if len(self.marks) > 2 else ():
            with_it = [value for pair, value in self.pairs.items() if number in pair]
            without = [value for pair, value in self.pairs.items() if number not in pair]
            if min(without) - max(with_it) >= APART:
                return number
        return None

    def on_grid(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """(v) of the neighbourhood on the whole grid (x y z); nothing elsewhere."""
        whole = np.zeros(self.grid.shape, values.dtype)
        if self.box is not None:
            inside = np.zeros(self.near.shape, values.dtype)
            inside[self.near] = values
            whole[slices(self.box)] = inside
        return whole


def entropy(share: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """In nats, 0 to ln 2: -s ln s - (1-s) ln(1-s) of the share s of votes for a voxel; 0 where all agree."""
    s = np.clip(share, 1e-7, 1 - 1e-7)
    split = (share > 0) & (share < 1)
    found: npt.NDArray[np.float32] = np.where(split, -s * np.log(s) - (1 - s) * np.log(1 - s), 0.0).astype(np.float32)
    return found


def joint_box(regions: Sequence[Region], *, margin: int = 0) -> Box | None:
    """The smallest box that holds every mask, grown by so many voxels within the grid; None when all are empty."""
    boxes = [region.box for region in regions if region.box is not None]
    if not boxes:
        return None
    low = np.maximum(np.min([box.start for box in boxes], axis=0) - margin, 0)
    high = np.minimum(np.max([box.stop for box in boxes], axis=0) + margin, regions[0].grid.shape)
    (x0, y0, z0), (x1, y1, z1) = low.tolist(), high.tolist()
    return Box((x0, y0, z0), (x1, y1, z1))


def painted(region: Region, box: Box) -> BoolArray:
    """The mask's voxels (x y z) of a box that holds it."""
    whole = np.zeros(box.shape, np.bool_)
    if region.box is not None:
        x, y, z = (slice(a - s, b - s) for a, b, s in zip(region.box.start, region.box.stop, box.start, strict=True))
        whole[x, y, z] = region.array
    return whole
