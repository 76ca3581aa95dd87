"""Residual stages of ResNet, ResNeXt and Res2Net for pictures, with the parameter names of the published ones.

Source: He et al. 2016, arXiv 1512.03385; Xie et al. 2017, arXiv 1611.05431 (groups); Gao et al. 2019, arXiv 1904.01169 (splits),
in the form v1b of gasvn/Res2Net: a deep stem, and pooling on the shortcut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

Block = Callable[[int, int, int, bool], nn.Module]
"""From channels in and out, stride and whether it opens a stage, to a block."""


class Basic(nn.Module):
    """Two convolutions of 3 pixels round which a shortcut goes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample = _shortcut(inside, outside, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b outside x y)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1 pixels; the middle one is narrow, and may be of groups."""

    def __init__(self, inside: int, outside: int, stride: int, *, inner: int, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.downsample = _shortcut(inside, outside, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b outside x y)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Res2(nn.Module):
    """A bottleneck whose middle is split: each split but the last is convolved, after what the one before gave was added.

    The block that opens a stage adds nothing and pools the last split instead of passing it on.

    Args:
        split: channels of each split.
        splits: how many, two or more.
        opens: whether it opens a stage.
    """

    def __init__(self, inside: int, outside: int, stride: int, *, split: int, splits: int, opens: bool) -> None:
        super().__init__()
        if splits < 2:
            raise ValueError("a Res2Net block has two splits or more")
        self.conv1 = nn.Conv2d(inside, split * splits, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(split * splits)
        self.convs = nn.ModuleList(nn.Conv2d(split, split, 3, stride, 1, bias=False) for _ in range(splits - 1))
        self.bns = nn.ModuleList(nn.BatchNorm2d(split) for _ in range(splits - 1))
        self.conv3 = nn.Conv2d(split * splits, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.pool = nn.AvgPool2d(3, stride, 1) if opens else None
        self.downsample = (
            nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(inside, outside, 1, bias=False),
                nn.BatchNorm2d(outside),
            )
            if stride != 1 or inside != outside
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b outside x y)."""
        *parts, rest = F.relu(self.bn1(self.conv1(x))).chunk(len(self.convs) + 1, dim=1)
        said: list[torch.Tensor] = []
        for part, conv, norm in zip(parts, self.convs, self.bns, strict=True):
            given = part if self.pool is not None or not said else part + said[-1]
            said.append(F.relu(norm(conv(given))))
        said.append(rest if self.pool is None else self.pool(rest))
        y = self.bn3(self.conv3(torch.cat(said, dim=1)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def make_basic(inside: int, outside: int, stride: int, opens: bool) -> nn.Module:
    """A `Block` of ResNet-18 and 34."""
    return Basic(inside, outside, stride)


def build_stage(block: Block, inside: int, outside: int, count: int, stride: int) -> nn.Sequential:
    """So many blocks, the first with the stride."""
    if count < 1:
        raise ValueError("a stage has one block or more")
    return nn.Sequential(*(block(outside if n else inside, outside, 1 if n else stride, n == 0) for n in range(count)))


def build_stages(
    blocks: Sequence[Block], inside: int, widths: Sequence[int], depths: Sequence[int], strides: Sequence[int]
) -> nn.ModuleList:
    """Stages one after the other, each with its block, channels, number of blocks and stride."""
    if not len(blocks) == len(widths) == len(depths) == len(strides):
        raise ValueError(
            f"{len(blocks)} stages need as many widths and depths; {len(widths)} and {len(depths)} are given"
        )
    starts = [inside, *widths[:-1]]
    return nn.ModuleList(map(build_stage, blocks, starts, widths, depths, strides))


def _shortcut(inside: int, outside: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inside == outside:
        return None
    return nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
