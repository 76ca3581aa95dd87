"""One real abdomen-pelvis CT with model-made labels, held out entirely: agreement, not accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np

from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset

# Source: class_map.json of TotalSegmentator, task "total".
STRUCTURES: dict[str, tuple[int, ...]] = {
    "spleen": (1,),
    "right kidney": (2,),
    "left kidney": (3,),
    "kidneys": (2, 3),
    "gallbladder": (4,),
    "liver": (5,),
    "stomach": (6,),
    "pancreas": (7,),
    "urinary bladder": (21,),
    "sacrum": (25,),
    "heart": (51,),
    "aorta": (52,),
    "inferior vena cava": (63,),
    "left femur": (75,),
    "right femur": (76,),
    "femora": (75, 76),
    "left hip bone": (77,),
    "right hip bone": (78,),
    "hip bones": (77, 78),
}


def _load(folder: Path) -> Iterator[Case]:
    image = nibabel.load(folder / "example_ct.nii.gz")
    labels = np.asarray(nibabel.load(folder / "example_seg_fast_force_split.nii.gz").dataobj).astype(np.uint8)
    grid = Grid(labels.shape, image.affine)
    yield Case("example", "example_ct", Volume(np.asarray(image.dataobj).astype(np.int16), grid, "ct"), labels, grid)


DATASET = Dataset(
    name="example_ct",
    folder="totalsegmentator_example",
    structures=STRUCTURES,
    absent=(),
    licence="Apache-2.0",
    use="any",
    sources=("Reference CT of TotalSegmentator's test suite; labels predicted by TotalSegmentator",),
    load=_load,
    held_out=lambda patients: set(patients),
    mirrored={},
)
