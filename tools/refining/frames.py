"""Where a place that somebody named lies in a scan: mm, voxels of the file, voxels towards right, front and head, or pixels of a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ...imaging.geometry import reorient_array
from ...imaging.pictures.planes import PLANES
from ...imaging.pictures.spots import Spot, spot_at
from ...imaging.volume import Grid

FRAMES = ("mm", "mm_lps", "index", "ras_index")  # and the handle of a picture, for its pixels
PICTURE = "pic_"
Place = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """What the numbers of a place mean on an image.

    Attributes:
        name: one of `FRAMES`, or the handle of a picture.
        spots: slices of the picture; () without one.
    """

    name: str
    grid: Grid
    spots: tuple[Spot, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a frame that is none, or that the image does not have."""
        if self.name not in FRAMES and not self.spots:
            raise BadCall(
                f"Unknown frame '{self.name[:40]}'. Allowed: {', '.join(FRAMES)}, or the picture_id of render for its pixels."
            )
        if self.name.startswith("mm") and not self.grid.spacing_known:
            raise BadCall(
                "This image tells no voxel size, so no place in mm is known. Use frame='index', or a picture's handle."
            )

    @property
    def ras(self) -> Grid:
        """The grid turned to RAS."""
        return reorient_array(np.broadcast_to(np.uint8(0), self.grid.shape), self.grid, "RAS")[1]

    def index(self, place: Sequence[float]) -> Place:
        """The place as a voxel index of the file (x y z), between voxels where it lies so.

        Raises:
            BadCall: it is no place, or outside the scan.
        """
        numbers = self._checked(place)
        if self.spots:
            found = self._turned(self._of_pixel(numbers))
        elif self.name == "index":
            found = np.array(numbers)
        elif self.name == "ras_index":
            found = self._turned(numbers)
        else:
            sign = (-1, -1, 1) if self.name == "mm_lps" else (1, 1, 1)
            found = (np.linalg.inv(self.grid.affine) @ np.array([*np.multiply(numbers, sign), 1.0]))[:3]
        if not ((found > -0.5 - 1e-6) & (found < np.array(self.grid.shape) - 0.5 + 1e-6)).all():
            raise BadCall(f"The place {_said(numbers)} ({self.name}) is outside the scan. {self._room()}")
        return found

    def axis_of(self, place: Sequence[float]) -> int | None:
        """Which axis of the file the picture under a pixel cuts; None for other frames."""
        if not self.spots:
            return None
        x, y = self._checked(place)
        spot = spot_at(self.spots, x, y)
        return None if spot is None else axis_cut(self.grid, spot.plane)

    def _checked(self, place: Sequence[float]) -> list[float]:
        numbers = [float(one) for one in place]
        if not all(math.isfinite(one) for one in numbers):
            raise BadCall(f"The place {numbers} holds NaN or infinity. Every number must be finite.")
        wanted = 2 if self.spots else 3
        if len(numbers) == 2 and wanted == 3 and self.grid.is_2d and not self.name.startswith("mm"):
            numbers.append(0.0)
        if len(numbers) != wanted:
            hint = (
                " Without a third nobody knows the slice; for pixels of a picture pass its picture_id as frame."
                if len(numbers) == 2
                else ""
            )
            raise BadCall(f"The place {numbers} has {len(numbers)} numbers. frame='{self.name}' takes {wanted}.{hint}")
        return numbers

    def _of_pixel(self, numbers: Sequence[float]) -> tuple[float, float, float]:
        x, y = numbers
        spot = spot_at(self.spots, x, y)
        found = None if spot is None else spot.ras_index(x, y)
        if found is None:
            raise BadCall(
                f"The pixel {_said(numbers)} shows no voxel: it lies on the frame, the legend, or outside. Pixels are "
                "[from the left, from the top], from 0."
            )
        return found

    def _turned(self, ras: Sequence[float]) -> Place:
        to = np.linalg.inv(self.grid.affine) @ self.ras.affine
        found: Place = (to @ np.array([*ras, 1.0]))[:3]
        return found

    def _room(self) -> str:
        if not self.name.startswith("mm"):
            shape = self.ras.shape if self.name == "ras_index" else self.grid.shape
            return f"It has {' x '.join(map(str, shape))} voxels, counted from 0."
        corners = np.array(
            [[x, y, z, 1] for x in (0, self.grid.shape[0] - 1) for y in (0, self.grid.shape[1] - 1)
             for z in (0, self.grid.shape[2] - 1)]
        )  # fmt: skip
        ends = (corners @ self.grid.affine.T)[:, :3] * ((-1, -1, 1) if self.name == "mm_lps" else (1, 1, 1))
        return "It spans " + ", ".join(
            f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in zip("xyz", ends.min(0), ends.max(0), strict=True)
        ) + " mm."  # fmt: skip


def axis_cut(grid: Grid, plane: str) -> int:
    """Which axis of the file a plane cuts."""
    letters = ("RL", "AP", "SI")[PLANES[plane].axis]
    return next(n for n, code in enumerate(grid.axis_codes) if code in letters)


def _said(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{one:g}" for one in numbers) + "]"
