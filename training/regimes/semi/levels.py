"""A filter of grey levels that keeps where a scan branches: parts of the max-tree without siblings take the level below them.

The tree's nodes are the connected parts of all voxels at or above a level; a node that is the only child of its parent only says
that something grows brighter, and goes. Source: dual structure-aware image filterings (DSAIF), by its description.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skimage.morphology import max_tree

Levels = npt.NDArray[np.uint8]


def keep_branches(levels: Levels) -> Levels:
    """The picture or volume (x y ...) whose nodes without siblings have the level of the nearest ancestor that is kept.

    Never brighter than before; filtering again changes nothing. Neighbours are those that share a face.
    """
    # skimage's tree takes no axis below three voxels; a border repeated is of the same parts
    wide = np.pad(levels, [(0, max(0, 3 - side)) for side in levels.shape], mode="edge")
    flat = wide.ravel()
    parent, _order = max_tree(wide, connectivity=1)
    above: npt.NDArray[np.intp] = np.asarray(parent, dtype=np.intp).ravel()
    places = np.arange(flat.size)
    is_node = (flat[above] != flat) | (above == places)
    node = np.where(is_node, places, above)
    nodes = places[is_node]
    root = nodes[above[nodes] == nodes]
    children = np.bincount(above[nodes], minlength=flat.size)
    children[root] -= 1  # the root is its own parent
    kept = children[above[nodes]] >= 2
    kept |= above[nodes] == nodes
    lead = places.copy()
    lead[nodes] = np.where(kept, nodes, above[nodes])
    while not np.array_equal(further := lead[lead], lead):
        lead = further
    found: Levels = flat[lead[node]].reshape(wide.shape)
    return found[tuple(slice(side) for side in levels.shape)]


def fill_branches(levels: Levels) -> Levels:
    """The same of the dark: never darker than before."""
    return (255 - keep_branches((255 - levels).astype(np.uint8))).astype(np.uint8)


def filtered(images: torch.Tensor, *, bright: bool) -> torch.Tensor:
    """Images (b c ...), each brought to 256 levels of its own, filtered by its bright or its dark parts, and brought back."""
    found = [_of_one(one, bright) for one in images.detach().flatten(0, 1).cpu().float().numpy()]
    return torch.from_numpy(np.stack(found)).reshape(images.shape).to(images)


def _of_one(image: npt.NDArray[Any], bright: bool) -> npt.NDArray[np.float32]:
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return image.astype(np.float32)
    levels = np.round((image - low) / (high - low) * 255).astype(np.uint8)
    kept = keep_branches(levels) if bright else fill_branches(levels)
    return (kept.astype(np.float32) / 255 * (high - low) + low).astype(np.float32)
