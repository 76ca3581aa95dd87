"""Abdominal CT slices of BTCV, 8-bit and without voxel size, with 13 expert organs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset, hold_out

ORGANS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic vein",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
)


def _load(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("ABD_*.npz")):
        with np.load(path) as stored:
            # Stored (row column) with the front of the body at the bottom and its right side on the left.
            array, labels = (np.ascontiguousarray(stored[key].T[::-1, :, None]) for key in ("image", "label"))
        grid = Grid(array.shape, np.eye(4), spacing_known=False)
        yield Case(path.name.split("_")[1], path.stem, Volume(array, grid, "unknown"), labels, grid)


DATASET = Dataset(
    name="btcv",
    folder="btcv_slices",
    structures={
        **{organ: (label,) for label, organ in enumerate(ORGANS, start=1)},
        "kidneys": (2, 3),
        "adrenal glands": (12, 13),
    },
    absent=("cerebellum", "myocardium", "urinary bladder", "putamina"),
    licence="not verified (BTCV is handed out under Synapse terms, reported as CC BY 4.0)",
    use="research-only",
    sources=("BTCV, Beyond the Cranial Vault, Vanderbilt University, slices as published by IMIS-Bench",),
    load=_load,
    held_out=hold_out(5, seed=4),
    mirrored={},
    plausible=False,
)
