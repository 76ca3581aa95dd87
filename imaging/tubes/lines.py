"""The centre lines of a tube and its branches, as rows of cubes through its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy
import skimage

from ..volume import BoolArray
from .depth import Depth, Path, Points

# Own choices, set on the bodies of tests/imaging/tubes.
_MOST = 8  # branches
_COVERED = 4.0  # what lies within so many radii of a line belongs to it: a flat vein has no forks
_WHOLE = 0.85  # a line ends where it is so deep as a little farther in


@dataclass(frozen=True)
class Branch:
    """A line through the middle.

    Attributes:
        points_mm: (n 3), RAS+.
        forks: its first point lies on another branch.
        length_mm: with what lies between the line's ends and the tube's.
    """

    points_mm: Points
    forks: bool
    length_mm: float


def branches_of(depth: Depth) -> list[Branch]:
    """Lines through the middle of a tube in one piece, the longest first; at most eight.

    The first joins the two places farthest apart, each later one the place farthest from the root that no line
    reaches yet to where it leaves a line.

    Source: Sato et al. 2000, "TEASAR: tree-structure extraction algorithm for accurate and robust skeletons", Pacific
    Graphics 2000, the cost of a step.
    """
    inside = depth.values > 0
    if not inside.any():
        return []
    root = _farthest(inside, _place(depth.values.argmax(), inside))[0]
    end, away = _farthest(inside, root)
    cost = 1 + 5000 * (1 - depth.values / depth.deepest) ** 16
    paths = skimage.graph.MCP_Geometric(np.where(inside, cost, -1.0))
    paths.find_costs([root])
    left, taken = np.isfinite(away), np.zeros(inside.shape, dtype=np.bool_)
    found: list[Branch] = []
    while left.any() and len(found) < _MOST:
        end = _place(np.where(left, away, -1).argmax(), inside)
        path: Path = np.array(paths.traceback(end), dtype=np.int64)
        known = taken[tuple(path.T)]
        path = path[int(np.flatnonzero(known)[-1]) if known.any() else 0 :]
        taken[tuple(path.T)] = True
        left[end] = False
        inner, radius = _inner(depth, path)
        left &= ~_near(path, radius / depth.step_mm, left)
        if len(path) * depth.step_mm > _COVERED * radius[0]:
            found.append(_branch(depth, path[inner], forks=bool(known.any())))
    return sorted(found, key=lambda one: -one.length_mm)


def _branch(depth: Depth, path: Path, *, forks: bool) -> Branch:
    points = depth.middles(path)
    first, last = depth.at(points[[0, -1]])
    walked = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    return Branch(points, forks, walked + float(last) + (0.0 if forks else float(first)))


def _farthest(inside: BoolArray, start: tuple[int, ...]) -> tuple[tuple[int, ...], npt.NDArray[np.float64]]:
    """The cube farthest from another by way of the inside, and all those distances; infinite where none leads."""
    reached, _back = skimage.graph.MCP_Geometric(np.where(inside, 1.0, -1.0)).find_costs([start])
    away: npt.NDArray[np.float64] = np.asarray(reached)
    return _place(np.where(np.isfinite(away), away, -1).argmax(), inside), away


def _place(number: np.intp, inside: BoolArray) -> tuple[int, ...]:
    return tuple(int(n) for n in np.unravel_index(number, inside.shape))


def _inner(depth: Depth, path: Path) -> tuple[slice, Points]:
    """A line without the ends that lead from the middle into a corner, and the tube's radius at every cube of it."""
    own = depth.values[tuple(path.T)].astype(np.float64)
    first, last = _corner(own, depth.step_mm), len(path) - _corner(own[::-1], depth.step_mm)
    own[:first], own[last:] = own[first], own[last - 1]
    return slice(first, last), own


def _corner(own: Points, step: float) -> int:
    """How many of the first depths of a line lie in a corner."""
    for n, mine in enumerate(own):
        if mine >= _WHOLE * own[n : n + 2 + round(2 * mine / step)].max():
            return n
    return 0


def _near(path: Path, radius: Points, left: BoolArray) -> BoolArray:
    """Which of the cubes that are left belong to a line; its radius in cubes."""
    cubes = np.argwhere(left)
    apart, nearest = scipy.spatial.cKDTree(path).query(cubes)
    near = np.zeros(left.shape, dtype=np.bool_)
    near[tuple(cubes[apart <= _COVERED * radius[nearest] + 2].T)] = True
    return near
