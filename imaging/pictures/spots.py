"""From a pixel of a picture back to the voxel it shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .planes import PLANES


@dataclass(frozen=True)
class Spot:
    """A slice in a picture.

    Attributes:
        plane: its name in `PLANES`.
        index: of the slice, along the RAS axis the plane cuts.
        left, top, width, height: of the slice itself, in pixels of the picture, without frame and letters.
        across, down: (first, last + 1) RAS index that is shown along either side.
    """

    plane: str
    index: int
    left: float
    top: float
    width: float
    height: float
    across: tuple[int, int]
    down: tuple[int, int]

    def ras_index(self, x: float, y: float) -> tuple[float, float, float] | None:
        """RAS index (whole numbers are the middles of voxels) under a pixel; None where the pixel shows no voxel."""
        right, below = (x + 0.5 - self.left) / self.width, (y + 0.5 - self.top) / self.height
        if not (0 <= right < 1 and 0 <= below < 1):
            return None
        plane = PLANES[self.plane]
        at = [0.0, 0.0, 0.0]
        at[plane.axis] = float(self.index)
        low, high = self.across
        at[plane.across] = high - 0.5 - right * (high - low) if plane.flip_across else low - 0.5 + right * (high - low)
        low, high = self.down
        at[plane.down] = high - 0.5 - below * (high - low)  # front or head at the top
        return at[0], at[1], at[2]


def spot_at(spots: Iterable[Spot], x: float, y: float) -> Spot | None:
    """The slice a pixel belongs to."""
    return next((one for one in spots if one.ras_index(x, y) is not None), None)
