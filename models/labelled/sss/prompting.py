"""Boxes out of a network's own guess: a window slides over it, and only windows that could be part of one structure count.

Part of SSS (network.py), which calls this a prompt generator with physical constraints and a sliding window (PCSW). Its equations were never
published; which constraints there are and all numbers are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage


@dataclass(frozen=True)
class Constraints:
    """What a window must fulfil; all ours.

    Attributes:
        window: its side as a share of the map's; it moves by half of itself.
        sure: mean probability of the structure inside it, over the pixels of the structure.
        filled: share of it that the structure fills.
        margin: around the box, as a share of the map's side.
    """

    window: float = 0.25
    sure: float = 0.7
    filled: float = 0.1
    margin: float = 0.03


@dataclass(frozen=True)
class Boxes:
    """One box for each structure of each picture.

    Attributes:
        corners: (b structures 4) column, row of one corner, then of the opposite one, as shares of the side.
        there: (b structures) False where no window counts; its corners mean nothing then.
    """

    corners: torch.Tensor
    there: torch.Tensor


def find_boxes(probabilities: torch.Tensor, how: Constraints | None = None) -> Boxes:
    """Boxes around what windows hold that are sure, filled and next to each other.

    Args:
        probabilities: (b 1+structures n n), the first of what is nothing.
    """
    how = how or Constraints()
    best = probabilities.argmax(1)
    b, count, n, _ = probabilities.shape
    corners = probabilities.new_zeros(b, count - 1, 4)
    there = torch.zeros(b, count - 1, dtype=torch.bool, device=probabilities.device)
    for picture in range(b):
        for structure in range(1, count):
            mask = best[picture] == structure
            kept = mask & _cover(mask, probabilities[picture, structure], how)
            if bool(kept.any()):
                rows, columns = kept.any(1).nonzero().flatten(), kept.any(0).nonzero().flatten()
                ends = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).to(corners) / n
                ends = ends + how.margin * torch.tensor([-1.0, -1.0, 1.0, 1.0]).to(corners)
                corners[picture, structure - 1] = ends.clamp(0, 1)
                there[picture, structure - 1] = True
    return Boxes(corners, there)


def _cover(mask: torch.Tensor, probability: torch.Tensor, how: Constraints) -> torch.Tensor:
    """Where the largest group of windows lies that count and touch each other."""
    n = len(mask)
    side = max(2, round(how.window * n))
    step = side // 2
    edge = (-(n - side)) % step  # the last windows may stick out; nothing is there
    both = F.pad(torch.stack([mask.float(), mask.float() * probability])[None], (0, edge, 0, edge))
    filled, sure = F.avg_pool2d(both, side, step)[0]
    counts = (filled >= how.filled) & (sure >= how.sure * filled)
    groups, number = ndimage.label(counts.cpu().numpy(), structure=np.ones((3, 3)))
    covered = torch.zeros_like(mask)
    if not number:
        return covered
    area = ndimage.sum_labels(filled.cpu().numpy(), groups, np.arange(1, number + 1))
    for row, column in zip(*np.nonzero(groups == 1 + int(np.argmax(area))), strict=True):
        covered[row * step : row * step + side, column * step : column * step + side] = True
    return covered
