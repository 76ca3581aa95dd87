"""How deep below a mask's surface every place of the patient lies; the surface smooth between slices."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt
import scipy

from ..region import Region
from ..volume import BoolArray, Grid

Points = npt.NDArray[np.float64]
Path = npt.NDArray[np.int64]

# Own choices, set on the bodies of tests/imaging/tubes.
_PER_RADIUS = 5  # cubes per radius of the widest place, if they are not too many
_MOST_CUBES = 1_000_000
_MARGIN = 2  # voxels outside


@dataclass(frozen=True)
class Depth:
    """Distance from the surface.

    Attributes:
        values: (x y z) mm, negative outside, on cubes of `step_mm` along the patient's axes.
        origin_mm: middle of the first cube, RAS+.
        grid: of the scan.
    """

    values: npt.NDArray[np.float32]
    step_mm: float
    origin_mm: Points
    grid: Grid

    @property
    def deepest(self) -> float:
        """Radius of the largest ball inside, mm."""
        return float(self.values.max())

    def at(self, points_mm: Points) -> Points:
        """Depth in mm at places (... 3)."""
        index = np.moveaxis((points_mm - self.origin_mm) / self.step_mm, -1, 0)
        found: Points = scipy.ndimage.map_coordinates(self.values, index, order=1, mode="nearest").astype(np.float64)
        return found

    def beyond(self, points_mm: Points) -> BoolArray:
        """Whether places (... 3) lie outside the middles of the scan's outermost voxels."""
        back = np.linalg.inv(self.grid.affine)
        index = points_mm @ back[:3, :3].T + back[:3, 3]
        found: BoolArray = ((index < 0) | (index > np.array(self.grid.shape) - 1)).any(axis=-1)
        return found

    def middles(self, cubes: Path) -> Points:
        """Middles of cubes (n 3), mm."""
        return cubes * self.step_mm + self.origin_mm


def depth_of(region: Region) -> Depth:
    """The depth of a region that is not empty and whose voxel size is known, fine enough for its widest place.

    Source: shape-based interpolation, Raya and Udupa 1990, IEEE TMI 9:32.
    """
    padded = np.pad(region.array, _MARGIN)
    spacing = region.grid.spacing_mm
    inside = edt.edt(padded, anisotropy=spacing)
    signed = np.where(padded, inside, -edt.edt(~padded, anisotropy=spacing)).astype(np.float32)
    affine = region.grid_of_box.affine
    ends = [(-_MARGIN, n + _MARGIN - 1) for n in region.array.shape]
    corners = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    step = min(*spacing, float(inside.max()) / _PER_RADIUS)
    step = max(step, (float(np.prod(high - low)) / _MOST_CUBES) ** (1 / 3))
    x, y, z = (int(n) for n in np.ceil((high - low) / step) + 1)
    back = np.linalg.inv(affine)
    first = back[:3, :3] @ low + back[:3, 3] + _MARGIN
    values = scipy.ndimage.affine_transform(signed, back[:3, :3] * step, first, (x, y, z), order=1, mode="nearest")
    return Depth(values.astype(np.float32), step, low, region.grid)
