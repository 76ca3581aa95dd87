"""Lengths along the patient's axes of bodies whose size is known by formula, and of random masks by every face."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging.geometry import reorient_mask
from ostensor.imaging.masks.extents import extents
from ostensor.imaging.region import Region, connected, largest_parts
from ostensor.imaging.volume import Grid, Mask


def grid(shape: tuple[int, int, int], spacing: tuple[float, ...], turn: tuple[float, ...] = (0, 0, 0)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zyx", turn, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + (0.13, -0.21, 0.31)
    return Grid(shape, affine)


def ellipsoid(where: Grid, half_mm: tuple[float, ...], centre_mm: tuple[float, ...] = (0, 0, 0)) -> Mask:
    points = where.affine[:3, :3] @ np.indices(where.shape).reshape(3, -1) + where.affine[:3, 3:]
    away = (points - np.array(centre_mm)[:, None]) / np.array(half_mm)[:, None]
    return Mask((np.square(away).sum(axis=0) <= 1).reshape(where.shape), where)


def lengths(mask: Mask) -> list[float | None]:
    found = extents(mask)
    assert found is not None
    return [found.transverse_mm, found.anteroposterior_mm, found.craniocaudal_mm]


@pytest.mark.parametrize("turn", [(0, 0, 0), (17, 24, -26), (40, -35, 10)])
def test_an_ellipsoid_reaches_as_far_along_the_patient_however_the_scan_lies(turn: tuple[float, ...]) -> None:
    """Half axes 15, 11 and 19 mm along R, A and S; a voxel's half diagonal on either end is the tolerance."""
    mask = ellipsoid(grid((71, 67, 43), (0.7, 0.9, 1.6), turn), (15, 11, 19))
    assert lengths(mask) == pytest.approx([30, 22, 38], abs=2 * 0.5 * 1.97)


def test_extents_are_those_of_all_faces_on_the_outline() -> None:
    """Every face between inside and outside is walked by hand, on stretched, tilted grids."""
    rng = np.random.default_rng(3)
    for n in range(12):
        where = grid((5, 7, 11), (0.7, 0.9, 3.0), (17 * (n % 3), 24, -26))
        array = rng.random(where.shape) < (0.1, 0.5)[n % 2]
        array[1, 2, 3] = True
        padded = np.pad(array, 1)
        points = []
        for voxel in np.argwhere(array):
            for axis, step in itertools.product(range(3), (-1, 1)):
                beside = voxel + step * np.eye(3, dtype=int)[axis]
                if not padded[tuple(beside + 1)]:
                    points.append(where.affine[:3, :3] @ ((voxel + beside) / 2))
        assert lengths(Mask(array, where)) == pytest.approx(list(np.ptp(points, axis=0)))


@pytest.mark.parametrize("codes", ["LPS", "SAR", "AIL"])
def test_the_order_of_the_files_axes_changes_nothing(codes: str) -> None:
    mask = ellipsoid(grid((41, 37, 23), (0.7, 0.9, 3.0), (5, 8, -7)), (11, 8, 19), (1.5, -2.0, 3.0))
    assert lengths(reorient_mask(mask, codes)) == pytest.approx(lengths(mask))


def test_a_single_slice_has_no_length_along_its_own_axis() -> None:
    array = np.zeros((13, 11, 1), bool)
    array[2:9, 3:7] = True
    assert lengths(Mask(array, Grid((13, 11, 1), np.diag([0.7, 0.9, 5.0, 1])))) == pytest.approx([4.9, 3.6, None])
    coronal = np.zeros((4, 4))
    coronal[[0, 2, 1, 3], [0, 1, 2, 3]] = (0.7, 0.9, 5.0, 1)
    assert lengths(Mask(array, Grid((13, 11, 1), coronal))) == pytest.approx([4.9, None, 3.6])


def test_nothing_without_voxel_size_or_voxels() -> None:
    array = np.zeros((5, 7, 11), bool)
    assert extents(Mask(array, Grid((5, 7, 11), np.eye(4)))) is None
    array[1, 2, 3] = True
    assert extents(Mask(array, Grid((5, 7, 11), np.eye(4), spacing_known=False))) is None


def test_the_parts_of_two_ellipsoids_are_the_two_ellipsoids() -> None:
    where = grid((71, 67, 43), (1.1, 0.9, 1.6), (10, 8, -6))
    large, small = ellipsoid(where, (9, 8, 21), (-22, 0, 0)), ellipsoid(where, (9, 8, 14), (22, 3, 5))
    speck = np.zeros(where.shape, bool)
    speck[3, 4, 5] = True
    parts = connected(Region.of(Mask(large.array | small.array | speck, where)))
    assert [part.voxels for part in parts] == [large.array.sum(), small.array.sum(), 1]
    for part, alone in zip(parts, (large, small), strict=False):
        assert part.grid is where
        assert np.array_equal(part.array, Region.of(alone).array)
        assert part.box == Region.of(alone).box
        assert extents(part) == extents(alone)
    assert connected(Region.of(Mask(np.zeros(where.shape, bool), where))) == []


def test_the_largest_parts_are_given_wherever_they_lie() -> None:
    """Thirteen specks come before the large part in the order of voxels; one of the specks goes, the large part stays."""
    array = np.zeros((40, 9, 7), bool)
    array[:26:2, 0, 0] = True
    array[30:38, 2:8, 1:6] = True
    parts, count = largest_parts(array, 13)
    assert count == 14
    assert [int(part.sum()) for part in parts] == [8 * 6 * 5, *[1] * 12]
    assert largest_parts(np.zeros((3, 2, 5), bool), 12) == ([], 0)
