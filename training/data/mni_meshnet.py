"""The MNI152 average head as a published network labels it: agreement, not accuracy.

No person has outlined the nuclei of this head. MeshNet "subcortical" (Fedorov et al. 2017, as
trained for brainchop) is independent of our networks and data; on a FreeSurfer-labelled head it
reached a mean Dice of 0.77, so its labels are a rival's opinion to agree with, no truth. It tells
no sides; the template is symmetric by construction, so the plane x = 0 does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...imaging.volume import Volume
from ...models.catalogue import card
from ...models.checkpoints import read_checkpoint
from ...models.labelled.meshnet import MeshNetPredictor, load_meshnet
from ..cases import Case, Dataset
from .mni_template import read_template

# What both MeshNet and our brain network know -> value on the left, on the right.
_VALUES: dict[str, tuple[int, int]] = {
    "cerebral white matter": (1, 1),
    "cerebral cortex": (2, 2),
    "lateral ventricles": (3, 4),
    "thalami": (5, 6),
    "caudate nuclei": (7, 8),
    "putamina": (9, 10),
    "pallida": (11, 12),
    "hippocampi": (13, 14),
    "amygdalae": (15, 16),
    "brain stem": (17, 17),
    "cerebellum": (18, 18),
}
STRUCTURES: dict[str, tuple[int, ...]] = {
    "cerebral white matter": (1,),
    "cerebral cortex": (2,),
    "left lateral ventricle": (3,),
    "right lateral ventricle": (4,),
    "lateral ventricles": (3, 4),
    "left thalamus": (5,),
    "right thalamus": (6,),
    "thalami": (5, 6),
    "left caudate nucleus": (7,),
    "right caudate nucleus": (8,),
    "caudate nuclei": (7, 8),
    "left putamen": (9,),
    "right putamen": (10,),
    "putamina": (9, 10),
    "left pallidum": (11,),
    "right pallidum": (12,),
    "pallida": (11, 12),
    "left hippocampus": (13,),
    "right hippocampus": (14,),
    "hippocampi": (13, 14),
    "left amygdala": (15,),
    "right amygdala": (16,),
    "amygdalae": (15, 16),
    "brain stem": (17,),
    "cerebellum": (18,),
}


def _load(folder: Path) -> Iterator[Case]:
    scan, grid = read_template("t1")
    volume = Volume(scan, grid, "mr")
    net = load_meshnet(read_checkpoint(folder / "model.pth"))
    predictor = MeshNetPredictor(net, card("meshnet"))
    seen = predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    x = grid.affine[0, 3] + grid.affine[0, 0] * np.arange(grid.shape[0])
    right = np.broadcast_to((x > 0)[:, None, None], grid.shape)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for found in predictor.decode(seen, list(_VALUES)):
        labels[found.array & ~right], labels[found.array & right] = _VALUES[found.structure]
    yield Case("template", "MNI152 by MeshNet", volume, labels, grid)


DATASET = Dataset(
    name="mni_meshnet",
    folder="pretrained/meshnet/subcortical",
    structures=STRUCTURES,
    absent=(),
    licence="template: see mni_template; MeshNet weights: no licence file, used here to measure only",
    use="any",
    sources=("ICBM 2009a template in nilearn, labelled by MeshNet 'subcortical' (brainchop-models)",),
    load=_load,
    held_out=lambda patients: set(patients),
    mirrored={},
)
