"""Volumes and masks: arrays that know where in the patient they are.

Arrays are indexed `x y z` along the file's own axes. The affine maps a voxel index to
millimetres in patient space, RAS+ (x grows to the patient's right, y to the front, z to the head),
as in nibabel. Left and right are always the patient's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .errors import BadCall

Modality = Literal["ct", "mr", "pet", "us", "xr", "photo", "unknown"]
MODALITIES: tuple[str, ...] = get_args(Modality)

FloatArray = npt.NDArray[np.floating[Any]]
Affine = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_SLAB = 32  # a cache line of 16-bit voxels


def _checked_affine(affine: npt.ArrayLike) -> Affine:
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise BadCall(f"The affine has shape {matrix.shape}. It must be 4x4, voxel index to mm. Fix the header.")
    if not np.isfinite(matrix).all():
        raise BadCall("The affine holds NaN or infinity. It must be finite. Fix the header.")
    if not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise BadCall(f"The affine's last row is {matrix[3].tolist()}. It must be 0 0 0 1. Fix the header.")
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if not (scale > 0).all() or abs(np.linalg.det(matrix[:3, :3] / np.where(scale > 0, scale, 1))) < 1e-3:
        raise BadCall(
            "The affine is singular (an axis has no length, or two axes point the same way). "
            "A voxel must have a volume. Fix the header; no spacing is invented here."
        )
    matrix.setflags(write=False)
    return matrix


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape (x y z) and affine: what a mask must share with its image.

    Attributes:
        shape: voxels along x, y, z; 1 along z for a 2-D image.
        affine: (4 4), voxel index to mm, RAS+.
        spacing_known: False when the file told no voxel size; lengths are then in voxels.
        thickness_known: False for a single slice whose size is known within its plane only: it has lengths, no volumes.
        stated: the voxel size is the user's word, not the file's.
    """

    shape: tuple[int, int, int]
    affine: Affine
    spacing_known: bool = True
    thickness_known: bool = True
    stated: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise BadCall(
                f"A grid of shape {self.shape} is empty or not three-dimensional. Give x, y, z of at least 1."
            )
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", _checked_affine(self.affine))

    def __eq__(self, other: object) -> bool:
        """Exactly the same shape, affine and knowledge of the spacing; see `same_as` for a tolerance."""
        if not isinstance(other, Grid):
            return NotImplemented
        same = self.shape == other.shape and self.spacing_known == other.spacing_known
        same = same and self.thickness_known == other.thickness_known
        return same and bool(np.array_equal(self.affine, other.affine))

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes(), self.spacing_known))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel edge lengths along x, y, z in mm (1.0 placeholders when `spacing_known` is False)."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def volume_known(self) -> bool:
        """Whether a voxel has a volume in ml."""
        return self.spacing_known and self.thickness_known

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres; exact for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def axis_codes(self) -> str:
        """Direction each axis grows to, for example "RAS" or "LPS"."""
        from nibabel.orientations import aff2axcodes  # nibabel loads slowly

        return "".join(aff2axcodes(self.affine))

    @property
    def is_2d(self) -> bool:
        """True for a single slice."""
        return self.shape[2] == 1

    def same_as(self, other: Grid, *, tolerance_mm: float = 1e-3) -> bool:
        """True when both grids put every voxel at the same place, within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(
            [[i, j, k, 1] for i in (0, self.shape[0]) for j in (0, self.shape[1]) for k in (0, self.shape[2])]
        )
        return bool(np.abs(corners @ (self.affine - other.affine).T).max() <= tolerance_mm)


@dataclass(frozen=True)
class Volume:
    """An image on a grid, valid once built.

    Attributes:
        array: (x y z), a real number type, finite everywhere.
        grid: shape and affine; `array.shape == grid.shape`.
        modality: what made the image; decides windows and intensity handling.
        synthetic: True for images a model or phantom made; it stays True for life.

    Raises:
        BadCall: wrong dimensions, a complex or empty array, NaN or infinite voxels, or
            fewer than 2 voxels along a spatial axis of a 3-D image.
    """

    array: npt.NDArray[Any]
    grid: Grid
    modality: Modality = "unknown"
    synthetic: bool = False

    def __post_init__(self) -> None:
        array = self.array
        if array.ndim != 3:
            raise BadCall(
                f"The image has {array.ndim} dimensions. One 3-D volume (x y z) is needed. Pick one time point or channel."
            )
        if array.dtype.kind not in "iufb":
            raise BadCall(
                f"Voxels have type {array.dtype}. Real numbers are needed. Convert the file, for example to its magnitude."
            )
        if array.shape != self.grid.shape:
            raise BadCall(f"The array has shape {array.shape} but its grid {self.grid.shape}. They must agree.")
        if min(array.shape[:2]) < 2:
            raise BadCall(
                f"The image has shape {array.shape}. Each spatial axis needs at least 2 voxels (z may be 1 for a 2-D image)."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise BadCall(
                f"The image holds {bad} NaN or infinite voxels. All must be finite. Replace them (air is -1000 HU in CT) and open it again."
            )
        if self.modality not in MODALITIES:
            raise BadCall(f"Unknown modality '{self.modality}'. Allowed: {', '.join(MODALITIES)}.")

    @property
    def content_hash(self) -> str:
        """sha256 hex of voxels, type, grid and modality: same input, same hash."""
        digest = hashlib.sha256()
        facts = (self.array.dtype.str, self.array.shape, self.modality, self.synthetic, self.grid.spacing_known)
        digest.update(repr(facts).encode())
        if self.grid.stated:  # another image than one whose file says the same
            digest.update(repr(("stated", self.grid.thickness_known)).encode())
        digest.update(np.round(self.grid.affine, 6).tobytes())
        for start in range(0, self.array.shape[0], _SLAB):  # in slabs: files lie x first, the hash reads z first
            digest.update(np.ascontiguousarray(self.array[start : start + _SLAB]).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Mask:
    """A boolean structure on its image's grid; masks of one image may overlap.

    Raises:
        BadCall: the array is not boolean or not of the grid's shape.
    """

    array: BoolArray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.dtype != np.bool_:
            raise BadCall(f"A mask has type {self.array.dtype}. It must be boolean. Threshold it first.")
        if self.array.shape != self.grid.shape:
            raise BadCall(f"The mask has shape {self.array.shape} but its grid {self.grid.shape}. They must agree.")

    @property
    def content_hash(self) -> str:
        """sha256 hex of the voxels and the grid."""
        digest = hashlib.sha256(repr(self.array.shape).encode())
        digest.update(np.round(self.grid.affine, 6).tobytes())
        digest.update(np.packbits(self.array).tobytes())
        return digest.hexdigest()
