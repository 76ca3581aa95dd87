"""OBELISK: abdominal organs in CT by convolutions that look at a few hundred learned places.

Paper: Heinrich, Oktay, Bouteldja 2019, "OBELISK-Net: Fewer layers to solve 3D multi-organ segmentation with sparse
    deformable convolutions", Medical Image Analysis 54; the hybrid trained on NIH Pancreas-CT ("tcia").
Takes: CT of the abdomen, inside turned to axes LAI and stretched to 144 voxels a side, HU / 1024 + 1.
Returns: one of 9 classes per voxel.
Weights: `obeliskhybrid_tcia_fold1.pth` to fold4 of the authors' repository mattiaspaul/OBELISK (MIT), brought by the user.
Left out: the VISCERAL networks and the plain U-Nets beside them.

Names of modules follow the published state dict, so that a checkpoint loads key by key. The networks were
trained when grids had their corners at the voxel centres of the border, so sampling is done so here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cc3d
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from ...imaging.errors import BadCall
from ...imaging.geometry import resample
from ...imaging.volume import Grid, Volume
from ..card import Card
from ..checkpoints import Tensors, read_checkpoint
from ..interface import Cancelled, Decoded, Features, Progress, Running
from .classes import Classes, Labelled, decode, on_scan, winner

SIDE = 144  # voxels along each axis
LEAK = 0.025
AIR_HU = -1024.0
AROUND_MM = 60.0  # seen below and above the liver
STRUCTURES: Classes = {
    "spleen": (1,),
    "pancreas": (2,),
    "left kidney": (3,),
    "gallbladder": (4,),
    "esophagus": (5,),
    "liver": (6,),
    "stomach": (7,),
    "duodenum": (8,),
}
CLASSES = len(STRUCTURES) + 1
Tensor = torch.Tensor


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


class Obelisk(nn.Module):
    """A thin U-Net whose two coarse levels also hear a sparse sampler with learned offsets."""

    def __init__(self) -> None:
        super().__init__()
        for name, inside, outside, stride in (
            ("0", 1, 4, 1), ("1", 4, 16, 2), ("11", 16, 16, 1), ("2", 16, 32, 2), ("22", 32, 32, 1), ("3", 32, 32, 1),
            ("6bU", 64, 32, 1), ("6U", 64, 12, 1), ("7U", 16, CLASSES, 1),
        ):  # fmt: skip
            self.add_module(f"conv{name}", nn.Conv3d(inside, outside, 3, stride=stride, padding=1))
            self.add_module(f"batch{name}", nn.BatchNorm3d(outside))
        self.conv77U = nn.Conv3d(CLASSES, CLASSES, 1)
        for number, places, groups, last in ((1, 128, 2, 16), (2, 512, 4, 32)):
            self.register_parameter(f"offset{number}", nn.Parameter(0.05 * torch.randn(1, places, 1, 1, 3)))
            self.add_module(f"linear{number}a", nn.Conv3d(places, 128, 1, groups=groups, bias=False))
            for step, (letter, out) in enumerate((("b", 32), ("c", 32), ("d", 32), ("e", last))):
                width = 128 + 32 * step
                self.add_module(f"batch{number}{'abcd'[step]}", nn.BatchNorm3d(width))
                self.add_module(f"linear{number}{letter}", nn.Conv3d(width, out, 1, bias=False))

    def _block(self, name: str, x: Tensor) -> Tensor:
        return _leaky(self.get_submodule(f"batch{name}")(self.get_submodule(f"conv{name}")(x)))

    def _sampled(self, number: int, image: Tensor, side: int) -> Tensor:
        """Features (b out side side side) from the image's values at learned offsets around each voxel."""
        axis = torch.linspace(-1, 1, side, device=image.device)
        x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
        places = torch.stack((z, y, x), dim=-1).view(1, 1, -1, 1, 3) + self.get_parameter(f"offset{number}")
        seen = F.grid_sample(image, places.expand(len(image), -1, -1, -1, -1), align_corners=True)
        dense = _leaky(self.get_submodule(f"linear{number}a")(seen.reshape(len(image), -1, side, side, side)))
        for before, letter in (("a", "b"), ("b", "c"), ("c", "d")):
            more = self.get_submodule(f"linear{number}{letter}")(self.get_submodule(f"batch{number}{before}")(dense))
            dense = torch.cat((dense, _leaky(more)), dim=1)
        last: Tensor = self.get_submodule(f"linear{number}e")(self.get_submodule(f"batch{number}d")(dense))
        return F.interpolate(_leaky(last), scale_factor=2, mode="trilinear", align_corners=False)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (b 9 x y z) of (b 1 x y z); sides are equal and multiples of 8."""
        side = image.shape[-1]
        blurred = F.avg_pool3d(image, 3, padding=1, stride=1)
        fine = self._block("0", image)
        half = self._block("11", self._block("1", fine))
        quarter = self._block("3", self._block("22", self._block("2", half)))
        far = self._sampled(2, F.avg_pool3d(blurred, 3, padding=1, stride=1), side // 8)
        x = self._block("6bU", torch.cat((quarter, far), 1))
        x = F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
        x = self._block("6U", torch.cat((x, self._sampled(1, blurred, side // 4), half), 1))
        x = F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
        logits: Tensor = self.conv77U(self._block("7U", torch.cat((x, fine), 1)))
        return logits


class ObeliskPredictor:
    """A loaded OBELISK. Labels everything at once; words only pick classes."""

    def __init__(self, net: Obelisk, card: Card) -> None:
        self.card, self._net, self.engine = card, net.eval(), "torch fp32"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Labelled:
        """Label the whole scan to find the abdomen, label that again, and bring the labels back."""
        if volume.grid.is_2d or not volume.grid.spacing_known:
            raise BadCall("OBELISK needs a 3-D CT of the abdomen with a known voxel size. Open the whole series.")
        first = self._labels(volume.grid, volume)
        progress(0.5)
        if cancelled():
            raise Cancelled
        found = self._labels(abdomen(*first, volume.grid), volume)
        progress(1.0)
        classes, probability, cube = found
        return on_scan(classes, probability, cube, volume.grid)

    def _labels(self, grid: Grid, volume: Volume) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], Grid]:
        """Classes and probabilities of the part of the scan that `grid` covers, and the cube they lie on."""
        cube = stretched_grid(grid)
        array = resample(np.asarray(volume.array, dtype=np.float32), volume.grid, cube, fill=AIR_HU)
        with torch.inference_mode():
            classes, probability = winner(self._net(torch.from_numpy(array / 1024 + 1).float()[None, None])[0])
        return classes, probability, cube

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per structure."""
        return decode("OBELISK", features, structures, STRUCTURES)


def abdomen(classes: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32], cube: Grid, scan: Grid) -> Grid:
    """The cube's part from a little below to a little above the liver; all of it where no liver was found.

    The network was taught on crops of the abdomen, and finds more in one (its Dice on a held-out scan rose
    from 0.89 to 0.91 for the liver and from 0.72 to 0.77 for the spleen).
    """
    liver = cc3d.largest_k(np.ascontiguousarray(classes == STRUCTURES["liver"][0]), k=1) > 0
    rows = np.flatnonzero(liver.any(axis=(0, 1)))
    if not rows.size:
        return scan
    extra = round(AROUND_MM / cube.spacing_mm[2])
    low, high = max(0, int(rows[0]) - extra), min(SIDE, int(rows[-1]) + 1 + extra)
    shift = np.eye(4)
    shift[2, 3] = low
    return Grid((SIDE, SIDE, high - low), cube.affine @ shift)


def stretched_grid(grid: Grid) -> Grid:
    """144 voxels a side over the scan's field of view, axes LAI."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) + 0.5
    points = (corners * np.array(grid.shape) - 0.5) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    low, high = points.min(axis=0), points.max(axis=0)
    step = (high - low) / SIDE
    affine = np.eye(4)
    affine[:3, :3] = np.diag(step * (-1, 1, -1))
    affine[:3, 3] = np.where([True, False, True], high - step / 2, low + step / 2)
    return Grid((SIDE, SIDE, SIDE), affine)


def load_obelisk(state: Mapping[str, Tensor]) -> Obelisk:
    """The network with these weights.

    Raises:
        BadCall: another network, or one with other classes.
    """
    net = Obelisk()
    own = net.state_dict()
    if set(own) != set(state) or any(own[key].shape != value.shape for key, value in state.items()):
        raise BadCall("This is no OBELISK hybrid for NIH Pancreas-CT. Give the authors' obeliskhybrid_tcia_fold1.pth.")
    net.load_state_dict(dict(state))
    return net.eval()


def convert(card: Card, files: Sequence[Path]) -> Tensors:
    """The authors' file under our names.

    Raises:
        BadCall: it is something else.
    """
    net = load_obelisk(read_checkpoint(files[0]))
    return {key: value.contiguous() for key, value in net.state_dict().items()}


def load(card: Card, path: Path, how: Running) -> ObeliskPredictor:
    """The network with the user's weights."""
    return ObeliskPredictor(load_obelisk(load_file(path)), card)
