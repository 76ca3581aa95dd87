"""Clicks and boxes as a person would make them, in two or three dimensions. Torch-free.

Source: Wong et al. 2024 (ScribblePrompt), arXiv 2312.07381, halleewong/ScribblePrompt, Apache-2.0, read for its rules and written anew.
Its released boxes all begin at (0, 0), since the minimum is taken over a map padded with zeros; here it is taken over the
structure's own pixels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ....imaging.volume import BoolArray
from ....models.interface import Prompt

JITTER = 5  # pixels a side of a box is moved at most. Source: ScribblePrompt
JITTER_SHARE = 0.15  # and no more than this of the box; ours, or a box of 4 pixels could miss the structure
Sort = Literal["any", "centre", "border"]
SORTS: tuple[Sort, ...] = ("any", "centre", "border")


def click(region: BoolArray, positive: bool, rng: np.random.Generator, sort: Sort = "any") -> Prompt:
    """A point in a region that is not empty.

    Args:
        sort: "any" pixel of it, the "centre" of one of its parts, or in a "border" of chance width.
    """
    if sort == "centre":
        labels, count = ndimage.label(region)
        return centre_click(labels == 1 + int(rng.integers(count)), positive)
    if sort == "border":
        deep = depth(region)
        region = region & (deep <= rng.uniform(1, max(1.0, float(deep.max()))))
    places = np.flatnonzero(region)
    at = np.unravel_index(places[int(rng.integers(len(places)))], region.shape)
    return _point(at, positive)


def centre_click(region: BoolArray, positive: bool) -> Prompt:
    """The point of the largest part of a region that is furthest from its rim; the first where several are."""
    labels, count = ndimage.label(region)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        region = labels == int(sizes.argmax())
    around = ndimage.find_objects(region.astype(np.uint8))[0]
    inside = np.unravel_index(int(depth(region[around]).argmax()), region[around].shape)
    return _point([place + part.start for place, part in zip(inside, around, strict=True)], positive)


def error_click(truth: BoolArray, answer: BoolArray) -> Prompt | None:
    """The centre of the largest error: meant where it is missed, not meant where it is too much; None where all is right."""
    wrong = truth != answer
    if not wrong.any():
        return None
    missed, extra = truth & ~answer, answer & ~truth
    best, size = missed, 0
    for region in (missed, extra):
        labels, count = ndimage.label(region)
        largest = int(np.bincount(labels.ravel())[1:].max()) if count else 0
        if largest > size:
            best, size = region, largest
    return centre_click(best, best is missed)


def box(mask: BoolArray, rng: np.random.Generator | None = None) -> Prompt:
    """The box of a mask that is not empty; with `rng` every side is moved by up to 5 pixels, never out of the picture."""
    sides = []
    for axis, length in enumerate(mask.shape):
        taken = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        low, high = int(taken[0]), int(taken[-1]) + 1
        if rng is not None:
            most = min(JITTER, JITTER_SHARE * (high - low))
            low, high = (round(end + rng.uniform(-most, most)) for end in (low, high))
        low = min(max(low, 0), length - 1)
        sides.append((low, min(max(high, low + 1), length)))
    return Prompt("box", box=tuple(sides))


def depth(region: BoolArray) -> npt.NDArray[np.float64]:
    """Distance of every pixel to the outside of a region; beyond the picture is outside, but not beyond a single slice."""
    widths = [int(side > 1) for side in region.shape]
    padded = np.pad(region, [(width, width) for width in widths])
    inner = tuple(slice(width, side + width) for width, side in zip(widths, region.shape, strict=True))
    return np.asarray(ndimage.distance_transform_edt(padded)[inner], dtype=np.float64)


def _point(at: Any, positive: bool) -> Prompt:
    return Prompt("point", positive, at=tuple(int(one) for one in at))
