"""Lengths of small random masks, flat and in space, on stretched, tilted and sheared grids, against every pair of points.

The outline is walked here face by face: a point of it lies half-way between a voxel inside and one outside beside it.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging.geometry import reorient_mask
from ostensor.imaging.masks.diameters import diameters
from ostensor.imaging.masks.mesh import greatest_distance
from ostensor.imaging.volume import Grid, Mask

SHAPES = [(5, 7, 11), (13, 11, 1), (3, 2, 7)]
SHEAR = np.array([[1, 0.3, -0.1], [0, 1, 0.2], [0, 0, 1]])  # a tilted gantry: axes that are not at right angles


def _axes(kind: str) -> np.ndarray:
    stretched = np.diag([0.7, 0.9, 3.0])
    tilted = Rotation.from_euler("zyx", (17, 24, -26), degrees=True).as_matrix()
    turned = {"stretched": stretched, "oblique": tilted @ stretched, "sheared": tilted @ SHEAR @ stretched}
    return np.asarray(turned[kind])


def _masks(kind: str, count: int) -> list[Mask]:
    """Sparse and dense, in one piece and in many, at the border and away from it."""
    rng = np.random.default_rng(7)
    found = []
    for n in range(count):
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = _axes(kind), (31, -47, 12)
        shape = SHAPES[n % len(SHAPES)]
        array = rng.random(shape) < rng.choice([0.03, 0.15, 0.5, 0.9])
        array[tuple(rng.integers(0, shape))] = True
        found.append(Mask(array, Grid(shape, affine)))
    return found


def _outline(array: np.ndarray, axes: Sequence[int]) -> list[np.ndarray]:
    """Points on the faces across these axes between inside and outside, as indices."""
    points = []
    for voxel in np.argwhere(array):
        for axis, step in itertools.product(axes, (-1, 1)):
            beside = voxel.copy()
            beside[axis] += step
            within = 0 <= beside[axis] < array.shape[axis]
            if not within or not array[tuple(beside)]:
                points.append((voxel + beside) / 2)
    return points


def _every_distance(points_mm: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(points_mm[:, None] - points_mm[None], axis=-1))


def _longest(mask: Mask, array: np.ndarray, axes: Sequence[int]) -> float:
    points = _outline(array, axes)
    return float(_every_distance(np.array(points) @ mask.grid.affine[:3, :3].T).max()) if points else 0.0


@pytest.mark.parametrize("kind", ["stretched", "oblique", "sheared"])
def test_lengths_are_those_of_all_pairs_of_outline_points(kind: str) -> None:
    """The third axis runs most along the body in each of these grids."""
    for mask in _masks(kind, 24):
        found = diameters(mask)
        assert found is not None
        by_slice = []
        for n in range(mask.grid.shape[2]):
            one = np.zeros_like(mask.array)
            one[:, :, n] = mask.array[:, :, n]
            by_slice.append(_longest(mask, one, (0, 1)))
        assert found.longest_axial_mm == pytest.approx(max(by_slice))
        assert by_slice[found.slice_index] == pytest.approx(max(by_slice))
        assert found.longest_3d_mm == pytest.approx(_longest(mask, mask.array, (0, 1, 2)))


def _crossings(segments: list[tuple[np.ndarray, np.ndarray]], corner: np.ndarray, across: np.ndarray) -> list[float]:
    """Where the straight line through a corner meets the segments, as lengths from the corner along `across`."""
    along = np.array([-across[1], across[0]])
    met = []
    for start, stop in segments:
        low, high = (start - corner) @ along, (stop - corner) @ along
        if abs(low) < 1e-9 or abs(high) < 1e-9 or low * high < 0:
            share = np.clip(low / (low - high), 0, 1) if abs(low - high) > 1e-9 else 0.0
            met.append(float((start + share * (stop - start) - corner) @ across))
            if abs(low - high) <= 1e-9:  # it lies on the line
                met.append(float((stop - corner) @ across))
    return met


@pytest.mark.parametrize("kind", ["stretched", "oblique", "sheared"])
def test_the_perpendicular_is_the_longest_line_across_from_any_corner(kind: str) -> None:
    """From every corner of the outline a line at right angles to the longest diameter, met with every piece of it.

    The pieces join the middles of faces around each corner of the voxel grid (marching squares), where two inside voxels
    touch by their corners they stay apart. Diameters of equal length each have a perpendicular; any of them is right.
    """
    for mask in _masks(kind, 9):
        found = diameters(mask)
        assert found is not None
        flat = np.linalg.qr(mask.grid.affine[:3, :2])[1]
        segments = [(flat @ a, flat @ b) for a, b in _pieces(mask.array[:, :, found.slice_index])]
        corners = np.unique(np.round(np.concatenate(segments), 9), axis=0)
        lengths = _every_distance(corners)
        assert found.longest_axial_mm == pytest.approx(lengths.max())
        allowed = set()
        for i, j in np.argwhere(lengths > lengths.max() - 1e-6):
            x, y = (corners[i] - corners[j]) / lengths[i, j]
            chords = [np.ptp(_crossings(segments, corner, np.array([-y, x]))) for corner in corners]
            allowed.add(max(map(float, chords)))
        assert min(abs(found.perpendicular_mm - one) for one in allowed) < 1e-6, (found, allowed)


def _pieces(plane: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Marching squares by hand: the outline's pieces in each square of four voxel centres."""
    padded = np.pad(plane, 1)
    found = []
    for x, y in itertools.product(*(range(n - 1) for n in padded.shape)):
        around = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
        inside = [bool(padded[place]) for place in around]
        middle = [(np.array(around[n]) + around[(n + 1) % 4]) / 2 - 1 for n in range(4)]
        crossed = [n for n in range(4) if inside[n] != inside[(n + 1) % 4]]
        if len(crossed) == 2:
            found.append((middle[crossed[0]], middle[crossed[1]]))
        elif len(crossed) == 4:  # cut off each inside voxel by itself
            found += [(middle[n - 1], middle[n]) for n in range(4) if inside[n]]
    return found


@pytest.mark.parametrize("codes", ["LPS", "SAR", "AIL"])
def test_lengths_do_not_depend_on_the_order_of_the_axes(codes: str) -> None:
    for mask in _masks("stretched", 9):
        one, other = diameters(mask), diameters(reorient_mask(mask, codes))
        assert one is not None
        assert other is not None
        assert other.longest_axial_mm == pytest.approx(one.longest_axial_mm)
        assert other.longest_3d_mm == pytest.approx(one.longest_3d_mm)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_greatest_distance_is_that_of_all_pairs(dims: int) -> None:
    """Clouds, rings, whole lattices, lines, planes and points that are all the same."""
    rng = np.random.default_rng(3)
    for n in range(120):
        count = int(rng.integers(2, 40))
        points = rng.normal(size=(count, dims)) * rng.uniform(0.1, 30, dims)
        kind = n % 6
        if kind == 1:
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        elif kind == 2:
            points = rng.integers(0, 4, (count, dims)).astype(float)
        elif kind == 3:
            points = np.outer(points[:, 0], rng.normal(size=dims))
        elif kind == 4:
            points = points * (1, *[0] * (dims - 2), 1) + 5
        elif kind == 5:
            points = np.repeat(points[:1], count, axis=0)
        assert greatest_distance(points) == pytest.approx(_every_distance(points).max())


def test_fewer_than_two_points_have_no_distance() -> None:
    assert greatest_distance(np.zeros((0, 3))) == greatest_distance(np.ones((1, 2))) == 0.0
