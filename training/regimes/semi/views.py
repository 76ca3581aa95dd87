"""Other views of a batch: boxes and crops, noise, and axes in another order. Chance comes from the generator alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
import torch

Where = tuple[slice, ...]


def at(x: torch.Tensor, where: Where) -> torch.Tensor:
    """What lies in a box of the last axes; a view of it."""
    places: tuple[EllipsisType | slice, ...] = (..., *where)
    return x[places]


def random_box(sides: Sequence[int], shares: Sequence[float], rng: np.random.Generator) -> Where:
    """A box that takes these shares of the sides (rounded down, one voxel at least), anywhere inside."""
    lengths = [max(1, int(side * share)) for side, share in zip(sides, shares, strict=True)]
    starts = [int(rng.integers(0, side - length + 1)) for side, length in zip(sides, lengths, strict=True)]
    return tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))


def hole(sides: Sequence[int], where: Where, like: torch.Tensor) -> torch.Tensor:
    """Ones of these sides with zeros in a box."""
    mask = torch.ones(*sides, device=like.device)
    mask[where] = 0
    return mask


@dataclass(frozen=True)
class Crops:
    """Two crops of one size that overlap.

    Attributes:
        first, second: where they lie in the image.
        in_first, in_second: where what both show lies in each.
    """

    first: Where
    second: Where
    in_first: Where
    in_second: Where


def overlapping(sides: Sequence[int], share: float, rng: np.random.Generator) -> Crops:
    """Two crops of a share of the sides; above a half they must overlap."""
    shares = [share] * len(sides)
    first, second = random_box(sides, shares, rng), random_box(sides, shares, rng)
    both = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    seen = [
        tuple(slice(low - one.start, high - one.start) for (low, high), one in zip(both, crop, strict=True))
        for crop in (first, second)
    ]
    return Crops(first, second, seen[0], seen[1])


def noisy(images: torch.Tensor, reach: float, rng: np.random.Generator) -> torch.Tensor:
    """Images with something between -reach and reach added to every voxel."""
    return images + torch.from_numpy(rng.uniform(-reach, reach, tuple(images.shape))).to(images)


def shaken(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Images of other contrast (0.8 to 1.2), brightness (0.2 up or down) and noise (0.1), each image its own; our choice."""
    tail = [1] * (images.dim() - 1)
    contrast, brightness = (rng.uniform(-0.2, 0.2, (len(images), *tail)) for _ in range(2))
    noise = 0.1 * rng.standard_normal(tuple(images.shape))
    return images * torch.from_numpy(1 + contrast).to(images) + torch.from_numpy(brightness + noise).to(images)


def views_of(dims: int) -> int:
    """How many ways `turn` knows."""
    return 4 if dims == 2 else 3


def turn(x: torch.Tensor, view: int, dims: int) -> torch.Tensor:
    """The last axes in another order: quarter turns of a picture, the axes of a volume moved on by `view`."""
    if dims == 2:
        return torch.rot90(x, view, (-2, -1))
    return x.permute(*range(x.dim() - 3), *(x.dim() - 3 + (axis + view) % 3 for axis in range(3)))


def turn_back(x: torch.Tensor, view: int, dims: int) -> torch.Tensor:
    """The inverse of `turn`."""
    return turn(x, -view % views_of(dims), dims)
