"""The trivial rival: one labelled scan copied over the new one, stretched to its body.

A network that does not beat it has learned nothing worth claiming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box, reorient_array, resample
from ...imaging.masks.dice import dice
from ...models.inference.preprocess import Preparation, prepare, working_grid
from ...models.inference.windows import body_box
from ..cases import Case

_TRIED = 12  # atlases tried, and training cases each is tried on


@dataclass(frozen=True)
class Placed:
    """Labels on the network's grid and the box of the body in them."""

    labels: npt.NDArray[np.uint8]
    body: Box


def placed(case: Case, how: Preparation) -> Placed:
    """The case's labels where its body lies."""
    labels, grid = reorient_array(case.labels, case.grid, "RAS") if how.canonical else (case.labels, case.grid)
    on_grid = resample(labels.astype(np.uint8), grid, working_grid(grid, how), order=0)
    whole = Box((0, 0, 0), (on_grid.shape[0], on_grid.shape[1], on_grid.shape[2]))
    if case.volume is None:
        return Placed(on_grid, Box.of(on_grid > 0) or whole)
    body = body_box(prepare(case.volume, how).array, margin=0) if min(on_grid.shape) > 4 else whole
    return Placed(on_grid, body)


def copied(atlas: Placed, target: Placed) -> npt.NDArray[np.uint8]:
    """The atlas's labels stretched from its body's box to the target's, nearest neighbour."""
    result = np.zeros(target.labels.shape, dtype=np.uint8)
    index = []
    for a, b, c, d in zip(atlas.body.start, atlas.body.stop, target.body.start, target.body.stop, strict=True):
        share = (np.arange(d - c) + 0.5) / (d - c)
        index.append(np.minimum(b - 1, a + (share * (b - a)).astype(np.intp)))
    region = target.body.slices
    result[region] = atlas.labels[np.ix_(*index)]
    return result


def best_atlas(train: Sequence[Case], how: Preparation, structures: Mapping[str, tuple[int, ...]]) -> Placed:
    """The training case whose copy fits the other training cases best, by mean Dice."""
    if len(train) == 1:
        return placed(train[0], how)
    drawn = np.random.default_rng(0).permutation(len(train))[:_TRIED]
    candidates = [placed(train[i], how) for i in drawn]
    scores = []
    for n, atlas in enumerate(candidates):
        others = [other for m, other in enumerate(candidates) if m != n]
        scores.append(np.mean([_mean_dice(copied(atlas, other), other.labels, structures) for other in others]))
    return candidates[int(np.argmax(scores))]


def _mean_dice(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], structures: Mapping[str, tuple[int, ...]]
) -> float:
    values = []
    for labels in structures.values():
        a, b = np.isin(one, labels), np.isin(other, labels)
        if b.any():
            values.append(dice(a, b))
    return float(np.mean(values)) if values else 0.0
