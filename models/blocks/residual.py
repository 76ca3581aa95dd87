"""Residual blocks of nnU-Net's networks and of U-Mamba's decoder, by the names of their checkpoints.

Source: MIC-DKFZ/dynamic-network-architectures (Apache-2.0), residual encoder; bowang-lab/U-Mamba (Apache-2.0), decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

LEAK = 0.01  # slope of LeakyReLU; Source: Isensee et al. 2021 (nnU-Net)
Axes = tuple[int, ...]


def per_axis(value: int | Sequence[int], dims: int) -> Axes:
    """A number for each axis from one for all, or from those given.

    Raises:
        ValueError: another number of them, or one below 1.
    """
    axes = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(axes) != dims or min(axes) < 1:
        raise ValueError(f"{value}: one number from 1 up, or {dims} of them")
    return axes


def conv(dims: int, inside: int, outside: int, kernel: Axes, **more: Any) -> nn.Conv2d | nn.Conv3d:
    """A convolution that keeps the sides, but for its stride."""
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(inside, outside, kernel, padding=tuple(side // 2 for side in kernel), **more)  # type: ignore[arg-type]  # as many as axes


def instance_norm(dims: int, width: int) -> nn.Module:
    """InstanceNorm that scales and shifts."""
    return (nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d)(width, affine=True)


class ConvNorm(nn.Module):
    """A convolution, and where they are asked for InstanceNorm and LeakyReLU."""

    def __init__(
        self,
        dims: int,
        inside: int,
        outside: int,
        kernel: Axes,
        *,
        stride: Axes | int = 1,
        bias: bool = True,
        norm: bool = True,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = conv(dims, inside, outside, kernel, stride=stride, bias=bias)
        self.norm = instance_norm(dims, outside) if norm else nn.Identity()
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.norm(self.conv(x))
        return F.leaky_relu(x, LEAK) if self.act else x


class ResidualBlock(nn.Module):
    """nnU-Net's: two convolutions with norms; the way past them pools where there is a stride and maps where widths differ."""

    def __init__(self, dims: int, inside: int, outside: int, kernel: Axes, stride: Axes | int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dims, inside, outside, kernel, stride=stride)
        self.conv2 = ConvNorm(dims, outside, outside, kernel, act=False)
        past: list[nn.Module] = []
        strides = per_axis(stride, dims)
        if max(strides) > 1:
            pool = nn.AvgPool2d if dims == 2 else nn.AvgPool3d
            past.append(pool(strides, strides))  # type: ignore[arg-type]  # as many as axes
        if inside != outside:
            past.append(ConvNorm(dims, inside, outside, (1,) * dims, bias=False, act=False))
        self.skip = nn.Sequential(*past)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x), LEAK)


class ProjectedBlock(nn.Module):
    """U-Mamba's: two convolutions with norms; the way past them is a convolution of one voxel with bias and without norm."""

    def __init__(self, dims: int, inside: int, outside: int, kernel: Axes, stride: Axes | int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(dims, inside, outside, kernel, stride=stride), instance_norm(dims, outside)
        self.conv2, self.norm2 = conv(dims, outside, outside, kernel), instance_norm(dims, outside)
        self.conv3 = conv(dims, inside, outside, (1,) * dims, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        inner = F.leaky_relu(self.norm1(self.conv1(x)), LEAK)
        return F.leaky_relu(self.norm2(self.conv2(inner)) + self.conv3(x), LEAK)


class Grow(nn.Module):
    """Nearest neighbours `stride` times as many along each axis, then a convolution of one voxel, whose weights fit any stride."""

    def __init__(self, dims: int, inside: int, outside: int, stride: Axes) -> None:
        super().__init__()
        self.stride, self.conv = stride, conv(dims, inside, outside, (1,) * dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        mapped: torch.Tensor = self.conv(x)  # commutes with repeating voxels, and is cheaper before
        return F.interpolate(mapped, scale_factor=tuple(float(n) for n in self.stride), mode="nearest")


def stages_of(
    dims: int, widths: Sequence[int], kernels: Sequence[Any], strides: Sequence[Any]
) -> tuple[list[Axes], list[Axes], Axes]:
    """Kernels and strides for each stage and axis, and for each axis the product of the strides.

    Raises:
        ValueError: not as many as stages, an even kernel, a first stride above 1, or fewer than two stages.
    """
    if len(widths) < 2 or not len(widths) == len(kernels) == len(strides):
        raise ValueError("widths, kernels and strides: one for each stage, two stages or more")
    sizes, steps = [per_axis(one, dims) for one in kernels], [per_axis(one, dims) for one in strides]
    if max(steps[0]) > 1:
        raise ValueError("strides: the first stage keeps the sides, 1")
    if any(side % 2 == 0 for size in sizes for side in size):
        raise ValueError("kernels: odd sides")
    whole = [1] * dims
    for step in steps:
        whole = [a * b for a, b in zip(whole, step, strict=True)]
    return sizes, steps, tuple(whole)
