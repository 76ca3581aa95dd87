"""Cine cardiac MR of ACDC: short-axis stacks at end-diastole and end-systole, no voxel size known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset, hold_out


def _load(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("patient*.npz")):
        with np.load(path) as stored:
            # Stored (slice row column); here x runs along columns, y along rows.
            array, labels = (np.ascontiguousarray(stored[key].transpose(2, 1, 0)) for key in ("image", "label"))
        grid = Grid(array.shape, np.eye(4), spacing_known=False)
        yield Case(path.name.split("_")[0], path.stem, Volume(array, grid, "mr"), labels, grid)


DATASET = Dataset(
    name="acdc",
    folder="acdc_cine",
    structures={"right ventricle": (1,), "myocardium": (2,), "left ventricle": (3,)},
    absent=("cerebellum", "urinary bladder", "left kidney", "putamina"),
    licence="CC BY-NC-SA 4.0 (as a re-publisher states)",
    use="research-only",
    sources=("ACDC, Automated Cardiac Diagnosis Challenge, University Hospital of Dijon",),
    load=_load,
    held_out=hold_out(6, seed=4),
    mirrored={},
    plausible=False,
)
