"""Kidneys with tumours of 150 patients (KiTS19), masks without their CT: shapes to make pictures from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from ...imaging.volume import Grid
from ..bodies.appearance import Tissue
from ..bodies.bodies import with_body
from ..bodies.hra_phantom import APPEARANCE as BODY
from ..cases import Case, Dataset

LEFT, RIGHT, TUMOUR = 25, 26, 80
CASES = 40  # of the 150, for time; the first ones
STRUCTURES: dict[str, tuple[int, ...]] = {
    "left kidney": (LEFT,),
    "right kidney": (RIGHT,),
    "kidneys": (LEFT, RIGHT),
    "kidney tumour": (TUMOUR,),
}
APPEARANCE = replace(
    BODY,
    tissues={**BODY.tissues, "tumour": Tissue(75, 40, 30)},  # our choice: from near water to well perfused
    tissue_of={**BODY.tissue_of, TUMOUR: "tumour"},
)


def _load(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "masks").glob("case_*.nii.gz"))[:CASES]:
        image = nibabel.load(path)
        raw = np.asarray(image.dataobj).astype(np.uint8)
        grid = Grid(raw.shape, image.affine.astype(np.float64))
        inside = np.argwhere(raw > 0)
        middle = (inside[:, 0].min() + inside[:, 0].max()) / 2
        right_half = np.arange(raw.shape[0])[:, None, None] > middle  # axes RAS: x runs to the right
        organs = np.where(raw == 2, TUMOUR, np.where(raw == 1, np.where(right_half, RIGHT, LEFT), 0)).astype(np.uint8)
        centre = grid.affine[:3, :3] @ np.array([middle, inside[:, 1].mean(), 0.0]) + grid.affine[:3, 3]
        labels, whole = with_body(organs, grid, (float(centre[0]), float(centre[1]) - 5.0))
        yield Case(path.name.split(".")[0], path.name.split(".")[0], None, labels, whole)


DATASET = Dataset(
    name="kits_masks",
    folder="kits_ehr",
    structures=STRUCTURES,
    absent=("cerebellum", "putamina", "myocardium"),
    licence="CC BY-NC-SA 4.0",
    use="research-only",
    sources=("KiTS19, University of Minnesota, masks of the first 40 patients",),
    load=_load,
    held_out=lambda patients: set(),
    mirrored={LEFT: RIGHT, RIGHT: LEFT},
)
