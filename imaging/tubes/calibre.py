"""Diameters of a vessel or airway at right angles to its centre line, whichever way the scan was cut.

An axial slice shows an arch lengthwise: its longest line there is no diameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from ..masks.measures import EMPTY, NO_SPACING
from ..region import Region, connected, slices
from ..volume import BoolArray, Mask
from .depth import Depth, Points, depth_of
from .lines import Branch, branches_of
from .sections import cut, lines_across

# Own choices, set on the bodies of tests/imaging/tubes; lengths in radii.
_END = 1.0  # a section lies so far from the line's ends, in radii of its own
_JUNCTION = 2.5  # and so far along the line from any that holds two branches
_REACH = 2.0  # a section that another branch's line passes through so near, without leaving the tube, holds both
_SMOOTH = 0.5  # the line is smoothed by so much
_NEIGHBOURS = 0.5  # a diameter is the median of those so near, so that a side branch does not widen it
_ROUNDS = 3  # how often the line is moved into the middle of its sections
_THIN = 2.0  # a tube narrower than so many voxel edges shows the grid and no diameter
FLAT = "A single slice does not show which way a tube runs, so it has no diameter across."
SHORT = "The tube is too short for a section away from its ends, so it has no diameter across."


@dataclass(frozen=True)
class Section:
    """A tube cut at right angles to its centre line.

    Attributes:
        diameter_mm: of the circle with the section's area.
        point_mm: its middle, RAS+.
        along: the line's direction there, a unit vector, RAS+.
    """

    diameter_mm: float
    point_mm: tuple[float, float, float]
    along: tuple[float, float, float]


@dataclass(frozen=True)
class Calibre:
    """How wide a tube is across.

    Attributes:
        narrowest: None where the tube is somewhere narrower than two voxel edges.
        median_mm: of all sections' diameters.
        longest_mm, perpendicular_mm: the widest section's longest line, and the longest at right angles to it.
        length_mm: of the longest branch's centre line.
        branches: how many were followed, at most eight.
    """

    narrowest: Section | None
    median_mm: float
    widest: Section
    longest_mm: float
    perpendicular_mm: float
    length_mm: float
    branches: int


@dataclass(frozen=True)
class NoCalibre:
    """Why there is no diameter across."""

    reason: str


def calibre(mask: Mask | Region) -> Calibre | NoCalibre:
    """Diameters of a tube in one piece at right angles to its centre line.

    Sections near an end of the tube or a fork, and those the scan's edge goes through, are left out. Cylinders of 18 mm
    on voxels of up to 3 mm come out within 0.5 mm, an arch of 28 mm in 5 mm slices within 1 mm.
    """
    region = Region.of(mask)
    if region.box is None or region.grid.is_2d or not region.grid.spacing_known:
        return NoCalibre(EMPTY if region.box is None else NO_SPACING if not region.grid.spacing_known else FLAT)
    depth = depth_of(region)
    edge = (1000 * region.grid.voxel_ml) ** (1 / 3)
    if 2 * depth.deepest < _THIN * edge:
        return NoCalibre(f"The tube is narrower than two voxels of {edge:.2g} mm, so it has no diameter across.")
    lines = branches_of(depth)
    sections = [
        section for line in lines for section in _sections(depth, line, [one for one in lines if one is not line])
    ]
    if not sections:
        return NoCalibre(SHORT)
    widest = max(sections, key=lambda one: one.diameter_mm)
    narrowest = min(sections, key=lambda one: one.diameter_mm)
    longest, perpendicular = lines_across(depth, np.array(widest.point_mm), np.array(widest.along), widest.diameter_mm)
    return Calibre(
        narrowest=narrowest if narrowest.diameter_mm >= _THIN * edge else None,
        median_mm=float(np.median([one.diameter_mm for one in sections])),
        widest=widest,
        longest_mm=longest,
        perpendicular_mm=perpendicular,
        length_mm=lines[0].length_mm,
        branches=len(lines),
    )


def stretch(mask: Mask, section: Section) -> Mask:
    """The piece of a tube around a section, half its diameter to either side along the tube's direction there."""
    grid = mask.grid
    index = np.argwhere(mask.array)
    away = index @ grid.affine[:3, :3].T + grid.affine[:3, 3] - section.point_mm
    near = np.abs(away @ np.array(section.along)) <= section.diameter_mm / 2
    near &= np.linalg.norm(away, axis=1) <= 2 * section.diameter_mm  # a bend does not come back into it
    piece = np.zeros(mask.array.shape, dtype=np.bool_)
    piece[tuple(index[near].T)] = True
    kept = np.zeros_like(piece)
    for part in connected(Region.of(Mask(piece, grid)))[:1]:
        assert part.box is not None
        kept[slices(part.box)] = part.array
    return Mask(kept, grid)


def _sections(depth: Depth, line: Branch, others: Sequence[Branch]) -> list[Section]:
    """Sections across one branch, evenly spaced; none when it is too short."""
    step = max(depth.step_mm, depth.deepest / 8)
    radius = float(np.median(depth.at(line.points_mm)))
    points = _smooth(_evenly(line.points_mm, step), 2 * _SMOOTH * radius / step)
    for _ in range(_ROUNDS):
        middles = cut(depth, points, _along(points)).middles
        points = _smooth(np.where(np.isfinite(middles), middles, points), _SMOOTH * radius / step)
    along = _along(points)
    cuts = cut(depth, points, along)
    places = _walked(points)
    kept = np.minimum(places, places[-1] - places) >= _END * cuts.diameters / 2  # False where a cut is not whole
    for other in others:
        both = _holds(depth, other.points_mm, points, along, np.nan_to_num(cuts.diameters))
        kept &= ~scipy.ndimage.maximum_filter1d(both, 2 * int(_JUNCTION * radius / step) + 1)
    if not kept.any():
        return []
    reach = max(1, int(_NEIGHBOURS * radius / step))
    steady = scipy.ndimage.median_filter(cuts.diameters[kept], 2 * reach + 1, mode="nearest")
    rows = zip(steady, cuts.middles[kept], along[kept], strict=True)
    return [Section(float(size), _three(middle), _three(way)) for size, middle, way in rows]


def _holds(depth: Depth, line: Points, points: Points, along: Points, diameters: Points) -> BoolArray:
    """Whether the sections (n) of one branch hold a point of another branch's line, by a straight way inside the tube."""
    away = line[None] - points[:, None]
    ahead = np.einsum("nmx,nx->nm", away, along)
    across = away - ahead[..., None] * along[:, None]
    near = (np.abs(ahead) <= depth.step_mm) & (np.linalg.norm(across, axis=-1) <= _REACH * diameters[:, None] / 2)
    held: BoolArray = np.zeros(len(points), dtype=np.bool_)
    for n, m in np.argwhere(near):
        if not held[n]:
            way = points[n] + np.linspace(0, 1, 9)[:, None] * across[n, m]
            held[n] = bool((depth.at(way) > 0).all())
    return held


def _three(values: Points) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _walked(points: Points) -> Points:
    """Distance of each point from the first one along the line, mm."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _evenly(points: Points, step: float) -> Points:
    """Points of a line, about `step` apart and at least three."""
    places = _walked(points)
    wanted = np.linspace(0, places[-1], max(3, round(places[-1] / step) + 1))
    return np.stack([np.interp(wanted, places, points[:, axis]) for axis in range(3)], axis=1)


def _smooth(points: Points, sigma: float) -> Points:
    """A Gaussian mean along the line; its ends stay, as it goes on beyond them turned about its end points."""
    n = min(len(points) - 1, max(1, int(4 * sigma)))
    before, after = 2 * points[0] - points[n:0:-1], 2 * points[-1] - points[-2 : -n - 2 : -1]
    longer = scipy.ndimage.gaussian_filter1d(np.concatenate([before, points, after]), sigma, axis=0, mode="nearest")
    kept: Points = longer[n : n + len(points)]
    return kept


def _along(points: Points) -> Points:
    slopes = np.gradient(points, axis=0)
    along: Points = slopes / np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-9)
    return along
