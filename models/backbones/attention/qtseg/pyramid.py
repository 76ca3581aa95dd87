"""A pyramid of three maps as in YOLOv8, and the bridge by which each looks at the other two.

Source: the shape of YOLOv8-n as QTSeg has it (arXiv 2412.17241); written from its description.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Module):
    """A convolution without bias, BatchNorm and SiLU; the sides are divided by `stride`, rounded up."""

    def __init__(self, inside: int, outside: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.silu(self.bn(self.conv(x)))


class Transposed(nn.Module):
    """A transposed convolution of `factor` without bias, BatchNorm and SiLU."""

    def __init__(self, inside: int, outside: int, factor: int) -> None:
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(inside, outside, factor, factor, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.silu(self.bn(self.conv_transpose(x)))


class Pair(nn.Module):
    """Two convolutions, added to what came in where `added`."""

    def __init__(self, width: int, *, added: bool) -> None:
        super().__init__()
        self.cv1, self.cv2, self.added = Conv(width, width, 3), Conv(width, width, 3), added

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        seen: torch.Tensor = self.cv2(self.cv1(x))
        return x + seen if self.added else seen


class C2f(nn.Module):
    """Half the channels go through pairs of convolutions one after the other; all that was met on the way is joined."""

    def __init__(self, inside: int, outside: int, pairs: int = 1, *, added: bool = False) -> None:
        super().__init__()
        half = outside // 2
        self.cv1, self.cv2 = Conv(inside, 2 * half), Conv((2 + pairs) * half, outside)
        self.m = nn.ModuleList(Pair(half, added=added) for _ in range(pairs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        met = list(self.cv1(x).chunk(2, dim=1))
        for pair in self.m:
            met.append(pair(met[-1]))
        joined: torch.Tensor = self.cv2(torch.cat(met, dim=1))
        return joined


class SPPF(nn.Module):
    """Greatest values of windows of 5, 9 and 13, joined with what they were taken from."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(width, width // 2), Conv(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        met = [self.cv1(x)]
        for _ in range(3):
            met.append(F.max_pool2d(met[-1], 5, 1, 2))
        joined: torch.Tensor = self.cv2(torch.cat(met, dim=1))
        return joined


class Pyramid(nn.Module):
    """Maps at 1/8, 1/16 and 1/32 of an image, 4, 8 and 16 times `width` channels; parts bear their numbers in YOLOv8."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        n = width
        self.conv_0, self.conv_1, self.c2f_2 = (
            Conv(channels, n, 3, 2),
            Conv(n, 2 * n, 3, 2),
            C2f(2 * n, 2 * n, added=True),
        )
        self.conv_3, self.c2f_4 = Conv(2 * n, 4 * n, 3, 2), C2f(4 * n, 4 * n, 2, added=True)
        self.conv_5, self.c2f_6 = Conv(4 * n, 8 * n, 3, 2), C2f(8 * n, 8 * n, 2, added=True)
        self.conv_7, self.c2f_8 = Conv(8 * n, 16 * n, 3, 2), C2f(16 * n, 16 * n, added=True)
        self.sppf_9 = SPPF(16 * n)
        self.c2f_12, self.c2f_15 = C2f(24 * n, 8 * n), C2f(12 * n, 4 * n)
        self.conv_16, self.c2f_18 = Conv(4 * n, 4 * n, 3, 2), C2f(12 * n, 8 * n)
        self.conv_19, self.c2f_21 = Conv(8 * n, 8 * n, 3, 2), C2f(24 * n, 16 * n)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Three maps, finest first, of an image whose sides are multiples of 32."""
        eighth = self.c2f_4(self.conv_3(self.c2f_2(self.conv_1(self.conv_0(image)))))
        sixteenth = self.c2f_6(self.conv_5(eighth))
        last = self.sppf_9(self.c2f_8(self.conv_7(sixteenth)))
        down = self.c2f_12(torch.cat([_twice(last), sixteenth], dim=1))
        finest = self.c2f_15(torch.cat([_twice(down), eighth], dim=1))
        middle = self.c2f_18(torch.cat([self.conv_16(finest), down], dim=1))
        return [finest, middle, self.c2f_21(torch.cat([self.conv_19(middle), last], dim=1))]


def _twice(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Bridge(nn.Module):
    """Multi-level feature distribution: a half of each map is its own, a quarter comes from each of the others."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        a, b, c = widths
        self.neck_0_0, self.neck_0_1, self.neck_0_2 = (
            Conv(a, a // 2),
            Transposed(b, a // 4, 2),
            Transposed(c, a // 4, 4),
        )
        self.neck_1_0, self.neck_1_1, self.neck_1_2 = Conv(a, b // 4, 3, 2), Conv(b, b // 2), Transposed(c, b // 4, 2)
        self.neck_2_0, self.neck_2_1, self.neck_2_2 = Conv(a, c // 4, 3, 4), Conv(b, c // 4, 3, 2), Conv(c, c // 2)

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Maps of the same shapes."""
        a, b, c = maps
        return [
            torch.cat([self.neck_0_0(a), self.neck_0_1(b), self.neck_0_2(c)], dim=1),
            torch.cat([self.neck_1_0(a), self.neck_1_1(b), self.neck_1_2(c)], dim=1),
            torch.cat([self.neck_2_0(a), self.neck_2_1(b), self.neck_2_2(c)], dim=1),
        ]
