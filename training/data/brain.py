"""Heads with labels: one adult brain to make images from, with its T1 scan, and two that no network here was taught."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edt
import nibabel
import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box, crop
from ...imaging.volume import Grid, Volume
from ..bodies.appearance import Appearance, Layers, Tissue
from ..cases import Case, Dataset

# Our label value -> FreeSurfer's. Source: FreeSurferColorLUT.txt of FreeSurfer.
FREESURFER = {
    1: (2, 7, 41, 46, 77, 85, 251, 252, 253, 254, 255),  # white matter; 7 and 46 are split off below
    3: (4, 5, 31),
    4: (43, 44, 63),
    5: (10,),
    6: (49,),
    7: (11,),
    8: (50,),
    9: (12,),
    10: (51,),
    11: (13,),
    12: (52,),
    13: (17,),
    14: (53,),
    15: (18,),
    16: (54,),
    17: (16,),
    18: (8, 47),
    19: (7, 46),
    20: (14, 15, 24),
    21: (26, 58),
    22: (28, 60, 30, 62),
}
CORTEX, SHELL = 2, 200
SHELLS, SHELL_MM = 15, 2.0
MARGIN = 16  # voxels of 1 mm kept around the brain

STRUCTURES: dict[str, tuple[int, ...]] = {
    "cerebral white matter": (1,),
    "cerebral cortex": (2,),
    "left lateral ventricle": (3,),
    "right lateral ventricle": (4,),
    "left thalamus": (5,),
    "right thalamus": (6,),
    "left caudate nucleus": (7,),
    "right caudate nucleus": (8,),
    "left putamen": (9,),
    "right putamen": (10,),
    "left pallidum": (11,),
    "right pallidum": (12,),
    "left hippocampus": (13,),
    "right hippocampus": (14,),
    "left amygdala": (15,),
    "right amygdala": (16,),
    "brain stem": (17,),
    "cerebellum": (18, 19),
    "lateral ventricles": (3, 4),
    "thalami": (5, 6),
    "caudate nuclei": (7, 8),
    "putamina": (9, 10),
    "pallida": (11, 12),
    "hippocampi": (13, 14),
    "amygdalae": (15, 16),
}

_TISSUE_OF = {
    1: "white matter",
    2: "grey matter",
    3: "fluid",
    4: "fluid",
    **dict.fromkeys((5, 6), "thalamus"),
    **dict.fromkeys((7, 8, 9, 10, 21), "striatum"),
    **dict.fromkeys((11, 12), "pallidum"),
    **dict.fromkeys((13, 14, 15, 16), "medial temporal"),
    17: "brain stem",
    18: "cerebellar cortex",
    19: "white matter",
    20: "fluid",
    22: "brain stem",
    23: "fluid",
}

# T1 brightness; our choice, read off no image: white matter bright, fluid dark, nuclei between.
APPEARANCE = Appearance(
    kind="mr",
    tissues={
        "outside": Tissue(0.0, 0.0, 0.01),
        "white matter": Tissue(0.80, 0.08, 0.03),
        "grey matter": Tissue(0.55, 0.07, 0.04),
        "fluid": Tissue(0.18, 0.07, 0.03),
        "thalamus": Tissue(0.66, 0.07, 0.03),
        "striatum": Tissue(0.57, 0.06, 0.03),
        "pallidum": Tissue(0.71, 0.06, 0.03),
        "medial temporal": Tissue(0.55, 0.06, 0.03),
        "brain stem": Tissue(0.75, 0.08, 0.03),
        "cerebellar cortex": Tissue(0.55, 0.07, 0.04),
        "skull": Tissue(0.15, 0.08, 0.05),
        "scalp": Tissue(0.75, 0.20, 0.12),
    },
    tissue_of=_TISSUE_OF,
    mixed={},
    layers=Layers(SHELL, SHELLS, SHELL_MM, (("fluid", 1, 5), ("skull", 3, 9), ("scalp", 3, 12)), "outside"),
    bare=0.4,
    wild=0.0,  # T1 only, as the card says
)


def from_freesurfer(raw: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
    """Our label values of FreeSurfer's; what has none of ours stays 0."""
    ours = np.zeros(raw.shape, dtype=np.uint8)
    ours[(raw >= 1000) | (raw == 3) | (raw == 42)] = CORTEX
    for value, theirs in FREESURFER.items():
        ours[np.isin(raw, theirs)] = value
    return ours


def _labels(path: Path) -> tuple[npt.NDArray[np.uint8], Grid]:
    image = nibabel.load(path)
    raw = np.asarray(image.dataobj).astype(np.int32)
    ours = from_freesurfer(raw)
    distance = edt.edt(raw == 0, anisotropy=tuple(np.linalg.norm(image.affine[:3, :3], axis=0)))
    shell = np.ceil(distance / SHELL_MM).astype(np.int32)
    near = (raw == 0) & (shell <= SHELLS)
    ours[near] = (SHELL - 1 + shell[near]).astype(np.uint8)
    ours[(raw > 0) & (ours == 0)] = 23
    return ours, Grid(raw.shape, image.affine.astype(np.float64))


def _load(folder: Path) -> Iterator[Case]:
    labels, grid = _labels(folder / "aparc.a2009s+aseg.mgz")
    scan = np.asarray(nibabel.load(folder / "norm.mgz").dataobj)
    box = Box.of((labels > 0) & (labels < SHELL), margin=MARGIN)  # most of the conformed cube is air
    assert box is not None
    labels, small = crop(labels, grid, box)
    scan, _ = crop(scan, grid, box)
    yield Case("subject", "labels only", None, labels, small)
    yield Case("subject", "T1", Volume(scan, small, "mr"), labels, small)


DATASET = Dataset(
    name="brain",
    folder="brain_t1",
    structures=STRUCTURES,
    absent=("liver", "left kidney", "urinary bladder", "myocardium", "aorta"),
    licence="BSD-2-Clause (repository; origin of the subject not stated)",
    use="any",
    sources=("niivue demo images: one FreeSurfer-labelled T1 of an adult brain",),
    load=_load,
    held_out=lambda patients: set(),
    mirrored={a: b for low in range(3, 17, 2) for a, b in ((low, low + 1), (low + 1, low))},
)


AAL_HIPPOCAMPUS = {"Hippocampus_L": 13, "Hippocampus_R": 14}


def _load_others(folder: Path) -> Iterator[Case]:
    image = nibabel.load(folder / "ecog_T1.nii.gz")
    raw = np.asarray(nibabel.load(folder / "ecog_aparc+aseg.nii.gz").dataobj).astype(np.int32)
    grid = Grid(raw.shape, image.affine.astype(np.float64))
    yield Case("ecog", "FreeSurfer", Volume(np.asarray(image.dataobj), grid, "mr"), from_freesurfer(raw), grid)
    image = nibabel.load(folder / "colin27_T1.nii.gz")
    raw = np.asarray(nibabel.load(folder / "colin27_aal.nii.gz").dataobj)
    grid = Grid(raw.shape, image.affine.astype(np.float64))
    drawn = np.zeros(raw.shape, dtype=np.uint8)
    for line in (folder / "colin27_aal.txt").read_text(encoding="utf-8").splitlines():
        value, _space, rest = line.partition(" ")
        name = rest.partition(" ")[0]
        if name in AAL_HIPPOCAMPUS:
            drawn[raw == int(value)] = AAL_HIPPOCAMPUS[name]
    yield Case("colin27", "AAL, by hand", Volume(np.asarray(image.dataobj), grid, "mr"), drawn, grid)


OTHER_HEADS = Dataset(
    name="other_heads",
    folder="brain_t1_more",
    structures={name: STRUCTURES[name] for name in ("left hippocampus", "right hippocampus", "hippocampi")},
    absent=(),
    licence="BSD-3-Clause",
    use="any",
    sources=("mne-misc-data: one FreeSurfer-labelled T1; Colin 27 with the AAL atlas, as shipped in mricron-data",),
    load=_load_others,
    held_out=lambda patients: set(patients),
    mirrored={13: 14, 14: 13},
)
