"""SegFormer3D: a pyramid of transformers for volumes under a head of linear maps.

Paper: Perera et al. 2024, arXiv 2404.10156; code OSUPCVLab/SegFormer3D (GPL-3.0), of which nothing is copied.
Takes: volumes (b channels x y z). Returns: `SegOutput`; no side answers.
Weights: the authors' state dict through `convert`. Left out: nothing of the graph.
The head never holds the wide maps of all levels side by side: mixing channels and resizing commute, so every level is mixed at
its own resolution and only the sum is resized.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...checkpoints import Tensors, count_numbers
from ...parity import Fixture
from ..network import SegmentationNetwork, SegOutput, name_maps, resize
from ..official import Rule, State, load, rename, unwrap

FILE = "a state dict of OSUPCVLab/SegFormer3D"
HEADS = (1, 2, 5, 8)  # Source: the repository's configuration, as the strides
STRIDES = (4, 2, 2, 2)
_RULES: tuple[Rule, ...] = (
    (r"segformer_encoder\.embed_(\d)\.patch_embeddings\.(.+)", r"stages.\1.embed.\2"),
    (r"segformer_encoder\.embed_(\d)\.norm\.(.+)", r"stages.\1.embed_norm.\2"),
    (r"segformer_encoder\.tf_block(\d)\.(.+)\.dwconv\.(dwconv|bn)\.(.+)", r"stages.\1.blocks.\2.\3.\4"),
    (r"segformer_encoder\.tf_block(\d)\.(.+)", r"stages.\1.blocks.\2"),
    (r"segformer_encoder\.norm(\d)\.(.+)", r"stages.\1.norm.\2"),
    (r"segformer_decoder\.linear_c(\d)\.proj\.(.+)", r"linear.\1.0.\2"),
    (r"segformer_decoder\.linear_c(\d)\.bn\.(.+)", r"linear.\1.1.\2"),
    (r"segformer_decoder\.linear_fuse\.0\.(.+)", r"mix.\1"),
    (r"segformer_decoder\.linear_fuse\.1\.(.+)", r"norm.\1"),
    (r"segformer_decoder\.linear_pred\.(.+)", r"head.\1"),
)


class _Attention(nn.Module):
    """Attention of every token to a map whose sides are a `reduction`-th: a strided convolution, then LayerNorm."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide {width} channels")
        self.heads, self.reduction = heads, reduction
        self.query, self.key_value, self.proj = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        if reduction > 1:
            self.sr, self.sr_norm = nn.Conv3d(width, width, reduction, reduction), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b sides c) to one of the same shape; sides are multiples of the reduction.

        Source: PVT, Wang et al. 2021, arXiv 2102.12122."""
        many, width = x.shape[0], x.shape[-1]
        seen = self.sr_norm(self.sr(x.movedim(-1, 1)).movedim(1, -1)) if self.reduction > 1 else x
        query = self.query(x).reshape(many, -1, self.heads, width // self.heads).transpose(1, 2)
        both = self.key_value(seen).reshape(many, -1, 2, self.heads, width // self.heads)
        key, value = both.permute(2, 0, 3, 1, 4)
        told = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        out: torch.Tensor = self.proj(told.reshape(x.shape))
        return out


class _Mlp(nn.Module):
    """Linear, a depthwise convolution with BatchNorm, GELU, linear."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dwconv, self.bn = nn.Conv3d(inner, inner, 3, padding=1, groups=inner), nn.BatchNorm3d(inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b x y z c) to one of the same shape."""
        inner = self.bn(self.dwconv(self.fc1(x).movedim(-1, 1))).movedim(1, -1)
        out: torch.Tensor = self.fc2(F.gelu(inner))
        return out


class _Block(nn.Module):
    """A transformer layer, norms first."""

    def __init__(self, width: int, heads: int, reduction: int, ratio: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = _Attention(width, heads, reduction), _Mlp(width, int(width * ratio))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b x y z c) to one of the same shape."""
        x = x + self.attention(self.norm1(x))
        out: torch.Tensor = x + self.mlp(self.norm2(x))
        return out


@dataclass(frozen=True)
class Stage:
    """Sizes of one stage.

    Attributes:
        kernel, stride: of the overlapping patches.
        reduction: by which keys and values are fewer per axis.
        ratio: of the MLP.
    """

    width: int
    depth: int
    heads: int
    stride: int
    kernel: int
    reduction: int
    ratio: float


class _Stage(nn.Module):
    """Overlapping patches, transformer layers, LayerNorm."""

    def __init__(self, channels: int, how: Stage) -> None:
        super().__init__()
        self.embed = nn.Conv3d(channels, how.width, how.kernel, how.stride, how.kernel // 2)
        self.embed_norm, self.norm = nn.LayerNorm(how.width), nn.LayerNorm(how.width)
        self.blocks = nn.Sequential(*(_Block(how.width, how.heads, how.reduction, how.ratio) for _ in range(how.depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map (b c x y z) to (b width x/stride y/stride z/stride)."""
        tokens: torch.Tensor = self.norm(self.blocks(self.embed_norm(self.embed(x).movedim(1, -1))))
        return tokens.movedim(-1, 1)


class SegFormer3D(SegmentationNetwork):
    """Stages and head.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        stages: finest first.
        head: channels of the head.
        dropout: of the head.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, stages: Sequence[Stage], *, head: int, dropout: float
    ) -> None:
        scales = [math.prod(one.stride for one in stages[: n + 1]) for n in range(len(stages))]
        divisor = math.lcm(*(scale * one.reduction for scale, one in zip(scales, stages, strict=True)))
        # With one voxel in the last stage BatchNorm could not train on one volume.
        super().__init__(dims, channels, classes, [divisor] * dims, [max(divisor, 2 * scales[-1])] * dims)
        widths = [one.width for one in stages]
        before = [channels, *widths[:-1]]
        self.stages = nn.ModuleList(_Stage(width, one) for width, one in zip(before, stages, strict=True))
        self.linear = nn.ModuleList(nn.Sequential(nn.Linear(width, head), nn.LayerNorm(head)) for width in widths)
        self.mix = nn.Conv3d(len(widths) * head, head, 1, bias=False)
        self.norm, self.dropout = nn.BatchNorm3d(head), nn.Dropout(dropout)
        self.head = nn.Conv3d(head, classes, 1)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        x, maps = image, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        fused = self.fuse(maps)
        features = name_maps(maps, [fused])
        return SegOutput(resize(self.head(self.dropout(fused)), image.shape[2:]), features=features)

    def fuse(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """(b head x y z) at the finest stage's resolution, of maps (b c x y z), finest first."""
        parts = reversed(self.mix.weight.chunk(len(maps), dim=1))  # the official head puts the coarsest first
        whole: torch.Tensor | None = None
        for x, linear, weight in zip(maps, self.linear, parts, strict=True):
            mixed = resize(F.conv3d(linear(x.movedim(1, -1)).movedim(-1, 1), weight), maps[0].shape[2:])
            whole = mixed if whole is None else whole + mixed
        return F.relu(self.norm(whole))


def build(
    dims: int, channels: int, classes: int, *, widths: Sequence[int], depths: Sequence[int], heads: Sequence[int],
    strides: Sequence[int], kernels: Sequence[int], reductions: Sequence[int], ratios: Sequence[float], head: int,
    dropout: float,
) -> SegFormer3D:  # fmt: skip
    """The backbone "segformer3d".

    Args:
        widths, depths, heads, strides, kernels, reductions, ratios: see `Stage`; one for each, finest first.
    """
    columns = (widths, depths, heads, strides, kernels, reductions, ratios)
    if len({len(column) for column in columns}) != 1 or not widths:
        raise ValueError(
            "widths, depths, heads, strides, kernels, reductions and ratios are given once for every stage"
        )
    stages = [Stage(*column) for column in zip(*columns, strict=True)]
    return SegFormer3D(dims, channels, classes, stages, head=head, dropout=dropout)


def convert(state: State) -> Tensors:
    """The authors' state dict under our names; they count stages from 1."""
    found = rename(state, _RULES, FILE)
    return {_from_zero(key): value for key, value in found.items()}


def _from_zero(key: str) -> str:
    part, number, *rest = key.split(".")
    return ".".join([part, str(int(number) - 1), *rest]) if part in ("stages", "linear") else key


def options_of(
    state: State, *, heads: Sequence[int] = HEADS, strides: Sequence[int] = STRIDES, dropout: float = 0.1
) -> dict[str, Any]:
    """Arguments of `build` for the authors' state dict.

    Args:
        heads, strides, dropout: what no shape tells.

    Raises:
        BadCall: it is none of theirs.
    """
    own, encoder = unwrap(state), "segformer_encoder."
    try:
        numbers = range(1, 1 + count_numbers(own, r"segformer_encoder\.embed_(\d+)\."))
        patches = [own[f"{encoder}embed_{n}.patch_embeddings.weight"].shape for n in numbers]
        reduced = [own.get(f"{encoder}tf_block{n}.0.attention.sr.weight") for n in numbers]
        inner = [own[f"{encoder}tf_block{n}.0.mlp.fc1.weight"].shape for n in numbers]
        classes, head = own["segformer_decoder.linear_pred.weight"].shape[:2]
        return {
            "dims": 3,
            "channels": patches[0][1],
            "classes": classes,
            "widths": [shape[0] for shape in patches],
            "depths": [count_numbers(own, rf"segformer_encoder\.tf_block{n}\.(\d+)\.") for n in numbers],
            "heads": list(heads),
            "strides": list(strides),
            "kernels": [shape[2] for shape in patches],
            "reductions": [1 if one is None else one.shape[2] for one in reduced],
            "ratios": [shape[0] / shape[1] for shape in inner],
            "head": head,
            "dropout": dropout,
        }
    except (KeyError, IndexError) as error:
        raise BadCall(f"This is no SegFormer3D: {error} is missing. Give {FILE}.") from None


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    state, sizes = fixture.state(), fixture.sizes
    with torch.device("meta"):
        net = build(**options_of(state, heads=sizes["num_heads"], strides=sizes["patch_stride"]))
    load(net, convert(state), FILE)
    with torch.no_grad():
        said = net.answer(fixture.inputs["image"])
    features = said.features
    small = net.head(features["decoder.0"])
    return {
        "logits": resize(small, [4 * side for side in small.shape[2:]]),  # by 4, whatever the first stride
        "fuse": features["decoder.0"],
        **{f"c{n}": features[f"encoder.{n - 1}"] for n in range(1, len(net.stages) + 1)},
        "pred_stride4": small,
    }
