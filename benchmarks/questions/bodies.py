"""Made bodies in which every structure lies where it belongs: an abdomen, two heart phases, a head, a thigh.

Bodies are ellipsoids in patient space (RAS+ mm), so that a network's answer follows from its word and the grid alone.
They test planning and answering, not seeing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...imaging.files import write_volume
from ...imaging.phantoms import TORSO, Ellipsoid
from ...imaging.volume import BoolArray, Grid, Modality, Volume

Bodies = Mapping[str, tuple[Ellipsoid, float]]
_OF_TORSO = ("liver", "spleen", "left kidney", "aorta", "urinary bladder", "left hip bone", "right hip bone",
             "left femur", "right femur")  # fmt: skip
ABDOMEN: Bodies = {
    **{name: TORSO[name] for name in _OF_TORSO},
    "right kidney": (Ellipsoid((60, -46, 34), (24, 22, 48)), 150),
    "stomach": (Ellipsoid((-52, 34, 104), (32, 40, 42)), 45),
    "gallbladder": (Ellipsoid((42, 70, 42), (14, 14, 20)), 10),
    "esophagus": (Ellipsoid((-5, -14, 168), (9, 9, 26)), 35),
    "inferior vena cava": (Ellipsoid((18, -30, 110), (11, 11, 900)), 120),
    "pancreas": (Ellipsoid((-15, 24, 62), (50, 14, 14)), 90),
    "portal and splenic vein": (Ellipsoid((4, 2, 78), (8, 8, 60)), 170),
    "left adrenal gland": (Ellipsoid((-40, -40, 112), (9, 9, 14)), 60),
    "right adrenal gland": (Ellipsoid((36, -48, 100), (9, 9, 12)), 60),
}
GROWN: Bodies = {**ABDOMEN, "spleen": (Ellipsoid((-98, -32, 112), (30, 48, 60), 15), 110)}
THIGH: Bodies = {"soft tissue sarcoma": (Ellipsoid((20, 10, 0), (30, 24, 36)), 9)}
HIPPOCAMPUS: Bodies = {
    "anterior hippocampus": (Ellipsoid((0, 8, 0), (7, 8, 7)), 700),
    "posterior hippocampus": (Ellipsoid((0, -9, 0), (6, 8, 6)), 680),
}


def _heart(lv: tuple[float, float, float], rv: tuple[float, float, float], wall: float) -> Bodies:
    muscle = (lv[0] + wall, lv[1] + wall, lv[2] + wall)
    return {
        "right ventricle": (Ellipsoid((38, 24, 0), rv), 900),
        "myocardium": (Ellipsoid((-8, 0, 0), muscle), 350),
        "left ventricle": (Ellipsoid((-8, 0, 0), lv), 950),
    }


FULL, EMPTY = _heart((25, 25, 42), (24, 32, 40), 9.0), _heart((17, 17, 36), (18, 26, 34), 12.0)


def _pair(name: str, centre: tuple[float, float, float], half: tuple[float, float, float], grey: float) -> Bodies:
    x, y, z = centre
    smaller = (half[0] * 0.97, half[1] * 0.97, half[2] * 0.97)
    return {f"left {name}": (Ellipsoid((-x, y, z), half), grey), f"right {name}": (Ellipsoid((x, y, z), smaller), grey)}


HEAD: Bodies = {
    "cerebral cortex": (Ellipsoid((0, 0, 10), (64, 80, 56)), 500),
    "cerebral white matter": (Ellipsoid((0, 0, 10), (54, 69, 45)), 800),
    "cerebellum": (Ellipsoid((0, -58, -38), (46, 28, 24)), 600),
    "brain stem": (Ellipsoid((0, -22, -38), (14, 13, 28)), 700),
    **_pair("lateral ventricle", (12, -6, 24), (6, 30, 12), 100),
    **_pair("thalamus", (12, -18, 8), (9, 15, 11), 650),
    **_pair("caudate nucleus", (14, 20, 10), (7, 14, 9), 640),
    **_pair("putamen", (28, 6, 4), (7, 15, 11), 630),
    **_pair("pallidum", (19, 2, 0), (5, 8, 8), 720),
    **_pair("hippocampus", (28, -22, -10), (8, 17, 7), 610),
    **_pair("amygdala", (24, 0, -16), (7, 7, 7), 605),
}


@dataclass(frozen=True)
class Scene:
    """A scan to be made: its bodies, voxel size, field (RAS+ mm) and grey values around them."""

    bodies: Bodies
    modality: Modality
    spacing_mm: tuple[float, float, float]
    field_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    around: tuple[tuple[Ellipsoid, float], ...]
    empty: float


_TRUNK = ((Ellipsoid((0, 0, 60), (172, 122, 2000)), -105.0), (Ellipsoid((0, -2, 60), (152, 102, 2000)), 50.0))
_CT = ("ct", (4.0, 4.0, 5.0), ((-190.0, 190.0), (-140.0, 140.0), (-180.0, 195.0)), _TRUNK, -1000.0)
_CHEST = ("mr", (2.0, 2.0, 4.0), ((-90.0, 90.0), (-90.0, 90.0), (-64.0, 64.0)), (), 200.0)
SCENES: Mapping[str, tuple[Scene, ...]] = {
    "none": (),
    "ct_abdomen": (Scene(ABDOMEN, *_CT),),  # type: ignore[arg-type]  # a row of fields, checked by every run
    "any": (Scene(ABDOMEN, *_CT),),  # type: ignore[arg-type]
    "ct_pair": (Scene(ABDOMEN, *_CT), Scene(GROWN, *_CT)),  # type: ignore[arg-type]
    "heart_cine": (Scene(FULL, *_CHEST), Scene(EMPTY, *_CHEST)),  # type: ignore[arg-type]
    "hippocampus": (
        Scene(HIPPOCAMPUS, "mr", (1.0, 1.0, 1.0), ((-18.0, 18.0), (-26.0, 26.0), (-17.0, 17.0)), (), 400.0),
    ),
    "brain_mr": (
        Scene(
            HEAD,
            "mr",
            (2.0, 2.0, 2.0),
            ((-82.0, 82.0), (-100.0, 100.0), (-80.0, 84.0)),
            ((Ellipsoid((0, -4, 0), (74, 92, 76)), 300.0),),
            0.0,
        ),
    ),
    "pet": (
        Scene(
            THIGH,
            "pet",
            (4.0, 4.0, 4.0),
            ((-110.0, 110.0), (-110.0, 110.0), (-120.0, 120.0)),
            ((Ellipsoid((0, 0, 0), (90, 90, 2000)), 0.8),),
            0.0,
        ),
    ),
}


def files_of(scan: str, folder: Path) -> list[tuple[Path, Modality]]:
    """The files of a scan in a folder, made where they are not there yet."""
    found = []
    for number, scene in enumerate(SCENES[scan], start=1):
        path = folder / f"{'ct_abdomen' if scan == 'any' else scan}_{number}.nii.gz"
        if not path.exists():
            volume = drawn(scene)
            write_volume(path, np.asarray(volume.array), volume.grid, synthetic=False)
        found.append((path, scene.modality))
    return found


def drawn(scene: Scene) -> Volume:
    """The scan of a scene, with a little noise."""
    shape = tuple(round((high - low) / mm) for (low, high), mm in zip(scene.field_mm, scene.spacing_mm, strict=True))
    affine = np.diag([*scene.spacing_mm, 1.0])
    affine[:3, 3] = [low + mm / 2 for (low, _high), mm in zip(scene.field_mm, scene.spacing_mm, strict=True)]
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    grey = np.full(shape, scene.empty, np.float32)
    for body, value in scene.around:
        grey[inside(body, grid)] = value
    for name, (_body, value) in scene.bodies.items():
        grey[mask_of(name, scene.bodies, grid)] = value
    noise = np.random.default_rng(0).normal(0, 0.01 * max(1.0, float(grey.max())), shape)
    kind = np.float32 if scene.modality == "pet" else np.int16
    return Volume((grey + noise).astype(kind), grid, scene.modality)


def inside(body: Ellipsoid, grid: Grid) -> BoolArray:
    """Voxels of a grid in RAS order whose centre lies in a body."""
    x, y, z = (
        (grid.affine[axis, 3] + grid.affine[axis, axis] * np.arange(grid.shape[axis]))
        .astype(np.float32)
        .reshape([-1 if a == axis else 1 for a in range(3)])
        for axis in range(3)
    )
    return np.broadcast_to(body.holds(x, y, z), grid.shape).copy()


def mask_of(name: str, bodies: Bodies, grid: Grid) -> BoolArray:
    """Voxels of a structure: those of its body that no later body takes."""
    mask = np.zeros(grid.shape, bool)
    for other, (body, _grey) in bodies.items():
        mask = inside(body, grid) if other == name else mask & ~inside(body, grid) if mask.any() else mask
    return mask
