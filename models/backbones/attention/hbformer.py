"""HBFormer: Swin's encoder under a decoder whose every level looks at three dilations, chosen by the map itself.

Paper and code: lzeeorno/HBFormer, models/HBFormer.py (MIT).
Takes: images (b channels x y). Returns: `SegOutput`; no side answers.
Weights: the authors' state dict through `convert`, with `released`. Left out: stochastic depth; the projection of the coarsest map
and the encoder's last norm, which nothing uses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.swin import SwinEncoder
from ...blocks.windows import Sides
from ...checkpoints import Tensors, count_numbers
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, name_maps
from ..official import Rule, State, load, rename, unwrap

FILE = "a state dict of lzeeorno/HBFormer"
COLOURS = 3  # what the encoder gets, whatever the image has; Source: models/HBFormer.py, as all numbers here
DILATIONS, EXPERTS, REDUCTION, LEAK = (1, 4, 8), 4, 8, 0.01
STAGES = 4
_DSPP = r"MFF_decoder(\d)\.Med_DSPP\."
_SWIN = r"MWAencoder\.backbone\."
_RULES: tuple[Rule, ...] = (
    (rf"{_SWIN}.+\.(relative_position_index|attn_mask)", ""),
    (rf"{_SWIN}norm\..+|proj_enc4\..+", ""),
    (rf"{_SWIN}patch_embed\.proj\.(.+)", r"encoder.embed.\1"),
    (rf"{_SWIN}patch_embed\.norm\.(.+)", r"encoder.norm.\1"),
    (rf"{_SWIN}layers\.(\d)\.downsample\.(.+)", r"encoder.merge.\1.\2"),
    (rf"{_SWIN}layers\.(\d)\.blocks\.(.+)\.relative_position_bias_table", r"encoder.stages.\1.\2.table"),
    (rf"{_SWIN}layers\.(\d)\.blocks\.(.+)", r"encoder.stages.\1.\2"),
    (r"input_proj\.(.+)", r"colours.\1"),
    (r"proj_enc([123])\.(.+)", r"project.\1.\2"),
    (r"MFF_decoder(\d)\.transp_conv\.(.+)", r"decoder.\1.up.\2"),
    (r"MFF_decoder(\d)\.BN\.(.+)", r"decoder.\1.norm.\2"),
    (r"MFF_decoder(\d)\.LRD_block\.(.+)", r"decoder.\1.local.\2"),
    (rf"{_DSPP}(branch|expert)_attention\.(\d)\.(.+)", r"decoder.\1.scales.\2.\3.\4"),
    (rf"{_DSPP}(dw|pw)_experts\.(.+)", r"decoder.\1.scales.\2.\3"),
    (rf"{_DSPP}bns\.(.+)", r"decoder.\1.scales.norms.\2"),
    (rf"{_DSPP}eca\.conv\.(.+)", r"decoder.\1.scales.eca.\2"),
    (rf"{_DSPP}(fuse|fuse_bn)\.(.+)", r"decoder.\1.scales.\2.\3"),
    (r"out\.(\d)\.(.+)", r"out.\1.\2"),
)


class _Local(nn.Module):
    """Two convolutions beside one of a single voxel."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv_skip = nn.Conv2d(inside, outside, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b inside x y) to (b outside x y)."""
        inner = self.bn2(self.conv2(F.leaky_relu(self.bn1(self.conv1(x)), LEAK)))
        return F.leaky_relu(inner + self.conv_skip(x), LEAK)


def _gate(width: int, choices: int) -> nn.Sequential:
    """A share for each choice, from the map's mean."""
    inner = width // REDUCTION
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, inner, 1), nn.ReLU(), nn.Conv2d(inner, choices, 1), nn.Softmax(dim=1)
    )


class _Scales(nn.Module):
    """Med-DSPP: three dilated depthwise-separable convolutions, each a mixture of experts, weighed and fused.

    All experts of a dilation are one grouped convolution; the pointwise kernels are mixed before they are applied.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < REDUCTION:
            raise ValueError(f"width: the finest decoder level has {width} channels and needs {REDUCTION}")
        self.branch, self.expert = _gate(width, len(DILATIONS)), _gate(width, EXPERTS)
        self.dw = nn.ModuleList(
            nn.Conv2d(width, width * EXPERTS, 3, padding=by, dilation=by, groups=width, bias=False) for by in DILATIONS
        )
        self.pw = nn.ModuleList(nn.Conv2d(width, EXPERTS * width, 1, bias=False) for _ in DILATIONS)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in DILATIONS)
        self.eca = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.fuse, self.fuse_bn = nn.Conv2d(width * len(DILATIONS), width, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b c x y) to the same shape."""
        many, width = x.shape[:2]
        branches, experts = self.branch(x), self.expert(x).flatten(1)
        seen = []
        point: Any
        for n, (deep, point, norm) in enumerate(zip(self.dw, self.pw, self.norms, strict=True)):
            each = deep(x).reshape(many, width, EXPERTS, *x.shape[2:])
            mixed = (each * experts[:, None, :, None, None]).sum(dim=2)
            kernel = (experts @ point.weight.reshape(EXPERTS, -1)).reshape(many, width, width)
            told = (kernel @ mixed.flatten(2)).reshape(x.shape)
            seen.append(F.silu(norm(told)) * branches[:, n : n + 1])
        beside = torch.cat(seen, dim=1)
        gate = torch.sigmoid(self.eca(beside.mean(dim=(2, 3))[:, None]))  # ECA, Wang et al. 2020, arXiv 1910.03151
        out: torch.Tensor = self.fuse_bn(self.fuse(beside * gate.movedim(1, 2)[..., None]))
        return out


class _Level(nn.Module):
    """One level of the decoder."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inside, outside, 2, 2)
        self.local, self.scales, self.norm = _Local(2 * outside, outside), _Scales(outside), nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(b outside 2x 2y) of (b inside x y) and a skip of the answer's shape."""
        beside = torch.cat([self.up(x), skip], dim=1)
        out: torch.Tensor = self.norm(F.relu(self.scales(self.local(beside))))
        return out


class HBFormer(SegmentationNetwork):
    """Encoder and decoder.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        width: of the encoder's finest stage; doubled with each. The decoder's finest level has half of it.
        depths, heads, windows: of the encoder's stages, finest first.
        masked: padding of windows is not seen.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, width: int, depths: Sequence[int], heads: Sequence[int],
        windows: Sequence[int | Sides], masked: bool,
    ) -> None:  # fmt: skip
        if width % 2 or len(depths) != STAGES:
            raise ValueError("width is even, and depths, heads and windows are given for four stages")
        super().__init__(dims, channels, classes, [32] * dims, [32] * dims)
        widths = [width * 2**n for n in range(STAGES)]
        self.colours = nn.Conv2d(channels, COLOURS, 1)
        self.encoder = SwinEncoder(
            dims, COLOURS, widths, depths, heads, windows, masked=masked, first_fastest=True
        )  # fmt: skip
        self.project = nn.ModuleList(nn.Conv2d(one, one // 2, 1) for one in widths[:-1])
        self.decoder = nn.ModuleList(_Level(one, one // 2) for one in widths)
        fine = width // 2
        self.out = nn.Sequential(
            nn.ConvTranspose2d(fine, fine, 4, 2, 1, bias=False), nn.Conv2d(fine, classes, 1)
        )  # fmt: skip

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        down = self.encoder(self.colours(image))
        # The third map is a skip twice: as it is, and projected and doubled as the finer ones are.
        skips = [_double(point(x)) for point, x in zip(self.project, down, strict=False)] + [down[2]]
        x, up = down[-1], []
        for level, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            x = level(x, skip)
            up.append(x)
        return SegOutput(self.out(x), features=name_maps(down, up))


def _double(x: torch.Tensor) -> torch.Tensor:
    """Twice the sides, corners aligned."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def build(
    dims: int, channels: int, classes: int, *, width: int, depths: Sequence[int], heads: Sequence[int],
    windows: Sequence[int | Sides], released: bool,
) -> HBFormer:  # fmt: skip
    """The backbone "hbformer".

    Args:
        released: what pads a window is seen, as in the library the released code takes its encoder from.
    """
    return HBFormer(
        dims, channels, classes, width=width, depths=depths, heads=heads, windows=windows, masked=not released
    )  # fmt: skip


def convert(state: State) -> Tensors:
    """The authors' state dict under our names; experts of a dilation side by side."""
    found: Tensors = {}
    experts: dict[str, list[tuple[int, torch.Tensor]]] = {}
    for key, value in rename(state, _RULES, FILE).items():
        if expert := re.fullmatch(r"(decoder\.\d\.scales\.(?:dw|pw)\.\d)\.(\d)\.weight", key):
            experts.setdefault(_from_zero(expert[1]), []).append((int(expert[2]), value))
        else:
            found[_from_zero(key)] = value
    for key, kernels in experts.items():
        side = 1 if ".dw." in key else 0  # a depthwise channel's experts are neighbours
        stacked = torch.stack([kernel for _, kernel in sorted(kernels, key=lambda one: one[0])], dim=side)
        found[f"{key}.weight"] = stacked.flatten(0, 1)
    return found


def _from_zero(key: str) -> str:
    """Levels counted from 0, as ours are; the released code counts some from 1."""
    return re.sub(r"^(decoder|project|encoder\.merge)\.(\d)", lambda found: f"{found[1]}.{int(found[2]) - 1}", key)


def options_of(state: State, *, size: Sides | None = None) -> dict[str, Any]:
    """Arguments of `build` for the authors' state dict.

    Args:
        size: of the images it was built for; needed where they were not square and small, as windows are no larger than a map.

    Raises:
        BadCall: it is none of theirs.
    """
    own, swin = unwrap(state), "MWAencoder.backbone."
    try:
        patch = own[f"{swin}patch_embed.proj.weight"].shape
        tables = [own[f"{swin}layers.{n}.blocks.0.attn.relative_position_bias_table"].shape for n in range(STAGES)]
        sides = [(math.isqrt(rows) + 1) // 2 for rows, _ in tables]
        windows: list[Any] = [
            one if size is None else [min(sides[0], side // (patch[2] * 2**n)) for side in size]
            for n, one in enumerate(sides)
        ]
        return {
            "dims": 2,
            "channels": own["input_proj.weight"].shape[1],
            "classes": own["out.1.weight"].shape[0],
            "width": patch[0],
            "depths": [
                count_numbers(own, rf"MWAencoder\.backbone\.layers\.{n}\.blocks\.(\d+)\.") for n in range(STAGES)
            ],
            "heads": [heads for _, heads in tables],
            "windows": windows,
            "released": True,
        }
    except KeyError as error:
        raise BadCall(f"This is no HBFormer: {error} is missing. Give {FILE}.") from None


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    state = fixture.state()
    with torch.device("meta"):
        net = build(**options_of(state, size=fixture.sizes["img_size"]))
    load(net, convert(state), FILE)
    with torch.no_grad():
        said = net.answer(fixture.inputs["image"])
    found = {"logits": said.logits} | {f"c{n + 1}": said.features[f"encoder.{n}"] for n in range(STAGES)}
    return found | {f"dec{n + 1}": said.features[f"decoder.{n}"] for n in range(STAGES)}
