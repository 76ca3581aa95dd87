"""LightM-UNet: a small U-shape whose encoder is made of Mamba layers.

Paper: Liao et al. 2024, arXiv 2403.05246. Code: MrBlankness/LightM-UNet, nnunetv2/nets/LightMUNet.py (Apache-2.0).
Takes: images (b channels x y z) or (b channels x y). Returns: `SegOutput` without side answers, as the authors train it.
Weights: none published. Left out: nothing; other scan orders are our option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.scans.mamba import Mamba1D
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, name_maps
from ..official import State, count, load, rename, unwrap

FILE = "a checkpoint that the code of MrBlankness/LightM-UNet saved"
GROUPS = 8  # of GroupNorm
_MAMBA = r"(mamba\.[\w.]+|norm\.\w+|proj\.\w+|skip_scale)"
_RULES = (
    (r"convInit\.[01]\.conv\.weight|conv_final\.(0\.\w+|2\.[01]\.conv\.\w+)", r"\g<0>"),
    (rf"down_layers\.\d+\.(0\.0\.{_MAMBA}|[1-9]\d*\.(norm[12]\.\w+|conv[12]\.{_MAMBA}))", r"\g<0>"),
    (
        r"up_layers\.\d+\.\d+\.(norm[12]\.\w+|conv\.[01]\.conv\.weight|skip_scale)|up_samples\.\d+\.0\.conv\.weight",
        r"\g<0>",
    ),
)


class ScanLayer(nn.Module):
    """Maps (b inside ...) to (b outside ...): one norm, before the scan and again on the scan plus a share of what came in."""

    def __init__(self, dims: int, inside: int, outside: int, directions: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inside)
        self.mamba = Mamba1D(inside, directions=directions, dims=dims)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = nn.Linear(inside, outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        tokens = x.flatten(2).transpose(1, 2)
        said = self.mamba(self.norm(tokens), x.shape[2:]) + self.skip_scale * tokens
        told: torch.Tensor = self.proj(self.norm(said)).transpose(1, 2).unflatten(2, x.shape[2:])
        return told


class ScanBlock(nn.Module):
    """GroupNorm, ReLU and a scan layer, twice, added to what came in: (b width ...)."""

    def __init__(self, dims: int, width: int, directions: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = (ScanLayer(dims, width, width, directions) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        said: torch.Tensor = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return x + said


class Conv(nn.Module):
    """A convolution in a module of its own, as the checkpoint names it; depthwise where `groups` says so."""

    def __init__(
        self, dims: int, inside: int, outside: int, kernel: int, *, groups: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.conv = conv(inside, outside, kernel, padding=kernel // 2, groups=groups, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        seen: torch.Tensor = self.conv(x)
        return seen


def separable(dims: int, inside: int, outside: int, kernel: int = 3, *, bias: bool = False) -> nn.Sequential:
    """A depthwise convolution and one of a single voxel."""
    return nn.Sequential(
        Conv(dims, inside, inside, kernel, groups=inside, bias=bias), Conv(dims, inside, outside, 1, bias=bias)
    )


class UpBlock(nn.Module):
    """GroupNorm, ReLU, separable convolution plus a share of what came in, GroupNorm, ReLU: (b width ...)."""

    def __init__(self, dims: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv = separable(dims, width, width)
        self.skip_scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.relu(self.norm2(self.conv(F.relu(self.norm1(x))) + self.skip_scale * x))


class LightMUNet(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        width: channels of the finest level, a multiple of 8; each level doubles it.
        blocks_down: blocks of each level.
        blocks_up: blocks of each step of the decoder, coarsest first; one less.
        directions: row of `DIRECTIONS`.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        width: int,
        blocks_down: Sequence[int],
        blocks_up: Sequence[int],
        directions: str,
    ) -> None:
        levels = len(blocks_down)
        if width % GROUPS:
            raise ValueError(f"width: a multiple of {GROUPS}, for GroupNorm")
        if len(blocks_up) != levels - 1:
            raise ValueError("blocks_up: one number less than blocks_down has")
        super().__init__(dims, channels, classes, [2 ** (levels - 1)] * dims, [2**levels] * dims)
        pool = nn.MaxPool2d if dims == 2 else nn.MaxPool3d
        self.convInit = separable(dims, channels, width)
        self.down_layers = nn.ModuleList()
        for n, blocks in enumerate(blocks_down):
            now = width * 2**n
            change = nn.Sequential(ScanLayer(dims, now // 2, now, directions), pool(2)) if n else nn.Identity()
            self.down_layers.append(nn.Sequential(change, *(ScanBlock(dims, now, directions) for _ in range(blocks))))
        widths = [width * 2**n for n in reversed(range(levels - 1))]
        grow = nn.Upsample(scale_factor=2, mode="bilinear" if dims == 2 else "trilinear", align_corners=False)
        self.up_samples = nn.ModuleList(nn.Sequential(Conv(dims, 2 * now, now, 1), grow) for now in widths)
        self.up_layers = nn.ModuleList(
            nn.Sequential(*(UpBlock(dims, now) for _ in range(count)))
            for now, count in zip(widths, blocks_up, strict=True)
        )
        self.conv_final = nn.Sequential(
            nn.GroupNorm(GROUPS, width), nn.ReLU(), separable(dims, width, classes, 1, bias=True)
        )

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        x, down, up = self.convInit(image), [], []
        for stage in self.down_layers:
            x = stage(x)
            down.append(x)
        for grow, join, skip in zip(self.up_samples, self.up_layers, reversed(down[:-1]), strict=True):
            x = join(grow(x) + skip)
            up.append(x)
        features = name_maps(down, up)
        return SegOutput(self.conv_final(x), (), features)


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    width: int,
    blocks_down: Sequence[int],
    blocks_up: Sequence[int],
    directions: str = "fwd",
) -> LightMUNet:
    """The backbone "lightmunet"."""
    return LightMUNet(
        dims, channels, classes, width=width, blocks_down=blocks_down, blocks_up=blocks_up, directions=directions
    )


def convert(state: State) -> Tensors:
    """The authors' weights by our names, which are theirs.

    Raises:
        BadCall: another network's.
    """
    return rename(state, _RULES, FILE)


def options_of(state: State) -> dict[str, Any]:
    """What `build` takes, `dims`, `channels` and `classes` among it, from the authors' weights; all of it is in their shapes.

    Raises:
        BadCall: parts are missing.
    """
    own = unwrap(state)
    try:
        first, last = own["convInit.1.conv.weight"], own["conv_final.2.1.conv.weight"]
    except KeyError as error:
        raise BadCall(f"This is no LightM-UNet: {error} is missing. Give {FILE}.") from None
    levels = count(own, r"down_layers\.(\d+)\.")
    blocks = [
        [key for key in own if key.startswith(f"down_layers.{n}.") and key.endswith(".norm1.weight")]
        for n in range(levels)
    ]
    return {
        "dims": first.dim() - 2,
        "channels": first.shape[1],
        "classes": last.shape[0],
        "width": first.shape[0],
        "blocks_down": [len(one) for one in blocks],
        "blocks_up": [count(own, rf"up_layers\.{n}\.(\d+)\.") for n in range(levels - 1)],
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    state = fixture.state()
    with torch.device("meta"):
        net = build(**options_of(state))
    load(net, convert(state), FILE)
    with torch.no_grad():
        said = net.answer(fixture.inputs["image"])
    return {"logits": said.logits, **{f"down{n}": said.features[f"encoder.{n}"] for n in range(len(net.down_layers))}}
