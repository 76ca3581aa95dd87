"""The MNI152 average head as a published network labels it: agreement, not accuracy.

No person has outlined the nuclei of this head. MeshNet "subcortical" (Fedorov et al. 2017, as
trained for brainchop) is independent of our networks and data; on a FreeSurfer-labelled head it
reached a mean Dice of 0.77, so its labels are a rival's opinion to agree with, no truth. It tells
no sides; the template is symmetric by construction, so the plane x = 0 does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn

from ...imaging.geometry import Box, resample
from ...imaging.volume import Grid, Volume
from ..cases import Case, Dataset
from .mni_template import read_template

MARGIN = 8  # voxels around the head that MeshNet also sees
_CUBE = 256
# MeshNet's names of what both it and our brain network know -> value on the left, on the right.
_VALUES: dict[str, tuple[int, int]] = {
    "Cerebral-White-Matter": (1, 1),
    "Cerebral-Cortex": (2, 2),
    "Lateral-Ventricle": (3, 4),
    "Inferior-Lateral-Ventricle": (3, 4),
    "Thalamus": (5, 6),
    "Caudate": (7, 8),
    "Putamen": (9, 10),
    "Pallidum": (11, 12),
    "Hippocampus": (13, 14),
    "Amygdala": (15, 16),
    "Brain-Stem": (17, 17),
    "Cerebellum-Cortex": (18, 18),
    "Cerebellum-White-Matter": (18, 18),
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


def conformed_grid(grid: Grid) -> Grid:
    """The cube FreeSurfer works in: 256 voxels of 1 mm, axes LIA, around the scan's middle."""
    middle = grid.affine @ np.array([*((np.array(grid.shape) - 1) / 2), 1.0])
    affine = np.zeros((4, 4))
    affine[0, 0], affine[1, 2], affine[2, 1], affine[3, 3] = -1.0, 1.0, -1.0, 1.0
    half = (_CUBE - 1) / 2
    affine[:3, 3] = middle[:3] - affine[:3, :3] @ np.full(3, half)
    return Grid((_CUBE, _CUBE, _CUBE), affine)


def meshnet_labels(folder: Path, volume: Volume) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Class per voxel on the scan's own grid, and the names of the classes.

    Args:
        folder: `model.json`, `model.pth` (safetensors) and `colormap.json` as published.
    """
    plan = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    names = tuple(json.loads((folder / "colormap.json").read_text(encoding="utf-8"))["labels"])
    net = _network(plan)
    net.load_state_dict({key.removeprefix("model."): value for key, value in load_file(folder / "model.pth").items()})
    cube = conformed_grid(volume.grid)
    array = resample(np.asarray(volume.array, dtype=np.float32), volume.grid, cube)
    low, high = np.percentile(array, (2, 98))
    scaled = np.clip((array - low) / (high - low), 0, 1)
    box = Box.of(scaled > 0.05, margin=MARGIN) or Box((0, 0, 0), cube.shape)
    where = tuple(slice(max(0, a), min(_CUBE, b)) for a, b in zip(box.start, box.stop, strict=True))
    with torch.inference_mode():
        seen = torch.from_numpy(np.ascontiguousarray(scaled[where], dtype=np.float32))[None, None]
        for layer in net:
            seen = layer(seen)
        found = seen[0].argmax(0).to(torch.uint8).numpy()
    classes = np.zeros(cube.shape, dtype=np.uint8)
    classes[where] = found
    return resample(classes, cube, volume.grid, order=0), names


def _network(plan: dict[str, Any]) -> nn.Sequential:
    """Dilated 3-voxel convolutions with ELU between, no normalisation; the last one is pointwise."""
    layers: list[nn.Module] = []
    for number, row in enumerate(plan["layers"]):
        last = number == len(plan["layers"]) - 1
        layers.append(
            nn.Conv3d(
                row["in_channels"],
                row["out_channels"],
                row["kernel_size"],
                stride=row["stride"],
                padding=row["padding"],
                dilation=row["dilation"],
            )
        )
        if not last:
            layers.append(nn.ELU(inplace=True))
    return nn.Sequential(*layers).eval()


def _load(folder: Path) -> Iterator[Case]:
    scan, grid = read_template("t1")
    volume = Volume(scan, grid, "mr")
    classes, names = meshnet_labels(folder, volume)
    x = grid.affine[0, 3] + grid.affine[0, 0] * np.arange(grid.shape[0])
    right = np.broadcast_to((x > 0)[:, None, None], grid.shape)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for number, name in enumerate(names):
        if name in _VALUES:
            here = classes == number
            labels[here & ~right], labels[here & right] = _VALUES[name]
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
