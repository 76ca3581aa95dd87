"""What a request will take, in memory, told before it starts. Torch-free.

The peak of a bundled network is one of three moments: a tile in the network, views of the scan being averaged, or words
being answered. The parts that scale with the image are counted below; what a process holds before it has seen one is the
card's `memory_mb`. `ostensor bench memory` puts both beside what processes really took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..imaging.geometry import reorient_array
from ..imaging.volume import Grid
from .card import Card
from .inference.preprocess import Preparation, working_grid
from .inference.windows import MAX_TILE_VOXELS

SCAN_BYTES = 8  # of a voxel of the scan: a copy in float32, and the same in the normal order or resampled
PLAIN_BYTES = 90  # of a voxel of the scan where nothing is known of the network: features, copies and masks, rounded up
PREPARED_BYTES = 12  # of a voxel on the network's grid: the prepared scan, its part, and what is resampled
FEATURE_BYTES = 2  # of a feature: half precision
ANSWER_BYTES = 4 * 8  # of a voxel: eight words are answered at once, in float32
MASK_BYTES = 1
TILE_BYTES = (
    7  # of a voxel in a tile, for each channel of the finest level, joined ones counted twice; fitted with bf16
)


def request_mb(card: Card, grid: Grid, words: int = 1) -> int:
    """Memory of a process that answers a request, in MB.

    Args:
        words: how many masks are asked for at once.
    """
    scan = math.prod(grid.shape)
    network, preparation = card.facts.get("network"), card.facts.get("preparation")
    if not (network and preparation and "embed" in network):
        return card.memory_mb + scan * PLAIN_BYTES // 1_000_000
    how = Preparation.from_json(preparation)
    turned = reorient_array(np.broadcast_to(np.uint8(0), grid.shape), grid, "RAS")[1] if how.canonical else grid
    seen = math.prod(working_grid(turned, how).shape)
    features = seen * network["embed"] * FEATURE_BYTES
    views = len(card.facts.get("views", ()))
    looking = _tile_voxels(network, seen, working_grid(turned, how).shape) * _tile_bytes(card)
    averaging = 3 * features if views else 0  # one view more, and its share in float32
    answering = seen * ANSWER_BYTES + scan * MASK_BYTES * words
    flat = how.dims == 2 and "backbone" not in network
    most = max(averaging if flat else looking, answering)
    return card.memory_mb + int(scan * SCAN_BYTES + seen * PREPARED_BYTES + features + most) // 1_000_000


def _tile_voxels(network: Mapping[str, Any], seen: int, shape: Sequence[int]) -> int:
    """Voxels that the network looks at together: four slices, a window, or the largest tile."""
    if network["dims"] == 2:
        return 4 * shape[0] * shape[1]
    return math.prod(network["window"]) if network.get("window") else min(seen, MAX_TILE_VOXELS)


def _tile_bytes(card: Card) -> int:
    """Of each of them; of a backbone as it was measured when it was exported."""
    network = card.facts["network"]
    if "backbone" in network:
        return int(card.facts["tile_bytes"])
    return int(TILE_BYTES * (2 * network["features"][0] + network["finest"]))
