"""Residual blocks of nnU-Net's networks and of U-Mamba's decoder, for images and volumes, by the names of their checkpoints.

Source: MIC-DKFZ/dynamic-network-architectures (Apache-2.0), residual encoder; bowang-lab/U-Mamba (Apache-2.0), decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .layers import Steps, make_conv, make_instance_norm, per_axis
from .unet import LEAK


class ConvNorm(nn.Module):
    """A convolution, and where they are asked for InstanceNorm and LeakyReLU."""

    def __init__(
        self,
        dims: int,
        inside: int,
        outside: int,
        size: Steps,
        *,
        stride: Steps = 1,
        bias: bool = True,
        norm: bool = True,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = make_conv(dims, inside, outside, size, stride=stride, bias=bias)
        self.norm = make_instance_norm(dims, outside) if norm else nn.Identity()
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.norm(self.conv(x))
        return F.leaky_relu(x, LEAK) if self.act else x


class ResidualBlock(nn.Module):
    """nnU-Net's: two convolutions with norms; the way past them pools where there is a stride and maps where widths differ."""

    def __init__(self, dims: int, inside: int, outside: int, size: Steps, stride: Steps = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dims, inside, outside, size, stride=stride)
        self.conv2 = ConvNorm(dims, outside, outside, size, act=False)
        past: list[nn.Module] = []
        steps = per_axis(stride, dims)
        if max(steps) > 1:
            past.append(_Pool(steps))
        if inside != outside:
            past.append(ConvNorm(dims, inside, outside, 1, bias=False, act=False))
        self.skip = nn.Sequential(*past)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x), LEAK)


class _Pool(nn.Module):
    """Means of blocks, in float32: on a CPU torch has none of volumes in bfloat16."""

    def __init__(self, by: tuple[int, ...]) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = F.avg_pool2d if x.dim() == 4 else F.avg_pool3d
        means: torch.Tensor = pool(x.to(torch.promote_types(x.dtype, torch.float32)), self.by)
        return means.to(x.dtype)


class ProjectedBlock(nn.Module):
    """U-Mamba's: two convolutions with norms; the way past them is a convolution of one voxel with bias and without norm."""

    def __init__(self, dims: int, inside: int, outside: int, size: Steps, stride: Steps = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = (
            make_conv(dims, inside, outside, size, stride=stride),
            make_instance_norm(dims, outside),
        )
        self.conv2, self.norm2 = make_conv(dims, outside, outside, size), make_instance_norm(dims, outside)
        self.conv3 = make_conv(dims, inside, outside, 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        inner = F.leaky_relu(self.norm1(self.conv1(x)), LEAK)
        return F.leaky_relu(self.norm2(self.conv2(inner)) + self.conv3(x), LEAK)


class Grow(nn.Module):
    """Nearest neighbours `stride` times as many along each axis, then a convolution of one voxel, whose weights fit any stride."""

    def __init__(self, dims: int, inside: int, outside: int, stride: Steps) -> None:
        super().__init__()
        self.stride, self.conv = [float(n) for n in per_axis(stride, dims)], make_conv(dims, inside, outside, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        mapped: torch.Tensor = self.conv(x)  # commutes with repeating voxels, and is cheaper before
        return F.interpolate(mapped, scale_factor=self.stride, mode="nearest")


def check_stages(dims: int, widths: Sequence[int], sizes: Sequence[Steps], strides: Sequence[Steps]) -> tuple[int, ...]:
    """For each axis the product of the stages' strides.

    Raises:
        ValueError: sizes or strides are not as many as widths, a size is even, the first stride is not 1, or there is one stage only.
    """
    if len(widths) < 2 or not len(widths) == len(sizes) == len(strides):
        raise ValueError("widths, kernels and strides: one for each stage, two stages or more")
    steps = [per_axis(one, dims) for one in strides]
    if max(steps[0]) > 1:
        raise ValueError("strides: the first stage keeps the sides, 1")
    if any(side % 2 == 0 for size in sizes for side in per_axis(size, dims)):
        raise ValueError("kernels: odd sides")
    whole = [1] * dims
    for step in steps:
        whole = [a * b for a, b in zip(whole, step, strict=True)]
    return tuple(whole)
