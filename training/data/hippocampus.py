"""Hippocampus of MSD Task04: single-subject T1 crops at 1 mm with two expert labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np

from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset, hold_out


def _load(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "images").glob("*.nii*")):
        image = nibabel.load(path)
        labels = np.asarray(nibabel.load(folder / "labels" / path.name).dataobj).astype(np.uint8)
        array = np.asarray(image.dataobj)
        grid = Grid(array.shape, image.affine)
        yield Case(path.name.split(".")[0], path.name.split(".")[0], Volume(array, grid, "mr"), labels, grid)


DATASET = Dataset(
    name="hippocampus",
    folder="hippocampus_msd",
    structures={"anterior hippocampus": (1,), "posterior hippocampus": (2,), "hippocampi": (1, 2)},
    absent=("liver", "left kidney", "myocardium", "aorta", "cerebellum", "urinary bladder"),
    licence="CC BY-SA 4.0",
    use="any",
    sources=("Medical Segmentation Decathlon Task04 Hippocampus, Vanderbilt University Medical Center",),
    load=_load,
    held_out=hold_out(50, seed=4),
    mirrored={},
)
