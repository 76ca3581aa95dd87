"""Two reference bodies of the Human Reference Atlas: label maps to make CT pictures from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import edt
import nibabel
import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box, crop
from ...imaging.volume import Grid
from ..cases import Case, Dataset
from .appearance import Appearance, Layers, Tissue
from .cores import WALL_MM, core_of, with_cores

BODY_LABELS: dict[str, tuple[int, ...]] = {
    "liver": (16,),
    "spleen": (23,),
    "left kidney": (25,),
    "right kidney": (26,),
    "kidneys": (25, 26),
    "urinary bladder": (29,),
    "aorta": (50,),
    "heart": (36, 37, 38, 39, 40),
    "left hip bone": (2,),
    "right hip bone": (3,),
    "hip bones": (2, 3),
    "left femur": (6,),
    "right femur": (7,),
    "femora": (6, 7),
    "sacrum": (4,),
    "pancreas": (24,),
    "gallbladder": (22,),
    "inferior vena cava": (44,),
}
LUNG, SPINE, SHELL, SHELLS, SHELL_MM = 100, 101, 200, 15, 3.0
_SPINE_CORE = 102

_BONE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
_KIDNEYS, _BLADDER = (25, 26), 29
CORED = (*_BONE, *_KIDNEYS, _BLADDER)
STRUCTURES = {
    name: (*values, *(core_of(value) for value in values if value in CORED)) for name, values in BODY_LABELS.items()
}
_VESSEL = (41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61)
_MUSCLE = (14, 15, 30, 31, 32, 33, 34, 35, 62, 63)

# Hounsfield units; our choice, wide enough for plain to portal-venous CT.
APPEARANCE = Appearance(
    kind="ct",
    tissues={
        "outside": Tissue(-1000, 0, 8),
        "skin": Tissue(0, 30, 20),
        "fat": Tissue(-105, 8, 12),
        "muscle": Tissue(55, 10, 15),
        "lung": Tissue(-840, 50, 60),
        "bone": Tissue(450, 130, 140),
        "marrow": Tissue(190, 70, 60),
        "vessel": Tissue(120, 55, 12),
        "cavity": Tissue(125, 60, 12),
        "liver": Tissue(90, 25, 12),
        "spleen": Tissue(95, 30, 12),
        "kidney": Tissue(130, 60, 25),
        "medulla": Tissue(110, 50, 20),
        "pancreas": Tissue(75, 25, 18),
        "bile": Tissue(12, 8, 8),
        "urine": Tissue(8, 10, 8),
        "wall": Tissue(35, 12, 12),
        "bowel": Tissue(20, 45, 45),
        "airway": Tissue(-990, 8, 10),
    },
    tissue_of={
        **dict.fromkeys((*_BONE, SPINE), "bone"),
        **dict.fromkeys((*map(core_of, _BONE), _SPINE_CORE), "marrow"),
        **dict.fromkeys(map(core_of, _KIDNEYS), "medulla"),
        core_of(_BLADDER): "urine",
        **dict.fromkeys(_VESSEL, "vessel"),
        **dict.fromkeys(_MUSCLE, "muscle"),
        **dict.fromkeys((37, 38, 39, 40), "cavity"),
        36: "muscle",
        LUNG: "lung",
        16: "liver",
        23: "spleen",
        25: "kidney",
        26: "kidney",
        27: "muscle",
        28: "muscle",
        24: "pancreas",
        22: "bile",
        _BLADDER: "wall",
        **dict.fromkeys((17, 18, 19, 20, 21), "bowel"),
        64: "airway",
        65: "airway",
        66: "muscle",
    },
    mixed={1: ("muscle", "fat"), 17: ("bowel", "airway")},
    layers=Layers(SHELL, SHELLS, SHELL_MM, (("skin", 1, 3), ("fat", 3, 32)), "muscle"),
)


def _with_missing_parts(labels: npt.NDArray[np.uint8], spacing_mm: float) -> npt.NDArray[np.uint8]:
    """The map with rough lungs, a rough spine and shells under the skin, which the atlas lacks.

    They only make the picture plausible; nobody is asked to segment them.
    """
    whole = labels.copy()
    body = labels > 0
    depth = edt.edt(body, anisotropy=(spacing_mm,) * 3, black_border=False)
    interior = labels == 1
    aorta = np.argwhere(labels == 50)
    hips_top = np.argwhere(labels == 2)[:, 2].max()
    heart = np.argwhere((labels >= 36) & (labels <= 40))
    x, y, z = np.ogrid[tuple(slice(0, n) for n in labels.shape)]
    middle = heart[:, 0].mean()
    front = float(np.median(aorta[:, 1]))
    sacrum_top = np.argwhere(labels == 4)[:, 2].max()
    radius = 20 / spacing_mm
    axis_y = front - 26 / spacing_mm
    midline = (np.argwhere(labels == 2)[:, 0].mean() + np.argwhere(labels == 3)[:, 0].mean()) / 2
    spine = ((x - midline) ** 2 + (y - axis_y) ** 2 < radius**2) & (z > sacrum_top - 3)
    whole[interior & spine] = SPINE
    marrow = (x - midline) ** 2 + (y - axis_y) ** 2 < (radius - WALL_MM / spacing_mm) ** 2
    whole[interior & spine & marrow] = _SPINE_CORE
    chest_floor = heart[:, 2].min() - 40 / spacing_mm
    chest_top = heart[:, 2].max() + 110 / spacing_mm
    beside = np.abs(x - middle) > 18 / spacing_mm
    within = np.abs(x - midline) < 150 / spacing_mm
    lungs = interior & (depth > 22) & (z > max(chest_floor, hips_top)) & (z < chest_top) & beside & within & ~spine
    whole[lungs] = LUNG
    shell = np.ceil(depth / SHELL_MM).astype(np.int32)
    near = interior & (shell <= SHELLS) & (whole == 1)
    whole[near] = (SHELL - 1 + shell[near]).astype(np.uint8)
    return whole


def _load(folder: Path) -> Iterator[Case]:
    for sex in ("male", "female"):
        image = nibabel.load(folder / f"hra_{sex}_3mm.nii.gz")
        labels = np.asarray(image.dataobj).astype(np.uint8)
        grid = Grid(labels.shape, image.affine.astype(np.float64))
        hips, heart = np.argwhere(labels == 2), np.argwhere((labels >= 36) & (labels <= 40))
        middle = round((hips[:, 0].mean() + np.argwhere(labels == 3)[:, 0].mean()) / 2)
        whole = with_cores(_with_missing_parts(labels, 3.0), CORED, (3.0, 3.0, 3.0))
        box = Box((middle - 75, 0, hips[:, 2].min() - 50), (middle + 75, labels.shape[1], heart[:, 2].max() + 45))
        cut, cut_grid = crop(whole, grid, box)
        yield Case(sex, f"{sex} body", None, cut, cut_grid)


# Labels that change their side with the picture.
MIRRORED = {
    a: b
    for left, right in ((2, 3), (6, 7), (8, 9), (10, 11), (12, 13), (14, 15), (25, 26), (27, 28))
    for pair in ((left, right), *([(core_of(left), core_of(right))] if left in CORED else []))
    for a, b in (pair, pair[::-1])
}

DATASET = Dataset(
    name="hra_phantom",
    folder="hra_phantom",
    structures=STRUCTURES,
    absent=("cerebellum", "putamina", "myocardium"),
    licence="CC BY 4.0",
    use="any",
    sources=("HuBMAP / Human Reference Atlas 3D reference organs (Visible Human male and female), CC BY 4.0",),
    load=_load,
    held_out=lambda patients: set(),
    mirrored=MIRRORED,
)
