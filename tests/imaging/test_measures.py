"""Measures of bodies whose size is known by formula, on grids without symmetry."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging import measures
from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient_mask
from ostensor.imaging.volume import Grid, Mask, Volume

SPACING = np.array([0.7, 0.9, 1.6])
TURN = Rotation.from_euler("zyx", (17, 4, -6), degrees=True).as_matrix()


def _grid(shape: tuple[int, int, int], *, turned: bool = True, known: bool = True) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = (TURN if turned else np.eye(3)) @ np.diag(SPACING)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2 + (0.13, -0.21, 0.31)
    return Grid(shape, affine, known)


def _ellipsoid(grid: Grid, half_mm: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> Mask:
    points = np.indices(grid.shape).reshape(3, -1)
    world = grid.affine[:3, :3] @ points + grid.affine[:3, 3:]
    inside = (((world - np.array(centre)[:, None]) / np.array(half_mm)[:, None]) ** 2).sum(axis=0) <= 1
    return Mask(inside.reshape(grid.shape), grid)


def test_volume_of_an_ellipsoid_on_an_oblique_grid() -> None:
    mask = _ellipsoid(_grid((61, 53, 37)), (15, 11, 19))
    assert measures.volume_ml(mask) == pytest.approx(4 / 3 * np.pi * 15 * 11 * 19 / 1000, rel=0.01)


def test_diameters_of_an_ellipsoid_are_its_axes() -> None:
    """Half a voxel on either end is the tolerance."""
    found = measures.diameters(_ellipsoid(_grid((61, 53, 37), turned=False), (15, 11, 19)))
    assert found is not None
    assert found.longest_axial_mm == pytest.approx(30, abs=0.9)
    assert found.perpendicular_mm == pytest.approx(22, abs=0.9)
    assert found.longest_3d_mm == pytest.approx(38, abs=1.6)
    assert abs(found.slice_index - 18) <= 1


def test_diameters_do_not_depend_on_the_order_of_the_axes() -> None:
    mask = _ellipsoid(_grid((61, 53, 37)), (15, 11, 8))
    one, other = measures.diameters(mask), measures.diameters(reorient_mask(mask, "SPL"))
    assert one is not None
    assert other is not None
    assert other.longest_axial_mm == pytest.approx(one.longest_axial_mm)
    assert other.longest_3d_mm == pytest.approx(one.longest_3d_mm)


def test_one_voxel_has_small_diameters_and_an_empty_mask_none() -> None:
    grid = _grid((5, 7, 11))
    array = np.zeros(grid.shape, bool)
    assert measures.diameters(Mask(array, grid)) is None
    array = array.copy()
    array[2, 3, 4] = True
    found = measures.diameters(Mask(array, grid))
    assert found is not None
    assert 0 < found.longest_axial_mm < 1.5


@pytest.mark.parametrize(
    ("index", "face"),
    [((0, 3, 5), "left"), ((4, 3, 5), "right"), ((2, 0, 5), "posterior"), ((2, 6, 5), "anterior"),
     ((2, 3, 0), "inferior"), ((2, 3, 10), "superior")],
)  # fmt: skip
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SLA"])
def test_truncation_names_the_patients_side_in_any_axis_order(index: tuple[int, ...], face: str, codes: str) -> None:
    array = np.zeros((5, 7, 11), bool)
    array[index] = True
    mask = reorient_mask(Mask(array, _grid((5, 7, 11))), codes)
    assert measures.truncated_faces(mask) == (face,)


def test_constant_padding_is_not_part_of_the_scan() -> None:
    grid = _grid((5, 7, 11))
    scan = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    scan[:, :, 8:] = -1024
    array = np.zeros(grid.shape, bool)
    array[2, 3, 7] = True
    mask = Mask(array, grid)
    assert measures.truncated_faces(mask) == ()
    assert measures.truncated_faces(mask, Volume(scan, grid)) == ("superior",)


def test_a_single_slice_is_never_cut_through_its_own_thickness() -> None:
    grid = Grid((5, 7, 1), np.eye(4))
    array = np.zeros(grid.shape, bool)
    array[2, 3, 0] = True
    assert measures.truncated_faces(Mask(array, grid)) == ()


@pytest.mark.parametrize(("x_mm", "expected"), [(-25.0, "left"), (24.0, "right"), (2.0, "midline")])
def test_side_is_the_patients(x_mm: float, expected: str) -> None:
    mask = _ellipsoid(_grid((113, 31, 23), turned=False), (5, 4, 6), (x_mm, 0, 0))
    assert measures.side(mask) == measures.side(reorient_mask(mask, "LPI")) == expected


def test_centroid_and_parts() -> None:
    grid = _grid((61, 53, 37))
    one = _ellipsoid(grid, (5, 4, 6), (-8, 3, 4))
    two = Mask(one.array | _ellipsoid(grid, (3, 3, 3), (9, 3, 4)).array, grid)
    assert measures.centroid_mm(one) == pytest.approx((-8, 3, 4), abs=0.1)
    assert (measures.part_count(one), measures.part_count(two)) == (1, 2)


def test_intensity_agrees_with_numpy_and_refuses_another_grid() -> None:
    grid = _grid((5, 7, 11))
    values = np.random.default_rng(0).normal(40, 12, grid.shape).astype(np.float32)
    mask = Mask(values > 45, grid)
    found = measures.intensity(mask, Volume(values, grid))
    assert found is not None
    inside = values[values > 45].astype(float)
    assert (found.mean, found.sd, found.median) == pytest.approx((inside.mean(), inside.std(), np.median(inside)))
    assert (found.minimum, found.maximum) == (inside.min(), inside.max())
    with pytest.raises(BadCall, match="different grids"):
        measures.intensity(mask, Volume(values, _grid((5, 7, 11), turned=False)))


def test_without_voxel_size_nothing_is_given_in_mm() -> None:
    mask = _ellipsoid(_grid((61, 53, 37), known=False), (15, 11, 19))
    assert measures.volume_ml(mask) is None
    assert measures.diameters(mask) is None
    assert measures.centroid_mm(mask) is None
    assert measures.no_number(mask) == measures.NO_SPACING
