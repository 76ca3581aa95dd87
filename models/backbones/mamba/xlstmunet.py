"""xLSTM-UNet: a residual U-Net with blocks of Vision-LSTM at its bottom ("bot") or after the deeper stages of its encoder ("enc").

Paper: Chen et al. 2024, arXiv 2407.01530. Code: tianrun-chen/xLSTM-UNet-PyTorch (Apache-2.0; its ViL file AGPL-3.0, which is not used here).
Takes: images (b channels x y z) or (b channels x y). Returns: `SegOutput` with a side answer of each step of the decoder.
Weights: the authors', on a drive of theirs. Left out: nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.layers import Steps, make_conv, per_axis
from ...blocks.nnunet import Grow, ProjectedBlock, ResidualBlock, check_stages
from ...blocks.scans.mlstm import ViLBlock
from ...checkpoints import Tensors, fill
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, halve_weights, name_maps
from ..official import State, count, rename, unwrap

FILE = "a checkpoint that the code of tianrun-chen/xLSTM-UNet-PyTorch saved"
_VIL = r"vil\.(norm\.\w+|layer\.[\w.]+)"
_BLOCK = r"(0\.(conv[123]|norm[12])\.\w+|[1-9]\d*\.conv[12]\.(conv|norm)\.\w+)"
_DEAD = (
    r"decoder\.encoder\..*",
    r".*\.all_modules\..*",
    r"(xlstm|encoder\.xlstm_layers\.\d+)\.norm\.\w+",
)  # aliases, and unused norms
_RULES = (
    (
        rf"encoder\.(stem\.{_BLOCK}|stages\.\d+\.{_BLOCK}|xlstm_layers\.\d+\.({_VIL}|conv[12]\.(conv|norm)\.\w+))",
        r"\g<0>",
    ),
    (rf"xlstm\.{_VIL}", r"\g<0>"),
    (rf"decoder\.(stages\.\d+\.{_BLOCK}|upsample_layers\.\d+\.conv\.\w+|seg_layers\.\d+\.\w+)", r"\g<0>"),
)


class ScanMap(nn.Module):
    """A ViL block over a map (b width ...), read row by row from its start.

    Args:
        width: channels.
        places: 0 where places are the tokens; else how many there are, which are then what each channel, as a token, consists of.
    """

    def __init__(self, width: int, places: int = 0) -> None:
        super().__init__()
        self.places = places
        self.vil = ViLBlock(places or width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape.

        Raises:
            BadCall: channels are tokens and the map has other places.
        """
        flat, sides = x.flatten(2), x.shape[2:]
        if self.places:
            if flat.shape[2] != self.places:
                raise BadCall(
                    f"A map of {flat.shape[2]} places met a layer for {self.places}, as channels are its tokens. "
                    "Give images of the `sides` the network was built for."
                )
            return torch.unflatten(self.vil(flat), 2, sides)
        return torch.unflatten(self.vil(flat.transpose(1, 2)).transpose(1, 2), 2, sides)


class XLSTMUNet(SegmentationNetwork):
    """The network.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        variant: "bot" or "enc".
        widths: channels of each stage.
        kernels, strides: of each stage, a number or one for each axis; the first stride is 1.
        blocks: residual blocks of each stage.
        decoder_blocks: of each step of the decoder, coarsest first; one less.
        sides: of every image, where channels are to be the tokens of maps with no more places than channels, as the authors have it in
            "enc"; [] where places always are.
        released: whether the finest step of a 2-D decoder goes without its skip, as in the released code.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        variant: str,
        widths: Sequence[int],
        kernels: Sequence[Steps],
        strides: Sequence[Steps],
        blocks: Sequence[int],
        decoder_blocks: Sequence[int],
        sides: Sequence[int],
        released: bool,
    ) -> None:
        whole = check_stages(dims, widths, kernels, strides)
        stages = len(widths)
        if len(blocks) != stages or len(decoder_blocks) != stages - 1 or min(*blocks, *decoder_blocks) < 1:
            raise ValueError("blocks: one number from 1 up for each stage, decoder_blocks one less")
        if sides and (len(sides) != dims or any(side % by for side, by in zip(sides, whole, strict=False))):
            raise ValueError(f"sides: multiples of {' x '.join(map(str, whole))}, or none")
        super().__init__(dims, channels, classes, whole, [2 * side for side in whole])
        inside = [widths[0], *widths[:-1]]
        self.encoder: Any = nn.ModuleDict(
            {
                "stem": _stage(dims, channels, widths[0], kernels[0], 1, blocks[0]),
                "stages": nn.ModuleList(
                    _stage(dims, a, b, size, step, n)
                    for a, b, size, step, n in zip(inside, widths, kernels, strides, blocks, strict=True)
                ),
                "xlstm_layers": _layers(dims, variant, widths, kernels, _places(dims, widths, strides, sides)),
            }
        )
        self.xlstm = ScanMap(widths[-1]) if variant == "bot" else nn.Identity()
        ups = list(reversed(range(stages - 1)))
        self.skips = [not (released and dims == 2 and n == 0) for n in ups]
        self.decoder: Any = nn.ModuleDict(
            {
                "upsample_layers": nn.ModuleList(Grow(dims, widths[n + 1], widths[n], strides[n + 1]) for n in ups),
                "stages": nn.ModuleList(
                    _stage(dims, (1 + skip) * widths[n], widths[n], kernels[n], 1, m)
                    for n, m, skip in zip(ups, decoder_blocks, self.skips, strict=True)
                ),
                "seg_layers": nn.ModuleList(make_conv(dims, widths[n], classes, 1) for n in ups),
            }
        )

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        x, down, up = self.encoder["stem"](image), [], []
        for stage, layer in zip(self.encoder["stages"], self.encoder["xlstm_layers"], strict=True):
            x = layer(stage(x))
            down.append(x)
        down[-1] = x = self.xlstm(x)
        parts = self.decoder
        rest = zip(parts["upsample_layers"], parts["stages"], down[-2::-1], self.skips, strict=True)
        for grow, join, skip, taken in rest:
            x = join(torch.cat([grow(x), skip], dim=1) if taken else grow(x))
            up.append(x)
        *coarse, logits = [head(x) for head, x in zip(parts["seg_layers"], up, strict=True)]
        return SegOutput(logits, halve_weights(coarse), name_maps(down, up))


def _stage(dims: int, inside: int, outside: int, size: Steps, step: Steps, blocks: int) -> nn.Sequential:
    first = ProjectedBlock(dims, inside, outside, size, step)
    return nn.Sequential(first, *(ResidualBlock(dims, outside, outside, size) for _ in range(blocks - 1)))


def _places(dims: int, widths: Sequence[int], strides: Sequence[Steps], sides: Sequence[int]) -> list[int]:
    """For each stage the places of its map where channels are tokens, else 0."""
    found = []
    for width, stride in zip(widths, strides, strict=True):
        sides = [side // by for side, by in zip(sides, per_axis(stride, dims), strict=False)]
        places = math.prod(sides) if sides else 0
        found.append(places if places <= width else 0)
    return found


def _layers(
    dims: int, variant: str, widths: Sequence[int], kernels: Sequence[Steps], places: Sequence[int]
) -> nn.ModuleList:
    """What follows each stage: in "enc" of volumes a ViL block from the fourth on and a residual block before, of images a ViL block at
    every second stage up to the last, not before the third, and a residual block at the second.
    """
    stages, made = len(widths), nn.ModuleList()
    if variant not in ("bot", "enc"):
        raise ValueError(f"variant: 'bot' or 'enc', not '{variant}'")
    if variant == "enc" and stages < (3 if dims == 2 else 4):
        raise ValueError(f"widths: too few stages for a ViL block in 'enc', {3 if dims == 2 else 4} or more")
    for n, (width, size, tokens) in enumerate(zip(widths, kernels, places, strict=True)):
        scanned = n >= 3 if dims == 3 else n > 1 and n % 2 != stages % 2
        residual = n < 3 if dims == 3 else n == 1
        if variant == "enc" and scanned:
            made.append(ScanMap(width, tokens))
        elif variant == "enc" and residual:
            made.append(ResidualBlock(dims, width, width, size))
        else:
            made.append(nn.Identity())
    return made


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    variant: str,
    widths: Sequence[int],
    kernels: Sequence[Steps],
    strides: Sequence[Steps],
    blocks: Sequence[int],
    decoder_blocks: Sequence[int],
    sides: Sequence[int] = (),
    released: bool = False,
) -> XLSTMUNet:
    """The backbone "xlstmunet"."""
    return XLSTMUNet(
        dims,
        channels,
        classes,
        variant=variant,
        widths=widths,
        kernels=kernels,
        strides=strides,
        blocks=blocks,
        decoder_blocks=decoder_blocks,
        sides=sides,
        released=released,
    )


def convert(state: State) -> Tensors:
    """The authors' weights by our names, which are theirs, without aliases and the norm that nothing uses.

    Raises:
        BadCall: another network's.
    """
    return rename(state, _RULES, FILE, _DEAD)


def options_of(state: State, *, strides: Sequence[Steps] = (), sides: Sequence[int] = ()) -> dict[str, Any]:
    """What `build` takes, `dims`, `channels` and `classes` among it, from the authors' weights.

    Args:
        strides: of each stage, which no shape tells; () for 2 everywhere but at first.
        sides: of the authors' training patches, for "enc".

    Raises:
        BadCall: parts are missing.
    """
    own = unwrap(state)
    try:
        first, head = own["encoder.stem.0.conv1.weight"], own["decoder.seg_layers.0.weight"]
        stages = count(own, r"encoder\.stages\.(\d+)\.")
        convs = [own[f"encoder.stages.{n}.0.conv1.weight"] for n in range(stages)]
        finest = own[f"decoder.stages.{stages - 2}.0.conv1.weight"]
    except KeyError as error:
        raise BadCall(f"This is no xLSTM-UNet: {error} is missing. Give {FILE}.") from None
    return {
        "dims": first.dim() - 2,
        "channels": first.shape[1],
        "classes": head.shape[0],
        "variant": "bot" if any(key.startswith("xlstm.vil.") for key in own) else "enc",
        "widths": [one.shape[0] for one in convs],
        "kernels": [list(one.shape[2:]) for one in convs],
        "strides": list(strides) or [1, *[2] * (stages - 1)],
        "blocks": [count(own, rf"encoder\.stages\.{n}\.(\d+)\.") for n in range(stages)],
        "decoder_blocks": [count(own, rf"decoder\.stages\.{n}\.(\d+)\.") for n in range(stages - 1)],
        "sides": list(sides),
        "released": finest.shape[0] == finest.shape[1],
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code: its block in both directions, and the two ways to make tokens of a map."""
    state, given = fixture.state(), fixture.inputs
    with torch.no_grad():
        return {
            "top_left": _block(state, "down.")(given["tokens"]),
            "bottom_right": _block(state, "up.", backwards=True)(given["tokens"]),
            "block_size_2": _block(state, "odd.")(given["tokens_odd"]),
            "patch_tokens": _scan_map(state, "patch_layer.", 0)(given["volume"]),
            "channel_tokens": _scan_map(state, "channel_layer.", given["volume_channel"][0, 0].numel())(
                given["volume_channel"]
            ),
        }


def _block(state: Mapping[str, torch.Tensor], prefix: str, *, backwards: bool = False) -> ViLBlock:
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    with torch.device("meta"):
        block = ViLBlock(own["norm.weight"].shape[0], backwards=backwards, norm_bias="norm.bias" in own)
    return fill(block, own, FILE)


def _scan_map(state: Mapping[str, torch.Tensor], prefix: str, places: int) -> ScanMap:
    layer = ScanMap(state[f"{prefix}vil.norm.weight"].shape[0], places)
    layer.vil = _block(state, f"{prefix}vil.")
    return layer.eval()
