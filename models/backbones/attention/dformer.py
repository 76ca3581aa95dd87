"""D-Former: attention inside local groups, then among tokens far apart, in a U-Net of transformers for volumes.

Paper: Wu et al. 2022, arXiv 2201.00462; code kkk55596/D-Former (no licence stated), of which nothing is copied.
Takes: volumes (b channels x y z). Returns: `SegOutput`; side answers of the coarser decoder maps.
Weights: the authors' state dict through `convert`, with `released`; they read volumes as (z y x). Left out: stochastic depth, inflation of 2-D weights.
`released` repeats the code where it leaves the paper: see `ReleasedBlock`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ....imaging.errors import BadCall
from ...blocks.swin import PatchExpand, PatchMerging
from ...blocks.windows import Layout, Sides, WindowBlock, pad_tokens
from ...checkpoints import Tensors, count_numbers
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, halve_weights, name_maps
from ..official import Rule, State, load, rename, unwrap

FILE = "a state dict of kkk55596/D-Former"
SLAB = 2**24  # numbers of the widest map at once, 64 MB; our choice
INTERVALS = (8, 4, 2, 1)  # Source: model.py of the repository
_RULES: tuple[Rule, ...] = (
    (r"model_down\.patch_embed\.proj\.(.+)", r"embed.\1"),
    (r"model_down\.patch_embed\.norm\.(.+)", r"embed_norm.\1"),
    (r"model_down\.(layers|layers_up)\.(\d+)\.pos_block\.proj\.0\.(.+)", r"\1.\2.position.\3"),
    (r"model_down\.(layers|layers_up)\.(\d+)\.blocks\.(.+)", r"\1.\2.blocks.\3"),
    (r"model_down\.layers\.(\d+)\.downsample\.(.+)", r"merge.\1.\2"),
    (r"model_down\.layers_up\.0\.((?:expand|norm)\..+)", r"expand.0.\1"),
    (r"model_down\.layers_up\.(\d+)\.upsample\.(.+)", r"expand.\1.\2"),
    (r"model_down\.concat_back_dim\.(\d+)\.(.+)", r"join.\1.\2"),
    (r"model_down\.(norm|norm_up)\.(.+)", r"\1.\2"),
    (r"final\.(\d+)\.0\.(.+)", r"heads.\1.expand.\2"),
    (r"final\.(\d+)\.1\.(.+)", r"heads.\1.point.\2"),
)


class ReleasedBlock(WindowBlock):
    """Groups as the released code makes them.

    Dilated groups: the map is padded to a multiple of `interval`, the spacing is padded side // group, and the group has
    padded side // spacing tokens, which can be more than was asked for. Padding of the first axis alone is seen. A map whose second
    side is below the group's is one local group.
    """

    def __init__(self, width: int, heads: int, window: Sides, *, interval: int, dilated: bool) -> None:
        super().__init__(width, heads, window, dilated=dilated, biased=False)
        self.interval = interval

    def layout(self, sides: Sides) -> Layout:
        """See `WindowBlock.layout`."""
        none = (0,) * len(sides)
        if sides[1] < self.window[1]:
            return Layout(tuple(sides), tuple(sides), none)
        divisors = [self.interval] * len(sides) if self.dilated else self.window
        padded = tuple(-(-side // by) * by for side, by in zip(sides, divisors, strict=True))
        if not self.dilated:
            return Layout(self.window, padded, none)
        spacings = [max(side // size, 1) for side, size in zip(padded, self.window, strict=True)]
        if any(side % by for side, by in zip(padded, spacings, strict=True)):
            raise BadCall(
                f"A map of {' x '.join(map(str, padded))} has no dilated groups with spacings of "
                f"{' x '.join(map(str, spacings))} in the released D-Former. Give another image, or leave out `released`."
            )
        group = tuple(side // by for side, by in zip(padded, spacings, strict=True))
        return Layout(group, padded, none, dilated=True, masked=padded[1:] != tuple(sides[1:]))


class _Stage(nn.Module):
    """A depthwise convolution that tells places, then blocks, local and dilated in turn."""

    def __init__(self, width: int, blocks: Sequence[WindowBlock]) -> None:
        super().__init__()
        self.position = nn.Conv3d(width, width, 3, padding=1, groups=width)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b x y z c) to one of the same shape."""
        out: torch.Tensor = self.blocks(x + self.position(x.movedim(-1, 1)).movedim(1, -1))
        return out


class _Head(nn.Module):
    """Logits as much finer as the patches were coarser; slab by slab, as the wide map between is the network's largest."""

    def __init__(self, width: int, classes: int, patch: Sides) -> None:
        super().__init__()
        self.expand, self.point = PatchExpand(width, width, patch), nn.Conv3d(width, classes, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b x y z c) to logits (b classes ...)."""
        of_a_row = x[:, :1].numel() * math.prod(self.expand.factors)
        slabs = x.split(max(SLAB // of_a_row, 1), dim=1)
        return torch.cat([self.point(self.expand(slab).movedim(-1, 1)) for slab in slabs], dim=2)


class DFormer(SegmentationNetwork):
    """Stages down and up.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        width: of the finest stage; doubled with each.
        depths, heads: of each stage, finest first; the decoder has the same.
        patch: voxels of a token.
        group: tokens of a group.
        intervals: see `ReleasedBlock`; None: groups as in the paper.
        side: how many coarser maps answer, too.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, width: int, depths: Sequence[int], heads: Sequence[int],
        patch: Sides, group: Sides, intervals: Sequence[int] | None, side: int,
    ) -> None:  # fmt: skip
        levels = len(depths)
        if levels < 2 or len(heads) != levels or (intervals is not None and len(intervals) != levels):
            raise ValueError("depths, heads and intervals are given for two stages or more")
        if not len(patch) == len(group) == dims:
            raise ValueError(f"patch and group have {dims} sides")
        if not 0 <= side <= levels - 2:
            raise ValueError(f"side is 0 to {levels - 2}: the decoder has no more coarser maps")
        divisor = [size * 2 ** (levels - 1) for size in patch]
        super().__init__(dims, channels, classes, divisor, divisor)
        widths = [width * 2**n for n in range(levels)]

        def stage(n: int) -> _Stage:
            def block(dilated: bool) -> WindowBlock:
                if intervals is None:
                    return WindowBlock(widths[n], heads[n], group, dilated=dilated, biased=False)
                return ReleasedBlock(widths[n], heads[n], group, interval=intervals[n], dilated=dilated)

            return _Stage(widths[n], [block(turn % 2 == 1) for turn in range(depths[n])])

        self.embed, self.embed_norm = nn.Conv3d(channels, width, tuple(patch), tuple(patch)), nn.LayerNorm(width)  # type: ignore[arg-type]
        self.layers = nn.ModuleList(stage(n) for n in range(levels))
        self.merge = nn.ModuleList(PatchMerging(dims, one, 2 * one) for one in widths[:-1])
        self.norm, self.norm_up = nn.LayerNorm(widths[-1]), nn.LayerNorm(width)
        self.expand = nn.ModuleList(PatchExpand(one, one // 2, (2,) * dims) for one in reversed(widths[1:]))
        self.join = nn.ModuleDict({str(n): nn.Linear(2 * widths[-1 - n], widths[-1 - n]) for n in range(1, levels)})
        self.layers_up = nn.ModuleDict({str(n): stage(levels - 1 - n) for n in range(1, levels)})
        self.heads = nn.ModuleList(_Head(one, classes, patch) for one in widths[: 1 + side])

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        x = self.embed_norm(self.embed(image).movedim(1, -1))
        down, coarser = [], []
        for n, stage in enumerate(self.layers):
            down.append(x)
            x = stage(x)
            if n < len(self.merge):
                x = self.merge[n](x)
        x, up = self.norm(x), []
        for n, expand in enumerate(self.expand, start=1):
            x = expand(x)  # what the coarser heads see
            coarser.append(x)
            x = self.layers_up[str(n)](self.join[str(n)](torch.cat([x, down[-1 - n]], dim=-1)))
            up.append(x)
        up[-1] = self.norm_up(x)
        seen = [up[-1], *reversed(coarser[:-1])]
        logits, *aux = [head(one) for head, one in zip(self.heads, seen, strict=False)]
        maps = ([one.movedim(-1, 1) for one in some] for some in (down, up))
        return SegOutput(logits, halve_weights(aux[::-1]), name_maps(*maps))


def build(
    dims: int, channels: int, classes: int, *, width: int, depths: Sequence[int], heads: Sequence[int], patch: Sides,
    group: Sides, side: int, released: bool, intervals: Sequence[int],
) -> DFormer:  # fmt: skip
    """The backbone "dformer".

    Args:
        released: groups as the released code makes them; `intervals` tell something then only.
    """
    return DFormer(
        dims, channels, classes, width=width, depths=depths, heads=heads, patch=patch, group=group,
        intervals=intervals if released else None, side=side,
    )  # fmt: skip


def convert(state: State) -> Tensors:
    """The authors' state dict under our names."""
    return rename(state, _RULES, FILE)


def options_of(
    state: State,
    *,
    heads: Sequence[int] = (3, 6, 12, 24),
    group: Sides = (2, 8, 8),
    intervals: Sequence[int] = INTERVALS,
) -> dict[str, Any]:
    """Arguments of `build` for the authors' state dict.

    Args:
        heads, group, intervals: what no shape tells.

    Raises:
        BadCall: it is none of theirs.
    """
    own = unwrap(state)
    try:
        width, channels, *patch = own["model_down.patch_embed.proj.weight"].shape
        levels = range(count_numbers(own, r"model_down\.layers\.(\d+)\."))
        return {
            "dims": 3,
            "channels": channels,
            "classes": own["final.0.1.weight"].shape[0],
            "width": width,
            "depths": [count_numbers(own, rf"model_down\.layers\.{n}\.blocks\.(\d+)\.") for n in levels],
            "heads": list(heads),
            "patch": patch,
            "group": list(group),
            "side": count_numbers(own, r"final\.(\d+)\.") - 1,
            "released": True,
            "intervals": list(intervals),
        }
    except (KeyError, ValueError) as error:
        raise BadCall(f"This is no D-Former: {error} is missing. Give {FILE}.") from None


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code; its third answer, which it drops, is ours, too."""
    state, sizes = fixture.state(), fixture.sizes
    intervals = sizes.get("interval_list (backbone)", sizes.get("interval_list", INTERVALS))
    options = options_of(state, heads=sizes["num_heads"], group=sizes["group_size"], intervals=intervals)
    with torch.device("meta"):
        net = build(**options)
    load(net, convert(state), FILE)
    image = fixture.inputs["image"].movedim(1, -1)
    whole = [-(-side // by) * by for side, by in zip(image.shape[1:-1], options["patch"], strict=True)]
    with torch.no_grad():
        said = net.answer(pad_tokens(image, whole).movedim(-1, 1))
    found = {f"logits_{n}": one for n, one in enumerate([said.logits, *(one.logits for one in said.aux)])}
    found |= {"logits": said.logits, "patch_embed": said.features["encoder.0"]}
    stages = range(1, len(options["depths"]))
    return found | {f"stage{n - 1}": said.features[f"encoder.{n}"] for n in stages}
