"""Soft-tissue sarcoma of the extremities in FDG PET (SUV) and in T1 MR of the same patients, outlined by people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from ...imaging.volume import Grid, Modality, Volume
from ..cases import Case, Dataset, hold_out

HELD_OUT = hold_out(4, seed=4)  # the same patients in PET and MR


def load(folder: Path, *, series: str, modality: Modality) -> Iterator[Case]:
    """Every patient's `series` with the tumour outlined on it as label 1."""
    for path in sorted((folder / "nifti").glob(f"*/{series}_image.nii.gz")):
        image = nibabel.load(path)
        labels = np.asarray(nibabel.load(path.with_name(f"{series}_mask.nii.gz")).dataobj) > 0
        array = np.asarray(image.dataobj, dtype=np.float32)
        grid = Grid(array.shape, image.affine)
        yield Case(path.parent.name, path.parent.name, Volume(array, grid, modality), labels.astype(np.uint8), grid)


def sarcoma(name: str, load_series: Callable[[Path], Iterator[Case]]) -> Dataset:
    """The data set of one modality."""
    return Dataset(
        name=name,
        folder="sts_ibsi",
        structures={"soft tissue sarcoma": (1,)},
        absent=("liver", "left kidney", "myocardium", "cerebellum", "urinary bladder", "hippocampi"),
        licence="CC BY 3.0",
        use="any",
        sources=(
            "Soft-tissue sarcoma, TCIA (Vallieres et al. 2015, 10.7937/K9/TCIA.2015.7GO2GSKS), as re-processed by the IBSI",
        ),
        load=load_series,
        held_out=HELD_OUT,
        mirrored={},
    )


PET = sarcoma("sarcoma_pet", partial(load, series="PET", modality="pet"))
MR = sarcoma("sarcoma_mr", partial(load, series="MR_T1", modality="mr"))
