"""Scribbles as a person would draw them in a picture: lines, centre-lines, contours, broken and warped. Torch-free.

Source: Wong et al. 2024 (ScribblePrompt), arXiv 2312.07381, written anew. In a volume a scribble lies in one slice.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage
from skimage.draw import line as pixels_of_line
from skimage.morphology import skeletonize

from ....imaging.volume import BoolArray
from ....models.interface import Prompt

Sort = Literal["line", "centre", "contour"]
SORTS: tuple[Sort, ...] = ("line", "centre", "contour")
SMOOTH = (4.0, 16.0)  # sigma of the field that warps, pixels; Source: ScribblePrompt
MAGNITUDE = (1.0, 6.0)  # of that field, pixels; Source: ScribblePrompt
BLUR = (5.0, 20.0)  # sigma under a contour; Source: ScribblePrompt


def scribble(region: BoolArray, positive: bool, rng: np.random.Generator, sort: Sort | None = None) -> Prompt:
    """A scribble in a region that is not empty, and nowhere else."""
    if region.ndim == 3:
        return _in_a_slice(region, positive, rng, sort)
    around = _around(region)
    part = region[around]
    sort = sort or SORTS[int(rng.integers(3))]
    drawn = {"line": _lines, "centre": _centre_line, "contour": _contour}[sort](part, rng)
    if sort != "line":
        drawn = _kept(_broken(drawn, rng), drawn)
    drawn = _kept(_warped(drawn, rng) & part, drawn & part)
    if not drawn.any():
        drawn = _lines(part, rng) & part
    whole = np.zeros_like(region)
    whole[around] = drawn
    return Prompt("scribble", positive, array=whole)


def _in_a_slice(region: BoolArray, positive: bool, rng: np.random.Generator, sort: Sort | None) -> Prompt:
    axis = int(rng.integers(3))
    areas = region.sum(axis=tuple(other for other in range(3) if other != axis))
    number = int(rng.choice(len(areas), p=areas / areas.sum()))
    index: list[slice | int] = [slice(None)] * 3
    index[axis] = number
    whole = np.zeros_like(region)
    whole[tuple(index)] = scribble(region[tuple(index)], positive, rng, sort).array
    return Prompt("scribble", positive, array=whole)


def _lines(region: BoolArray, rng: np.random.Generator) -> BoolArray:
    """One to three lines between pixels of the region; at least their ends lie in it."""
    places = np.argwhere(region)
    drawn = np.zeros_like(region)
    for _ in range(int(rng.integers(1, 4))):
        first, last = places[rng.integers(len(places), size=2)]
        drawn[pixels_of_line(*first, *last)] = True
    return drawn


def _centre_line(region: BoolArray, rng: np.random.Generator) -> BoolArray:
    return np.asarray(skeletonize(region))


def _contour(region: BoolArray, rng: np.random.Generator) -> BoolArray:
    """A line inside along the rim: the edge of what a blurred outside leaves below a chance height."""
    sigma = min(rng.uniform(*BLUR), max(1.0, min(region.shape) / 6))
    blurred = ndimage.gaussian_filter((~np.pad(region, 1)).astype(np.float32), sigma, truncate=2.0)[1:-1, 1:-1]
    inside = blurred[region]
    kept = region & (blurred <= rng.uniform(float(inside.min()), float(inside.max())))
    return np.asarray(kept & ~ndimage.binary_erosion(kept))


def _broken(drawn: BoolArray, rng: np.random.Generator) -> BoolArray:
    noise = ndimage.gaussian_filter(rng.normal(size=drawn.shape), rng.uniform(*SMOOTH))
    return np.asarray(drawn & (noise > np.quantile(noise, rng.uniform(0.1, 0.6))))


def _warped(drawn: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Moved by a smooth field, and as thick as a pixel again."""
    places = np.argwhere(drawn)
    sigma, size = rng.uniform(*SMOOTH), rng.uniform(*MAGNITUDE)
    moved = np.zeros_like(drawn)
    shift = np.stack([ndimage.gaussian_filter(rng.normal(size=drawn.shape), sigma) for _ in range(2)])
    shift *= size / max(float(np.abs(shift).max()), 1e-6)
    at = np.round(places + shift[:, places[:, 0], places[:, 1]].T).astype(int)
    at = at[((at >= 0) & (at < drawn.shape)).all(axis=1)]
    moved[at[:, 0], at[:, 1]] = True
    return np.asarray(ndimage.binary_closing(np.pad(moved, 2), np.ones((3, 3)))[2:-2, 2:-2])


def _kept(changed: BoolArray, before: BoolArray) -> BoolArray:
    """The changed one, undone where nothing is left of it."""
    return changed if changed.any() else before


def _around(region: BoolArray) -> tuple[slice, ...]:
    found: tuple[slice, ...] = ndimage.find_objects(region.astype(np.uint8))[0]
    return found
