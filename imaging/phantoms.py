"""Scans with known answers: bodies built from ellipsoids and cylinders, at any spacing.

The torso is a caricature in Hounsfield units with organs where they belong; it tests plumbing,
sides, sizes and speed, never clinical skill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from .errors import BadCall
from .volume import Grid, Mask, Volume

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half-axes in mm, RAS+; turned about the z axis by `turn_deg`."""

    centre_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]
    turn_deg: float = 0.0

    @property
    def volume_ml(self) -> float:
        """Exact volume of the whole body."""
        a, b, c = self.half_mm
        return 4 / 3 * np.pi * a * b * c / 1000

    def holds(self, x: Points, y: Points, z: Points) -> npt.NDArray[np.bool_]:
        """Which points lie inside."""
        angle = np.radians(self.turn_deg)
        u, v, w = x - self.centre_mm[0], y - self.centre_mm[1], z - self.centre_mm[2]
        along, across = u * np.cos(angle) + v * np.sin(angle), -u * np.sin(angle) + v * np.cos(angle)
        a, b, c = self.half_mm
        inside: npt.NDArray[np.bool_] = (along / a) ** 2 + (across / b) ** 2 + (w / c) ** 2 <= 1
        return inside


@dataclass(frozen=True)
class Phantom:
    """A synthetic scan and the truth about it.

    Attributes:
        masks: voxelised structures; later ones in the recipe overwrite earlier ones.
        whole_ml: exact volume of each body that lies wholly in the scan and is not overwritten.
    """

    volume: Volume
    masks: dict[str, Mask]
    whole_ml: dict[str, float]


# name: (body, mean HU). Patient space: x to the right, y to the front, z to the head; z = 0 at the navel.
TORSO: dict[str, tuple[Ellipsoid, float]] = {
    "left lung": (Ellipsoid((-72, 8, 265), (58, 72, 120)), -850),
    "right lung": (Ellipsoid((74, 8, 262), (60, 72, 118)), -850),
    "heart": (Ellipsoid((-14, 38, 205), (55, 42, 50), 30), 130),
    "liver": (Ellipsoid((68, 22, 105), (82, 66, 58), -12), 100),
    "spleen": (Ellipsoid((-98, -32, 112), (26, 42, 52), 15), 110),
    "left kidney": (Ellipsoid((-58, -46, 42), (27, 24, 55)), 160),
    "right kidney": (Ellipsoid((60, -46, 30), (27, 24, 54)), 160),
    "vertebral column": (Ellipsoid((0, -68, 80), (21, 19, 900)), 260),
    "aorta": (Ellipsoid((-13, -34, 130), (11, 11, 900)), 180),
    "urinary bladder": (Ellipsoid((0, 32, -130), (38, 32, 34)), 8),
    "left hip bone": (Ellipsoid((-88, -22, -80), (18, 44, 78), 28), 330),
    "right hip bone": (Ellipsoid((88, -22, -80), (18, 44, 78), -28), 330),
    "left femur": (Ellipsoid((-106, 2, -200), (20, 20, 90)), 360),
    "right femur": (Ellipsoid((106, 2, -200), (20, 20, 90)), 360),
}
_SKIN = Ellipsoid((0, 0, 60), (172, 122, 2000))
_MUSCLE = Ellipsoid((0, -2, 60), (152, 102, 2000))
_AIR_HU, _FAT_HU, _MUSCLE_HU = -1000.0, -105.0, 50.0


def torso_ct(
    *,
    spacing_mm: Sequence[float] = (2.0, 2.0, 2.5),
    field_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] = (
        (-190, 190),
        (-140, 140),
        (-230, 310),
    ),
    seed: int = 0,
    noise_hu: float = 12.0,
) -> Phantom:
    """A torso CT in RAS order.

    Args:
        field_mm: low and high end of the scan along x, y, z in patient space.
        noise_hu: standard deviation of the noise.

    Raises:
        BadCall: a spacing that is not above 0.
    """
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise BadCall(f"A spacing of {tuple(spacing_mm)} mm is impossible. Give three values above 0.")
    shape = tuple(max(2, round((high - low) / s)) for (low, high), s in zip(field_mm, spacing_mm, strict=True))
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [low + s / 2 for (low, _high), s in zip(field_mm, spacing_mm, strict=True)]
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    x, y, z = (
        (affine[axis, 3] + affine[axis, axis] * np.arange(shape[axis]))
        .astype(np.float32)
        .reshape([-1 if a == axis else 1 for a in range(3)])
        for axis in range(3)
    )
    hu = np.full(shape, _AIR_HU, dtype=np.float32)
    hu[np.broadcast_to(_SKIN.holds(x, y, z), shape)] = _FAT_HU
    hu[np.broadcast_to(_MUSCLE.holds(x, y, z), shape)] = _MUSCLE_HU
    owner = np.zeros(shape, dtype=np.uint8)
    for number, (body, mean) in enumerate(TORSO.values(), start=1):
        inside = np.broadcast_to(body.holds(x, y, z), shape)
        owner[inside], hu[inside] = number, mean
    rng = np.random.default_rng(seed)
    grain = scipy.ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), 0.7)
    hu = scipy.ndimage.gaussian_filter(hu, 0.5) + noise_hu * grain / grain.std()
    volume = Volume(np.clip(np.round(hu), -1024, 3071).astype(np.int16), grid, "ct", synthetic=True)
    masks = {name: Mask(owner == number, grid) for number, name in enumerate(TORSO, start=1)}
    return Phantom(volume, masks, _whole(grid, masks))


def _whole(grid: Grid, masks: dict[str, Mask]) -> dict[str, float]:
    """Exact volumes of bodies that no border and no later body cuts."""
    low = grid.affine[:3, 3]
    high = low + np.diag(grid.affine)[:3] * (np.array(grid.shape) - 1)
    whole = {}
    for name, (body, _hu) in TORSO.items():
        reach = max(body.half_mm[:2])
        half = np.array([reach, reach, body.half_mm[2]])
        centre = np.array(body.centre_mm)
        expected = body.volume_ml
        found = int(masks[name].array.sum()) * grid.voxel_ml
        if (centre - half > low).all() and (centre + half < high).all() and abs(found - expected) < 0.03 * expected:
            whole[name] = expected
    return whole
