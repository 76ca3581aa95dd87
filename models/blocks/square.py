"""The eight symmetries of a square picture.

An element is a number 0..7: `turns + 4 * mirrored`; it mirrors the columns first (if mirrored), then turns by quarter
turns against the clock. Only `flip` and `rot90` are used, so every element is exact on the pixel grid.
"""

from __future__ import annotations

import torch

ELEMENTS = 8
TURNS_ONLY = (0, 1, 2, 3)


def apply_element(element: int, picture: torch.Tensor) -> torch.Tensor:
    """The picture (... h w) under the element: mirrored first, then turned."""
    turns, mirrored = element % 4, element >= 4
    moved = picture.flip(-1) if mirrored else picture
    return moved.rot90(turns, (-2, -1))


def undo_element(element: int, picture: torch.Tensor) -> torch.Tensor:
    """The picture (... h w) from before the element was applied: turned back first, then mirrored."""
    turns, mirrored = element % 4, element >= 4
    moved = picture.rot90(-turns, (-2, -1))
    return moved.flip(-1) if mirrored else moved


def blend_undone(weights: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Sum over elements of weight (b 8) times the picture (b c h w) with that element undone."""
    copies = torch.stack([undo_element(g, pictures) for g in range(ELEMENTS)], dim=1)
    return torch.einsum("bg,bgchw->bchw", weights, copies)


def blend_applied(weights: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Sum over elements of weight (b 8) times the picture (b c h w) under that element."""
    copies = torch.stack([apply_element(g, pictures) for g in range(ELEMENTS)], dim=1)
    return torch.einsum("bg,bgchw->bchw", weights, copies)
