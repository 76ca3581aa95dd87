"""MeshNet: a small stack of dilated convolutions that labels a conformed head MR.

Paper: Fedorov et al. 2017, "End-to-end learning of brain tissue segmentation from imperfect
    labeling", arXiv 1612.00940; the networks were trained for brainchop.
Takes: T1 heads, inside turned into FreeSurfer's cube (256 voxels of 1 mm, axes LIA), clipped to
    the 2nd and 98th percentile and scaled to 0..1.
Returns: one of 18 classes per voxel; it tells no sides.
Weights: brainchop's "subcortical" (30 channels) or "model18cls" (21), brought by the user; their
    repository states no licence.
Left out: the networks with 50 and 104 classes and with dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from ...imaging.errors import BadCall
from ...imaging.geometry import Box, resample
from ...imaging.volume import Grid, Volume
from ..card import Card
from ..checkpoints import Tensors, read_checkpoint
from ..interface import Cancelled, Decoded, Features, Progress, Running
from .classes import Classes, Labelled, decode, on_scan, winner

CUBE = 256
DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
MARGIN = 8  # voxels of air around the head that it also sees
CLASSES = 18
# Structure -> classes, in the order of the published colour map.
STRUCTURES: Classes = {
    "cerebral white matter": (1,),
    "cerebral cortex": (2,),
    "lateral ventricles": (3, 4),
    "cerebellum": (5, 6),
    "thalami": (7,),
    "caudate nuclei": (8,),
    "putamina": (9,),
    "pallida": (10,),
    "third ventricle": (11,),
    "fourth ventricle": (12,),
    "brain stem": (13,),
    "hippocampi": (14,),
    "amygdalae": (15,),
}


class MeshNet(nn.Sequential):
    """Nine dilated 3-voxel convolutions with ELU between, then a pointwise one; no normalisation."""

    def __init__(self, channels: int, classes: int = CLASSES) -> None:
        layers: list[nn.Module] = []
        for number, dilation in enumerate(DILATIONS):
            layers.append(nn.Conv3d(1 if number == 0 else channels, channels, 3, padding=dilation, dilation=dilation))
            layers.append(nn.ELU(inplace=True))
        super().__init__(*layers, nn.Conv3d(channels, classes, 1))


class MeshNetPredictor:
    """A loaded MeshNet. Labels everything at once; words only pick classes."""

    def __init__(self, net: MeshNet, card: Card) -> None:
        self.card, self._net, self.engine = card, net.eval(), "torch fp32"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Labelled:
        """Turn the scan into the cube, label it, and bring the labels back."""
        if volume.grid.is_2d or not volume.grid.spacing_known:
            raise BadCall("MeshNet needs a 3-D head scan with a known voxel size. Open the whole series.")
        cube = conformed_grid(volume.grid)
        array = resample(np.asarray(volume.array, dtype=np.float32), volume.grid, cube)
        low, high = np.percentile(array, (2, 98))
        scaled = np.clip((array - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
        box = Box.of(scaled > 0.05, margin=MARGIN) or Box((0, 0, 0), cube.shape)
        where = tuple(slice(max(0, a), min(CUBE, b)) for a, b in zip(box.start, box.stop, strict=True))
        classes, probability = np.zeros(cube.shape, np.uint8), np.zeros(cube.shape, np.float32)
        with torch.inference_mode():
            seen = torch.from_numpy(np.ascontiguousarray(scaled[where]))[None, None]
            for number, layer in enumerate(self._net):
                if cancelled():
                    raise Cancelled
                seen = layer(seen)
                progress((number + 1) / len(self._net))
            classes[where], probability[where] = winner(seen[0])
        return on_scan(classes, probability, cube, volume.grid)

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per structure."""
        return decode("MeshNet", features, structures, STRUCTURES)


def conformed_grid(grid: Grid) -> Grid:
    """The cube FreeSurfer works in: 256 voxels of 1 mm, axes LIA, around the scan's middle."""
    middle = grid.affine @ np.array([*((np.array(grid.shape) - 1) / 2), 1.0])
    affine = np.zeros((4, 4))
    affine[0, 0], affine[1, 2], affine[2, 1], affine[3, 3] = -1.0, 1.0, -1.0, 1.0
    affine[:3, 3] = middle[:3] - affine[:3, :3] @ np.full(3, (CUBE - 1) / 2)
    return Grid((CUBE, CUBE, CUBE), affine)


def load_meshnet(state: Mapping[str, torch.Tensor]) -> MeshNet:
    """The network with these weights.

    Args:
        state: clean names, with or without the "model." prefix.

    Raises:
        BadCall: another network, or one with other classes.
    """
    own = {key.removeprefix("model."): value for key, value in state.items()}
    first, last = own.get("0.weight"), own.get(f"{2 * len(DILATIONS)}.weight")
    if first is None or last is None or first.dim() != 5:
        raise BadCall("This is no MeshNet of nine dilated layers. Give model.pth of brainchop's 'subcortical'.")
    if last.shape[0] != CLASSES:
        raise BadCall(f"This MeshNet has {last.shape[0]} classes; only those with {CLASSES} are understood.")
    net = MeshNet(first.shape[0])
    if set(net.state_dict()) != set(own):
        raise BadCall("The checkpoint does not fit: layers are missing or unexpected. Give the authors' original file.")
    net.load_state_dict(own)
    return net.eval()


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file under our names.

    Raises:
        BadCall: it is something else.
    """
    net = load_meshnet(read_checkpoint(files[0]))
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def load(card: Card, path: Path, how: Running) -> MeshNetPredictor:
    """The network with the user's weights."""
    return MeshNetPredictor(load_meshnet(load_file(path)), card)
