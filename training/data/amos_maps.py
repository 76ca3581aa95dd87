"""Two people's abdomens as label maps without their CT (AMOS22): real shapes to make pictures from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from ...imaging.geometry import Box, crop, reorient_array, resample, respaced_grid
from ...imaging.volume import Grid
from ..bodies.bodies import with_body
from ..bodies.hra_phantom import APPEARANCE as BODY
from ..cases import Case, Dataset

SPACING_MM = (2.0, 2.0, 4.0)
# Value in the files -> value here, which is that of the reference bodies where they have the organ.
_VALUES = {
    1: 23,
    2: 26,
    3: 25,
    4: 22,
    5: 71,
    6: 16,
    7: 70,
    8: 50,
    9: 44,
    10: 24,
    11: 73,
    12: 74,
    13: 72,
    14: 29,
    15: 75,
}
_AORTA = 50

STRUCTURES: dict[str, tuple[int, ...]] = {
    "liver": (16,),
    "spleen": (23,),
    "left kidney": (25,),
    "right kidney": (26,),
    "kidneys": (25, 26),
    "gallbladder": (22,),
    "pancreas": (24,),
    "urinary bladder": (29,),
    "inferior vena cava": (44,),
    "aorta": (50,),
    "stomach": (70,),
    "esophagus": (71,),
    "duodenum": (72,),
    "right adrenal gland": (73,),
    "left adrenal gland": (74,),
    "adrenal glands": (73, 74),
}
APPEARANCE = replace(
    BODY,
    tissue_of={
        **BODY.tissue_of,
        29: "urine",
        70: "bowel",
        71: "muscle",
        72: "bowel",
        73: "muscle",
        74: "muscle",
        75: "muscle",
    },
    mixed={**BODY.mixed, 70: ("bowel", "airway")},
)


def _load(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("amos_*.nii.gz")):
        image = nibabel.load(path)
        raw, grid = reorient_array(
            np.asarray(image.dataobj).astype(np.uint8), Grid(image.shape, image.affine.astype(np.float64)), "RAS"
        )
        target = respaced_grid(grid, SPACING_MM)
        raw = resample(raw, grid, target, order=0)
        box = Box.of(raw > 0, margin=2)
        assert box is not None
        raw, cut = crop(raw, target, box)
        table = np.zeros(256, dtype=np.uint8)
        table[list(_VALUES)] = list(_VALUES.values())
        organs = table[raw]
        aorta = cut.affine[:3, :3] @ np.argwhere(organs == _AORTA).mean(axis=0) + cut.affine[:3, 3]
        labels, whole = with_body(organs, cut, (float(aorta[0]) + 15.0, float(aorta[1]) - 28.0))
        yield Case(path.name.split(".")[0], path.name.split(".")[0], None, labels, whole)


DATASET = Dataset(
    name="amos_maps",
    folder="label_maps",
    structures=STRUCTURES,
    absent=("cerebellum", "putamina", "myocardium"),
    licence="CC BY-NC-SA 4.0",
    use="research-only",
    sources=("AMOS22 label maps as published by STU-Net and SAM-Med3D",),
    load=_load,
    held_out=lambda patients: set(),
    mirrored={25: 26, 26: 25, 73: 74, 74: 73},
)
