"""Features of the matrices that count groups of voxels by grey level and by a size.

Runs (RLM), zones (SZM), zones by their distance to the border (DZM) and dependence counts
(NGLDM) are all such matrices; the size is the run's length, the zone's voxels, its distance, or
the count of equal neighbours.

Source: Zwanenburg et al., Image Biomarker Standardisation Initiative reference manual
(arXiv 1612.07003), sections 3.7 to 3.9 and 3.11.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GroupMatrix:
    """Groups of voxels, one row per kind of group.

    Attributes:
        level, size, count: (n) grey level from 1, size from 1, and how many groups have both.
        voxels: voxels the groups were made of, counted once per direction for runs.
    """

    level: Counts
    size: Counts
    count: Counts
    voxels: int

    @classmethod
    def of(cls, levels: npt.ArrayLike, sizes: npt.ArrayLike, voxels: int) -> GroupMatrix:
        """Count groups given one by one."""
        level, size = np.asarray(levels, dtype=np.int64), np.asarray(sizes, dtype=np.int64)
        width = int(size.max()) + 1 if size.size else 1
        codes, count = np.unique(level * width + size, return_counts=True)
        return cls(codes // width, codes % width, count.astype(np.int64), voxels)


def merged(matrices: list[GroupMatrix]) -> GroupMatrix:
    """All groups of several matrices in one."""
    level, size, count = (
        np.concatenate([getattr(matrix, name) for matrix in matrices]) for name in ("level", "size", "count")
    )
    width = int(size.max()) + 1 if size.size else 1
    codes, place = np.unique(level * width + size, return_inverse=True)
    total = np.bincount(place, weights=count).astype(np.int64)
    return GroupMatrix(codes // width, codes % width, total, sum(matrix.voxels for matrix in matrices))


# What each kind of matrix calls the same sixteen numbers: small, large, low, high, small-low, small-high,
# large-low, large-high, level non-uniformity (and normalised), size non-uniformity (and normalised),
# share of voxels, level variance, size variance, entropy.
NAMES: dict[str, tuple[str, ...]] = {
    "rlm": ("sre", "lre", "lgre", "hgre", "srlge", "srhge", "lrlge", "lrhge", "glnu", "glnu_norm", "rlnu", "rlnu_norm", "r_perc", "gl_var", "rl_var", "rl_entr"),
    "szm": ("sze", "lze", "lgze", "hgze", "szlge", "szhge", "lzlge", "lzhge", "glnu", "glnu_norm", "zsnu", "zsnu_norm", "z_perc", "gl_var", "zs_var", "zs_entr"),
    "dzm": ("sde", "lde", "lgze", "hgze", "sdlge", "sdhge", "ldlge", "ldhge", "glnu", "glnu_norm", "zdnu", "zdnu_norm", "z_perc", "gl_var", "zd_var", "zd_entr"),
    "ngl": ("lde", "hde", "lgce", "hgce", "ldlge", "ldhge", "hdlge", "hdhge", "glnu", "glnu_norm", "dcnu", "dcnu_norm", "dc_perc", "gl_var", "dc_var", "dc_entr"),
}  # fmt: skip


def group_features(matrix: GroupMatrix, family: str) -> dict[str, float]:
    """The features of one matrix, under their IBSI tags without the aggregation suffix.

    Args:
        family: "rlm", "szm", "dzm" or "ngl"; the last one also has an energy.
    """
    total = float(matrix.count.sum())
    if not total:
        return {}
    share = matrix.count / total
    level, size = matrix.level.astype(np.float64), matrix.size.astype(np.float64)
    per_level = np.bincount(matrix.level, weights=matrix.count)
    _sizes, place = np.unique(matrix.size, return_inverse=True)
    per_size = np.bincount(place, weights=matrix.count)
    mean_level, mean_size = float(share @ level), float(share @ size)
    values = (
        share @ size**-2.0,
        share @ size**2,
        share @ level**-2.0,
        share @ level**2,
        share @ (size**-2.0 * level**-2.0),
        share @ (size**-2.0 * level**2),
        share @ (size**2 * level**-2.0),
        share @ (size**2 * level**2),
        (per_level**2).sum() / total,
        (per_level**2).sum() / total**2,
        (per_size**2).sum() / total,
        (per_size**2).sum() / total**2,
        total / matrix.voxels,
        share @ (level - mean_level) ** 2,
        share @ (size - mean_size) ** 2,
        -(share @ np.log2(share)),
    )
    found = {f"{family}_{name}": float(value) for name, value in zip(NAMES[family], values, strict=True)}
    if family == "ngl":
        found["ngl_dc_energy"] = float(share @ share)
    return found
