"""Convolutions, norms and pools for images and volumes alike, so that a network is written once for both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

Steps = int | Sequence[int]
"""One number for all axes, or one for each."""


def per_axis(value: Steps, dims: int) -> tuple[int, ...]:
    """The number for each of `dims` axes.

    Raises:
        ValueError: there are more or fewer, or one is below 1.
    """
    found = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(found) != dims or any(one < 1 for one in found):
        raise ValueError(f"{value} gives no whole number from 1 up for each of {dims} axes")
    return found


def make_conv(
    dims: int, inside: int, outside: int, size: Steps = 3, *, stride: Steps = 1, bias: bool = True, groups: int = 1
) -> nn.Module:
    """A convolution padded with zeros so that at stride 1 an odd `size` keeps the sides."""
    sizes = per_axis(size, dims)
    made = nn.Conv2d if dims == 2 else nn.Conv3d
    padding = tuple(one // 2 for one in sizes)
    return made(inside, outside, sizes, per_axis(stride, dims), padding, groups=groups, bias=bias)  # type: ignore[arg-type]  # torch names 2 or 3 numbers


def make_transposed(dims: int, inside: int, outside: int, by: Steps, *, bias: bool = True) -> nn.Module:
    """A transposed convolution that multiplies the sides by `by`, without overlap."""
    steps = per_axis(by, dims)
    made = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
    return made(inside, outside, steps, steps, bias=bias)  # type: ignore[arg-type]  # torch names 2 or 3 numbers


def make_batch_norm(dims: int, width: int) -> nn.Module:
    """BatchNorm, eps 1e-5."""
    return nn.BatchNorm2d(width) if dims == 2 else nn.BatchNorm3d(width)


def make_instance_norm(dims: int, width: int) -> nn.Module:
    """InstanceNorm with scale and shift, eps 1e-5; refuses maps of one voxel."""
    return nn.InstanceNorm2d(width, affine=True) if dims == 2 else nn.InstanceNorm3d(width, affine=True)


def max_pool(x: torch.Tensor, by: Steps = 2) -> torch.Tensor:
    """The greatest of each block of (b c ...)."""
    steps = per_axis(by, x.dim() - 2)
    return F.max_pool2d(x, steps) if x.dim() == 4 else F.max_pool3d(x, steps)
