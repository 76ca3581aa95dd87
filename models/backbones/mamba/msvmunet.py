"""MSVM-UNet: a VMamba encoder, a decoder whose feed-forward looks at three scales, and pixel expansion with a large kernel.

Paper: Chen et al. 2024, arXiv 2408.13735; encoder VMamba, Liu et al. 2024, arXiv 2401.10166. Code: gndlwch2w/msvm-unet (no licence stated).
Takes: images (b channels x y). Returns: `SegOutput` without side answers, as the authors train it.
Weights: VMamba-tiny for the encoder, the user's. Left out: stochastic depth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from ....imaging.errors import BadCall
from ...checkpoints import Tensors
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, name_maps
from ..official import State, count, load, rename, unwrap
from .vmamba import Block, BlockSizes, MapLinear, MapNorm

FILE = "a checkpoint that the code of gndlwch2w/msvm-unet saved"
_BLOCK = (
    r"blocks\.\d+\.(norm2?\.\w+|mlp\.(fc[12]\.\w+|multiscale_conv\.dw_convs\.\d\.weight)"
    r"|op\.(A_logs|Ds|conv2d\.\w+|dt_projs_\w+|in_proj\.weight|out_norm\.\w+|out_proj\.weight|x_proj_weight))"
)
_RULES = (
    (rf"encoder\.(layer[01]\.[02]\.\w+|downsamples\.\d+\.[13]\.\w+|layers\.\d+\.{_BLOCK})", r"\g<0>"),
    (rf"decoder\.layers\.\d+\.(concat_layer\.\w+|up\.(expand\.[013]|norm)\.\w+|vss_layer\.{_BLOCK})", r"\g<0>"),
    (r"decoder\.out_layers\.0\.((expand\.[013]|norm|out)\.\w+)", r"\g<0>"),
)


class _Blocks(nn.Module):
    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = self.blocks(x)
        return told


class Expand(nn.Module):
    """Large-kernel pixel expansion (LKPE): (b inside x y) to (b outside factor*x factor*y).

    Channels of the wide map are read as (rows columns channels), unlike torch's pixel shuffle.
    """

    def __init__(self, inside: int, outside: int, factor: int) -> None:
        super().__init__()
        wide, self.factor = outside * factor**2, factor
        self.expand = nn.Sequential(
            nn.Conv2d(inside, wide, 1),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
        )
        self.norm = MapNorm(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        f = self.factor
        parts = self.expand(x).unflatten(1, (f, f, -1))  # (b row column c x y)
        grown: torch.Tensor = self.norm(parts.permute(0, 3, 4, 1, 5, 2).flatten(4).flatten(2, 3))
        return grown


class _Join(nn.Module):
    """One step of the decoder."""

    def __init__(self, width: int, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.up, self.concat_layer, self.vss_layer = (
            Expand(2 * width, width, 2),
            MapLinear(2 * width, width),
            _Blocks(blocks),
        )

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = self.vss_layer(self.concat_layer(torch.cat([self.up(x), skip], dim=1)))
        return told


class _Finish(Expand):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, width, 4)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(super().forward(x))
        return logits


class MSVMUNet(SegmentationNetwork):
    """The network.

    Args:
        dims: 2.
        channels, classes: see `SegmentationNetwork`.
        width: channels of the finest stage; each doubles it.
        depths: blocks of each stage of the encoder.
        decoder_depths: blocks of each step of the decoder, coarsest first; one less.
        block, decoder_block: what differs from `BlockSizes`, of the encoder's blocks and of the decoder's.
        directions: row of `DIRECTIONS`.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        width: int,
        depths: Sequence[int],
        decoder_depths: Sequence[int],
        block: Mapping[str, Any],
        decoder_block: Mapping[str, Any],
        directions: str,
    ) -> None:
        if len(decoder_depths) != len(depths) - 1:
            raise ValueError("decoder_depths: one number less than depths has")
        if width % 2:
            raise ValueError("width: an even number, as the stem starts with half of it")
        stride = 2 ** (len(depths) + 1)
        super().__init__(dims, channels, classes, [stride] * 2, [2 * stride] * 2)

        outer, inner = BlockSizes(**block), BlockSizes(**decoder_block)
        widths = [width * 2**n for n in range(len(depths))]
        self.encoder: Any = nn.ModuleDict()
        self.encoder["layer0"] = _halving(channels, width // 2, nn.GELU())
        self.encoder["layer1"] = _halving(width // 2, width)
        self.encoder["layers"] = nn.ModuleList(
            _Blocks([Block(now, outer, directions, scales=False) for _ in range(depth)])
            for now, depth in zip(widths, depths, strict=True)
        )
        self.encoder["downsamples"] = nn.ModuleList(
            nn.Sequential(nn.Identity(), nn.Conv2d(now, 2 * now, 3, 2, 1), nn.Identity(), MapNorm(2 * now))
            for now in widths[:-1]
        )
        self.decoder: Any = nn.ModuleDict()
        self.decoder["layers"] = nn.ModuleList(
            _Join(now, [Block(now, inner, directions, scales=True) for _ in range(depth)])
            for now, depth in zip(reversed(widths[:-1]), decoder_depths, strict=True)
        )
        self.decoder["out_layers"] = nn.ModuleList([_Finish(width, classes)])

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        x = self.encoder["layer1"](self.encoder["layer0"](image))
        down: list[torch.Tensor] = []
        for shrink, stage in zip([nn.Identity(), *self.encoder["downsamples"]], self.encoder["layers"], strict=True):
            x = stage(shrink(x))
            down.append(x)
        up = []
        for join, skip in zip(self.decoder["layers"], reversed(down[:-1]), strict=True):
            x = join(x, skip)
            up.append(x)
        features = name_maps(down, up)
        return SegOutput(self.decoder["out_layers"][0](x), (), features)


def _halving(inside: int, outside: int, *then: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, 2, 1), nn.Identity(), MapNorm(outside), *then)


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    width: int,
    depths: Sequence[int],
    decoder_depths: Sequence[int],
    block: Mapping[str, Any] = MappingProxyType({}),
    decoder_block: Mapping[str, Any] = MappingProxyType({}),
    directions: str = "cross2d",
) -> MSVMUNet:
    """The backbone "msvmunet"."""
    return MSVMUNet(
        dims,
        channels,
        classes,
        width=width,
        depths=depths,
        decoder_depths=decoder_depths,
        block=block,
        decoder_block=decoder_block,
        directions=directions,
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
        stem, last = own["encoder.layer0.0.weight"], own["decoder.out_layers.0.out.weight"]
        width = own["encoder.layer1.0.bias"].shape[0]
        sizes = _sizes_of(own, "encoder.layers.0.blocks.0."), _sizes_of(own, "decoder.layers.0.vss_layer.blocks.0.")
    except KeyError as error:
        raise BadCall(f"This is no MSVM-UNet: {error} is missing. Give {FILE}.") from None
    stages, steps = count(own, r"encoder\.layers\.(\d+)\."), count(own, r"decoder\.layers\.(\d+)\.")
    return {
        "dims": 2,
        "channels": stem.shape[1],
        "classes": last.shape[0],
        "width": width,
        "depths": [count(own, rf"encoder\.layers\.{n}\.blocks\.(\d+)\.") for n in range(stages)],
        "decoder_depths": [count(own, rf"decoder\.layers\.{n}\.vss_layer\.blocks\.(\d+)\.") for n in range(steps)],
        "block": sizes[0],
        "decoder_block": sizes[1],
    }


def _sizes_of(state: Mapping[str, torch.Tensor], first: str) -> dict[str, Any]:
    inner, width = state[f"{first}op.in_proj.weight"].shape
    return {
        "state": state[f"{first}op.A_logs"].shape[1],
        "ratio": inner / width,
        "kernel": state[f"{first}op.conv2d.weight"].shape[-1],
        "conv_bias": f"{first}op.conv2d.bias" in state,
        "mlp_ratio": state[f"{first}mlp.fc1.weight"].shape[0] / width,
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    state = fixture.state()
    with torch.device("meta"):
        net = build(**options_of(state))
    load(net, convert(state), FILE)
    image = fixture.inputs["image"]
    with torch.no_grad():
        said = net.answer(image if image.shape[1] == net.channels else image.expand(-1, net.channels, -1, -1))
    last = len(net.encoder["layers"]) - 1
    stages = {f"enc{n}": said.features[f"encoder.{n}"] for n in (0, last)}
    return {"logits": said.logits, **{name: x for name, x in stages.items() if name in fixture.intermediates}}
