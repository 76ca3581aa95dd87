"""Scans kept in memory for training in volumes, and a random view of one with one structure in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...imaging.volume import BoolArray
from .pictures import TRIES, Drawn, painted, varied
from .pool import WINDOWS_HU, page_values, seed_of
from .sets import SETS, Labelled, is_kept_out

log = logging.getLogger(__name__)
LEAST = 40  # voxels of a structure in the view; smaller ones are drawn anew
SMALLEST = 8.0  # voxels a structure's longest side has in the view at least
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Block:
    """A scan in grey values from 0 to 255 with its labels (x y z); without a scan it is painted.

    Attributes:
        boxes: of each label, from 1 on; None where it is absent.
    """

    image: npt.NDArray[np.uint8] | None
    labels: npt.NDArray[np.uint8]
    boxes: tuple[tuple[slice, ...] | None, ...]
    exact: bool


def blocks(name: str, data: Path, most: int) -> list[Block]:
    """At most so many scans of a set's patients that are not kept out; a CT in two windows."""
    rng = np.random.default_rng(seed_of(name))
    scans = [one for one in SETS[name].all(data) if not is_kept_out(one.patient) and one.labels.ndim == 3]
    found = [_block(scans[i], rng) for i in rng.permutation(len(scans))[:most]]
    if SETS[name].modality == "ct":
        found += [_block(scans[i], rng) for i in rng.permutation(len(scans))[:most]]
    log.info("%s: %d scans", name, len(found))
    return [one for one in found if any(one.boxes)]


def _block(scan: Labelled, rng: np.random.Generator) -> Block:
    values, numbered = np.unique(scan.labels, return_inverse=True)
    labels = np.minimum(numbered.reshape(scan.labels.shape) + (values[0] != 0), 255).astype(np.uint8)
    image = scan.image
    if image is not None and scan.holds_ct:
        image = np.clip(image, *WINDOWS_HU[int(rng.integers(len(WINDOWS_HU)))])
    grey = None if image is None else (page_values(image) * 255).astype(np.uint8)
    return Block(grey, labels, tuple(ndimage.find_objects(labels)), scan.exact)


def draw_block(block: Block, size: int, rng: np.random.Generator) -> Drawn:
    """A view of `size` voxels per side, turned, stretched and enlarged by chance."""
    present = [number for number, one in enumerate(block.boxes, start=1) if one is not None]
    for _ in range(TRIES):
        label = int(rng.choice(present))
        around = block.boxes[label - 1]
        assert around is not None
        part = _part(block.labels[around] == label, rng)
        taken = np.argwhere(part) + [one.start for one in around]
        matrix, offset = _view(taken, size, rng)
        lower, window = _window(matrix, offset, size, block.labels.shape)
        if min(np.array(block.labels[window].shape)) < 2:
            continue
        target = np.zeros(block.labels[window].shape, np.uint8)
        inside = taken - lower
        inside = inside[((inside >= 0) & (inside < target.shape)).all(axis=1)]
        target[tuple(inside.T)] = 1
        moved = offset - lower
        seen = ndimage.affine_transform(target, matrix, moved, (size,) * 3, order=0) > 0
        if seen.sum() < LEAST or seen.mean() > 0.7:
            continue
        return Drawn(varied(_image(block, window, matrix, moved, size, rng), rng), seen)
    raise ValueError("a block without a structure of a fair size")


def _part(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """All of it, or one connected part."""
    if rng.random() < 0.5:
        return mask
    parts, count = ndimage.label(mask)
    areas = np.bincount(parts.ravel())[1:]
    return np.asarray(parts == 1 + int(rng.choice(count, p=areas / areas.sum())))


def _view(taken: Array, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Matrix and offset from the view's voxels to the scan's."""
    extent = float((taken.max(0) - taken.min(0) + 1).max())
    wanted = np.exp(rng.uniform(np.log(SMALLEST), np.log(0.9 * size)))
    zoom = float(np.clip(wanted / extent, 0.4, 2.5)) if rng.random() < 0.7 else float(np.exp(rng.normal(0, 0.1)))
    spread = np.pi if rng.random() < 0.2 else 0.2
    turn = Rotation.from_rotvec(rng.normal(0, spread / 2, size=3)).as_matrix()
    turn = turn @ np.diag(rng.choice([-1.0, 1.0], size=3) * np.exp(rng.normal(0, 0.15, size=3)))
    matrix = turn[:, rng.permutation(3)] / zoom
    room = max(0.0, size - extent * zoom) / zoom / 2
    middle = (taken.max(0) + taken.min(0)) / 2 + rng.uniform(-0.7, 0.7, size=3) * room
    return matrix, middle - matrix @ np.full(3, (size - 1) / 2)


def _window(matrix: Array, offset: Array, size: int, shape: tuple[int, ...]) -> tuple[Array, tuple[slice, ...]]:
    """The part of the scan a view touches: its lower corner, and slices."""
    corners = np.stack(np.meshgrid(*[[0, size - 1]] * 3, indexing="ij"), -1).reshape(-1, 3) @ matrix.T + offset
    low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, np.array(shape) - 1)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 1, shape)
    return low, tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _image(
    block: Block, window: tuple[slice, ...], matrix: Array, offset: Array, size: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    if block.image is not None and not (block.exact and rng.random() < 0.3):
        part = block.image[window].astype(np.float32) / 255
        return np.asarray(ndimage.affine_transform(part, matrix, offset, (size,) * 3, order=1))
    labels = ndimage.affine_transform(block.labels[window], matrix, offset, (size,) * 3, order=0)
    return painted(labels, rng)
