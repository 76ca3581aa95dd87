"""Texture features with their IBSI tags, aggregated over slices and directions in six ways.

`_2D_avg`, `_2D_comb`: slice by slice, then averaged (directions apart, or merged first).
`_2_5D_avg`, `_2_5D_comb`: slices merged (per direction, or altogether). `_3D_avg`, `_3D_comb`: in space.

Source: Zwanenburg et al., IBSI reference manual (arXiv 1612.07003), sections 3.6 to 3.11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ..volume import BoolArray
from .matrices import (
    IN_PLANE,
    IN_SPACE,
    Levels,
    cooccurrence,
    dependence,
    runs,
    size_and_distance_zones,
    tone_differences,
)
from .zones import GroupMatrix, group_features, merged

Aggregation = Literal["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"]
Matrix = npt.NDArray[np.float64]
M = TypeVar("M")


def texture_features(levels: Levels, region: BoolArray, aggregation: Aggregation) -> dict[str, float]:
    """Every texture feature of a region; tags end in the aggregation.

    Args:
        levels: (x y z) grey levels from 1; 0 is outside. Slices lie across the last axis.
        region: the shape; voxels of it outside the window of grey values have level 0.
    """
    count = int(levels.max())
    dimension = aggregation.rpartition("_")[0]
    flat = dimension != "3D"
    shown = np.flatnonzero(levels.any(axis=(0, 1)))
    parts = [levels[:, :, k : k + 1] for k in shown] if flat else [levels]
    shapes = [region[:, :, k : k + 1] for k in shown] if flat else [region]
    steps = IN_PLANE if flat else IN_SPACE
    tables = [[cooccurrence(part, step, count) for step in steps] for part in parts]
    pairs = _aggregated(tables, aggregation, lambda group: np.sum(group, axis=0), cooccurrence_features)
    lines = [[runs(part, step) for step in steps] for part in parts]
    along = _aggregated(lines, aggregation, merged, lambda matrix: group_features(matrix, "rlm"))
    found = {f"{name}_{aggregation}": value for name, value in {**pairs, **along}.items()}
    zones = [size_and_distance_zones(part, shape, flat=flat) for part, shape in zip(parts, shapes, strict=True)]
    for family, groups in (
        ("szm", [by_size for by_size, _by_distance in zones]),
        ("dzm", [by_distance for _by_size, by_distance in zones]),
        ("ngl", [dependence(part, flat=flat) for part in parts]),
    ):
        features = _over_slices(groups, dimension, merged, _group_features(family))
        found |= {f"{name}_{dimension}": value for name, value in features.items()}
    tones = [tone_differences(part, count, flat=flat) for part in parts]
    features = _over_slices(tones, dimension, lambda group: np.sum(group, axis=0), tone_features)
    return found | {f"{name}_{dimension}": value for name, value in features.items()}


def _group_features(family: str) -> Callable[[GroupMatrix], dict[str, float]]:
    return lambda matrix: group_features(matrix, family)


def _aggregated(
    matrices: list[list[M]],
    aggregation: Aggregation,
    merge: Callable[[list[M]], M],
    features: Callable[[M], dict[str, float]],
) -> dict[str, float]:
    """Features of matrices by slice and direction, in one of the six ways."""
    if aggregation in ("2D_avg", "3D_avg"):
        return _mean([features(matrix) for by_step in matrices for matrix in by_step])
    if aggregation in ("2D_comb", "3D_comb"):
        return _mean([features(merge(by_step)) for by_step in matrices])
    if aggregation == "2_5D_avg":
        return _mean([features(merge(list(by_slice))) for by_slice in zip(*matrices, strict=True)])
    return features(merge([matrix for by_step in matrices for matrix in by_step]))


def _over_slices(
    matrices: list[M], dimension: str, merge: Callable[[list[M]], M], features: Callable[[M], dict[str, float]]
) -> dict[str, float]:
    if dimension == "2_5D":
        return features(merge(matrices))
    return _mean([features(matrix) for matrix in matrices])


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each feature over the rows that have it (a matrix without pairs has none)."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def cooccurrence_features(pairs: Matrix) -> dict[str, float]:
    """The 25 features of one co-occurrence matrix; none when no two voxels touch."""
    total = pairs.sum()
    if not total:
        return {}
    p = pairs / total
    count = len(p)
    level = np.arange(1, count + 1, dtype=np.float64)
    i, j = level[:, None], level[None]
    side = p.sum(axis=1)
    gap = np.abs(i - j)
    difference = np.bincount(gap.astype(int).ravel(), weights=p.ravel(), minlength=count)
    together = np.bincount((i + j).astype(int).ravel() - 2, weights=p.ravel(), minlength=2 * count - 1)
    k, sums = np.arange(count), np.arange(2, 2 * count + 1)
    mean = float(side @ level)
    variance = float(side @ (level - mean) ** 2)
    difference_mean, sum_mean = float(difference @ k), float(together @ sums)
    joint, alone = _entropy(p.ravel()), _entropy(side)
    apart = side[:, None] * side[None]
    crossed = -float((p[apart > 0] * np.log2(apart[apart > 0])).sum())
    deviation = i + j - 2 * mean
    found = {
        "joint_max": p.max(),
        "joint_avg": mean,
        "joint_var": variance,
        "joint_entr": joint,
        "diff_avg": difference_mean,
        "diff_var": difference @ (k - difference_mean) ** 2,
        "diff_entr": _entropy(difference),
        "sum_avg": sum_mean,
        "sum_var": together @ (sums - sum_mean) ** 2,
        "sum_entr": _entropy(together),
        "energy": (p**2).sum(),
        "contrast": (p * gap**2).sum(),
        "dissimilarity": (p * gap).sum(),
        "inv_diff": (p / (1 + gap)).sum(),
        "inv_diff_norm": (p / (1 + gap / count)).sum(),
        "inv_diff_mom": (p / (1 + gap**2)).sum(),
        "inv_diff_mom_norm": (p / (1 + gap**2 / count**2)).sum(),
        "inv_var": (difference[1:] / k[1:] ** 2).sum(),
        "corr": ((p * i * j).sum() - mean**2) / variance if variance > 0 else 1.0,
        "auto_corr": (p * i * j).sum(),
        "clust_tend": (p * deviation**2).sum(),
        "clust_shade": (p * deviation**3).sum(),
        "clust_prom": (p * deviation**4).sum(),
        "info_corr1": (joint - crossed) / alone if alone > 0 else 0.0,
        "info_corr2": np.sqrt(max(0.0, 1 - np.exp(-2 * (2 * alone - joint)))),
    }
    return {f"cm_{name}": float(value) for name, value in found.items()}


def _entropy(shares: npt.ArrayLike) -> float:
    every = np.asarray(shares, dtype=np.float64)
    used = every[every > 0]
    return float(-(used * np.log2(used)).sum())


def tone_features(tones: Matrix) -> dict[str, float]:
    """The five features of one neighbourhood grey tone difference matrix (levels 2)."""
    voxels, away = tones[:, 0], tones[:, 1]
    total = voxels.sum()
    if not total:
        return {}
    used = np.flatnonzero(voxels)
    share, s = voxels[used] / total, away[used]
    level = used + 1.0
    weighted = float(share @ s)
    gap = level[:, None] - level[None]
    both = share[:, None] + share[None]
    spread = np.abs((level * share)[:, None] - (level * share)[None]).sum()
    few = len(used) < 2
    contrast = (share[:, None] * share[None] * gap**2).sum() / (len(used) * (len(used) - 1)) if not few else 0.0
    mixed = (share * s)[:, None] + (share * s)[None]
    found = {
        "coarseness": 1 / weighted if weighted > 0 else 1e6,  # the manual's ceiling for a flat region
        "contrast": contrast * s.sum() / total,
        "busyness": weighted / spread if spread > 0 and not few else 0.0,
        "complexity": (np.abs(gap) * mixed / both).sum() / total,
        "strength": (both * gap**2).sum() / s.sum() if s.sum() > 0 else 0.0,
    }
    return {f"ngt_{name}": float(value) for name, value in found.items()}
