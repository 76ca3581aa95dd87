"""A random view of a page, and one structure in it: what a batch is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import felzenszwalb

from ...imaging.volume import BoolArray
from .pool import Page

LEAST = 12  # pixels of a structure in the view; smaller ones are drawn anew
TRIES = 8
Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """A picture in [0, 1] and the structure that is meant."""

    image: Float
    mask: BoolArray


def draw(page: Page, size: int, rng: np.random.Generator, *, made: float = 0.2) -> Drawn:
    """A view of `size` pixels per side.

    Args:
        made: chance that the structure is a superpixel of the picture instead of a label. Source: ScribblePrompt, there 0.5.
    """
    for _ in range(TRIES):
        target = _target(page.labels, rng)
        matrix, offset = _view(target, size, rng)
        seen = ndimage.affine_transform(target.astype(np.uint8), matrix, offset, (size, size), order=0) > 0
        if seen.sum() < LEAST or seen.mean() > 0.9:
            continue
        image = _image(page, matrix, offset, size, rng)
        if rng.random() < made:
            piece = superpixel(image, rng)
            seen = seen if piece is None else piece
        return Drawn(varied(image, rng), seen)
    return Drawn(rng.random((size, size), dtype=np.float32), _disc(size, rng))


def _target(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> BoolArray:
    """One label, sometimes two at once, sometimes one connected part alone."""
    sizes = np.bincount(labels.ravel())
    known = [int(one) for one in np.flatnonzero(sizes) if one > 0]
    chosen = rng.choice(known, size=2 if len(known) > 3 and rng.random() < 0.1 else 1, replace=False)
    mask = np.isin(labels, chosen)
    if rng.random() < 0.4:
        parts, count = ndimage.label(mask)
        if count > 1:
            areas = np.bincount(parts.ravel())[1:]
            mask = parts == 1 + int(rng.choice(count, p=areas / areas.sum()))
    return np.asarray(mask)


def _view(target: BoolArray, size: int, rng: np.random.Generator) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Matrix and offset from the view's pixels to the page's: the page stretched to the square, then turned and enlarged.

    A structure fills a chance share of the view, from that of the whole page to most of it.
    """
    sides = np.array(target.shape, dtype=float)
    taken = np.argwhere(target)
    extent = (taken.max(0) - taken.min(0) + 1) / sides
    largest = max(1.0, 0.8 / float(extent.max()))
    zoom = (
        np.exp(rng.uniform(np.log(0.85), np.log(min(largest, 6.0)))) if rng.random() < 0.65 else rng.uniform(0.9, 1.2)
    )
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else rng.normal(0, 0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flips = np.diag(rng.choice([-1.0, 1.0], size=2))
    aspect = np.diag(np.exp(rng.normal(0, 0.12, size=2)))
    turn = turn @ flips @ aspect
    if rng.random() < 0.5:
        turn = turn[:, ::-1]
    matrix = np.diag(sides / size / zoom) @ turn
    away = rng.uniform(-0.5, 0.5, size=2) * max(0.0, 1 - float(extent.max()) * zoom) * sides / zoom
    middle = (taken.max(0) + taken.min(0)) / 2 + away
    if zoom < 1.25:
        middle = (sides - 1) / 2 + rng.normal(0, 0.05, size=2) * sides
    return matrix, middle - matrix @ np.full(2, (size - 1) / 2)


def _image(
    page: Page, matrix: npt.NDArray[Any], offset: npt.NDArray[Any], size: int, rng: np.random.Generator
) -> Float:
    """The picture in the view, or one painted from the labels there."""
    if page.image is not None and not (page.exact and rng.random() < 0.3):
        grey = ndimage.affine_transform(page.image.astype(np.float32), matrix, offset, (size, size), order=1)
        return _stretched(grey)
    labels = ndimage.affine_transform(page.labels, matrix, offset, (size, size), order=0)
    return painted(labels, rng)


def painted(labels: npt.NDArray[Any], rng: np.random.Generator) -> Float:
    """A picture of a label map: every label a chance grey, blurred and grained.

    Source: the idea of SynthSeg (Billot et al. 2023); numbers are ours.
    """
    count = int(labels.max()) + 1
    greys = rng.random(count, dtype=np.float32)
    grains = rng.uniform(0, 0.12, count).astype(np.float32)
    noise = ndimage.gaussian_filter(rng.normal(size=labels.shape).astype(np.float32), rng.uniform(0, 1.2))
    noise /= max(float(noise.std()), 1e-6)
    image = greys[labels] + grains[labels] * noise
    return _stretched(ndimage.gaussian_filter(image, rng.uniform(0.2, 1.2)))


def superpixel(image: Float, rng: np.random.Generator) -> BoolArray | None:
    """A connected piece of even brightness; None where the picture has none of a fair size.

    Source: Felzenszwalb and Huttenlocher 2004, as ScribblePrompt uses it.
    """
    pieces = felzenszwalb(image, scale=float(rng.uniform(20, 300)), sigma=0.8, min_size=20)
    sizes = np.bincount(pieces.ravel())
    fair = np.flatnonzero((sizes >= 30) & (sizes < 0.5 * image.size))
    return None if not len(fair) else np.asarray(pieces == rng.choice(fair))


def varied(image: Float, rng: np.random.Generator) -> Float:
    """Other contrast, brightness across the picture, blur and noise; values from 0 to 1 again."""
    if rng.random() < 0.15:
        image = 1 - image
    image = image ** np.float32(np.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.2:
        image = np.clip(image, rng.uniform(0, 0.15), rng.uniform(0.75, 1))
    if rng.random() < 0.25:
        coarse = rng.normal(0, 0.3, size=(3,) * image.ndim)
        steps = [side / 3 for side in image.shape]
        image = image * np.exp(ndimage.zoom(coarse, steps, order=1)).astype(np.float32)
    if rng.random() < 0.2:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2))
    if rng.random() < 0.4:
        image = image + rng.normal(0, rng.uniform(0, 0.08), size=image.shape).astype(np.float32)
    return _stretched(image)


def _stretched(image: npt.NDArray[Any]) -> Float:
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-6), dtype=np.float32)


def _disc(size: int, rng: np.random.Generator) -> BoolArray:
    middle, reach = rng.uniform(0.3, 0.7, size=2) * size, rng.uniform(0.1, 0.25) * size
    rows, columns = np.ogrid[:size, :size]
    return np.asarray((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= reach**2)
