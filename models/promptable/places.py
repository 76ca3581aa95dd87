"""Where a slice lies in a network's square picture: stretched, fitted into a corner, or in the middle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Placing:
    """A slice brought to `sides` pixels and laid into a black square at `start`.

    Attributes:
        shape: rows and columns of the slice.
        sides: rows and columns it has in the square.
        start: first row and column there.
        size: of the square.
    """

    shape: tuple[int, int]
    sides: tuple[int, int]
    start: tuple[int, int]
    size: int

    def move(self, places: torch.Tensor) -> torch.Tensor:
        """Places (... 2) of the slice, rows and columns, in the square; whole numbers are the middles of pixels."""
        share = torch.tensor([new / old for new, old in zip(self.sides, self.shape, strict=True)])
        return (places + 0.5) * share + torch.tensor(self.start) - 0.5

    def lay(self, picture: torch.Tensor, *, nearest: bool = False) -> torch.Tensor:
        """The square (... size size) with the slice (... rows columns) in it, smoothed where it shrinks."""
        lead, flat = picture.shape[:-2], picture.reshape(1, -1, *self.shape)
        if nearest:
            fitted = F.interpolate(flat, size=self.sides, mode="nearest")
        else:
            fitted = F.interpolate(flat, size=self.sides, mode="bilinear", align_corners=False, antialias=True)
        square = fitted.new_zeros(*fitted.shape[:2], self.size, self.size)
        square[..., self._rows(), self._columns()] = fitted
        return square.reshape(*lead, self.size, self.size)

    def lift(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (side side) of the square, of any side, on the slice (rows columns); a whole number of times finer ones stay so."""
        whole, finer = logits[None, None], max(1, logits.shape[-1] // self.size)
        if whole.shape[-1] != finer * self.size:
            whole = F.interpolate(whole, size=(self.size, self.size), mode="bilinear", align_corners=False)
            finer = 1
        rows, columns = (slice(finer * part.start, finer * part.stop) for part in (self._rows(), self._columns()))
        part = whole[..., rows, columns]
        return F.interpolate(part, size=self.shape, mode="bilinear", align_corners=False)[0, 0]

    def _rows(self) -> slice:
        return slice(self.start[0], self.start[0] + self.sides[0])

    def _columns(self) -> slice:
        return slice(self.start[1], self.start[1] + self.sides[1])


def stretch(shape: tuple[int, int], size: int) -> Placing:
    """Both axes fill the square; the ratio of the sides is lost."""
    return Placing(shape, (size, size), (0, 0), size)


def fit_longest(shape: tuple[int, int], size: int) -> Placing:
    """The longer axis fills the square, the slice lies top left. Source: facebookresearch/segment-anything, ResizeLongestSide."""
    share = size / max(shape)
    rows, columns = (max(1, int(side * share + 0.5)) for side in shape)
    return Placing(shape, (rows, columns), (0, 0), size)


def centre_or_stretch(shape: tuple[int, int], size: int) -> Placing:
    """In the middle as it is where both sides are smaller than the square, else stretched. Source: OpenGVLab/SAM-Med2D, Apache-2.0."""
    if max(shape) >= size:
        return stretch(shape, size)
    return Placing(shape, shape, ((size - shape[0]) // 2, (size - shape[1]) // 2), size)
