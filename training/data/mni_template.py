"""The MNI152 average head that ships inside nilearn: a real T1 nobody here trained on.

Its grey and white matter maps come from the template's authors; only they are tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from ...imaging.samples import mni_template
from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset


def read_template(kind: str) -> tuple[npt.NDArray[Any], Grid]:
    """An image of the template by its kind: "t1", "gm" or "wm"."""
    image = nibabel.load(mni_template(kind))
    array = np.asarray(image.dataobj)
    return array, Grid(array.shape, image.affine)


def _load(_folder: Path) -> Iterator[Case]:
    scan, grid = read_template("t1")
    grey, white = read_template("gm")[0], read_template("wm")[0]
    height = grid.affine[2, 3] + grid.affine[2, 2] * np.arange(grid.shape[2])
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[(grey > white) & (grey > 0.5 * grey.max())] = 1
    labels[(white >= grey) & (white > 0.5 * white.max())] = 2
    # The maps count cerebellum, brain stem and nuclei as grey or white; above the thalami only cortex,
    # caudate and white matter remain, so the slab from 25 mm up is compared.
    keep = height >= 25
    labels[:, :, ~keep] = 0
    slab = int(np.flatnonzero(keep)[0])
    yield Case("template", f"MNI152, z from {height[slab]:.0f} mm", Volume(scan, grid, "mr"), labels, grid)


DATASET = Dataset(
    name="mni_template",
    folder=".",
    structures={"cerebral cortex": (1,), "cerebral white matter": (2,)},
    absent=(),
    licence="MNI152 (ICBM 2009a nonlinear symmetric), free to use with notice; inside nilearn (BSD-3-Clause)",
    use="any",
    sources=("ICBM 2009a Nonlinear Symmetric template, McConnell Brain Imaging Centre, as shipped in nilearn",),
    load=_load,
    held_out=lambda patients: set(patients),
    mirrored={},
    region_mm=((-200.0, -200.0, 25.0), (200.0, 200.0, 200.0)),
)
