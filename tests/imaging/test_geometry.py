"""Moving between grids: laws (round trips, kept volume) and answers from nibabel and SimpleITK."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import (
    Box,
    crop,
    reorient,
    reorient_array,
    reorient_mask,
    resample,
    respaced_grid,
)
from ostensor.imaging.volume import Grid, Mask, Volume

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("zyx", (97.0, 4.0, -6.0), degrees=True).as_matrix() @ np.diag([0.7, 0.9, 3.0])
OBLIQUE[:3, 3] = (-31.3, 17.9, 5.5)
STRAIGHT = np.diag([0.7, 0.9, 3.0, 1.0])
SHAPE = (5, 7, 11)


def _array(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(-900, 900, shape).astype(np.int16)


def _point_of(grid: Grid, array: np.ndarray, value: int) -> np.ndarray:
    return (grid.affine @ [*np.argwhere(array == value)[0], 1])[:3]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_reorienting_agrees_with_nibabel_and_moves_no_voxel_in_space(codes: str) -> None:
    volume = Volume(np.arange(5 * 7 * 11, dtype=np.int16).reshape(SHAPE), Grid(SHAPE, OBLIQUE))
    moved = reorient(volume, codes)
    image = nibabel.Nifti1Image(volume.array, OBLIQUE)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(OBLIQUE), nibabel.orientations.axcodes2ornt(codes)
    )
    expected = image.as_reoriented(change)
    np.testing.assert_array_equal(moved.array, np.asarray(expected.dataobj))
    np.testing.assert_allclose(moved.grid.affine, expected.affine)
    np.testing.assert_allclose(
        _point_of(moved.grid, moved.array, 123), _point_of(volume.grid, volume.array, 123), atol=1e-9
    )


def test_reorienting_back_restores_array_and_affine() -> None:
    mask = Mask(_array() > 0, Grid(SHAPE, OBLIQUE))
    back = reorient_mask(reorient_mask(mask, "SLP"), mask.grid.axis_codes)
    np.testing.assert_array_equal(back.array, mask.array)
    assert back.grid.same_as(mask.grid)


@pytest.mark.parametrize("codes", ["RAX", "RRS", "RA", "ras"])
def test_an_impossible_orientation_is_refused(codes: str) -> None:
    with pytest.raises(BadCall, match="no orientation"):
        reorient_array(_array(), Grid(SHAPE, OBLIQUE), codes)


@pytest.mark.parametrize("affine", [STRAIGHT, OBLIQUE])
def test_linear_upsampling_agrees_with_simpleitk(affine: np.ndarray) -> None:
    """SimpleITK samples the same points with its own linear interpolator (inside the field of view)."""
    array = _array((13, 11, 7)).astype(np.float32)
    grid = Grid(array.shape, affine)
    target = respaced_grid(grid, tuple(s / 1.7 for s in grid.spacing_mm))
    ours = resample(array, grid, target)
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(_to_sitk(np.zeros(target.shape, np.float32), target))
    resampler.SetInterpolator(sitk.sitkLinear)
    theirs = sitk.GetArrayFromImage(resampler.Execute(_to_sitk(array, grid))).transpose(2, 1, 0)
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.02)


def test_parallel_and_oblique_paths_agree_at_equal_spacing() -> None:
    """A turn by 1e-3 degrees takes the general path; values may move by a trifle only."""
    array = _array((13, 11, 7)).astype(np.float32)
    grid = Grid(array.shape, STRAIGHT)
    shifted = np.array(STRAIGHT)
    shifted[:3, 3] = (0.3, -0.2, 0.9)
    turn = np.eye(4)
    turn[:2, :2] = [[1, -2e-5], [2e-5, 1]]
    target = Grid((11, 9, 5), shifted)
    np.testing.assert_allclose(
        resample(array, grid, target), resample(array, grid, Grid((11, 9, 5), turn @ shifted)), atol=0.5
    )


def _to_sitk(array: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    flip = np.diag([-1.0, -1.0, 1.0])
    spacing = np.array(grid.spacing_mm)
    directions = flip @ (grid.affine[:3, :3] / spacing)
    u, _s, vt = np.linalg.svd(directions)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((u @ vt).ravel().tolist())
    image.SetOrigin((flip @ grid.affine[:3, 3]).tolist())
    return image


@pytest.mark.parametrize("affine", [STRAIGHT, OBLIQUE])
@pytest.mark.parametrize("spacing", [(0.5, 0.6, 1.1), (1.9, 1.3, 2.2)])
def test_resampling_keeps_the_volume_in_ml_within_one_percent(affine: np.ndarray, spacing: tuple[float, ...]) -> None:
    """An ellipsoid without symmetry to the grid; its soft mask keeps its integral."""
    grid = Grid((47, 53, 31), affine)
    points = np.indices(grid.shape).reshape(3, -1) - np.array([[20.3], [27.1], [14.2]])
    soft = np.clip(1.5 - (np.abs(points / [[9.0], [13.0], [6.0]]) ** 2).sum(axis=0), 0, 1).reshape(grid.shape)
    target = respaced_grid(grid, spacing)
    moved = resample(soft.astype(np.float32), grid, target)
    assert moved.sum() * target.voxel_ml == pytest.approx(soft.sum() * grid.voxel_ml, rel=0.01)


def test_nearest_labels_keep_their_values_and_type() -> None:
    labels = (_array() % 7).astype(np.uint8)
    grid = Grid(SHAPE, STRAIGHT)
    finer = respaced_grid(grid, (0.35, 0.45, 1.5))
    up = resample(labels, grid, finer, order=0)
    assert up.dtype == np.uint8
    np.testing.assert_array_equal(resample(up, finer, grid, order=0), labels)
    assert resample(labels > 3, grid, Grid((9, 9, 9), OBLIQUE), order=0).dtype == np.bool_


def test_outside_the_source_there_is_only_fill() -> None:
    grid = Grid(SHAPE, STRAIGHT)
    far = np.array(STRAIGHT)
    far[:3, 3] = 500
    for affine in (far, far @ np.diag([1, 1, 1, 1]) + np.pad(np.full((3, 3), 1e-2), (0, 1))):
        assert (resample(_array(), grid, Grid((3, 4, 5), affine), fill=-1000.0) == -1000).all()


def test_a_respaced_grid_keeps_its_centre_and_its_field_of_view() -> None:
    grid = Grid((31, 57, 41), OBLIQUE)
    target = respaced_grid(grid, (1.3, None, 2.1))
    assert target.spacing_mm == pytest.approx((1.3, grid.spacing_mm[1], 2.1))
    for a, b in zip(grid.shape, target.shape, strict=True):
        assert a > 0
        assert b > 0
    middle = [
        grid.affine @ [*((np.array(grid.shape) - 1) / 2), 1],
        target.affine @ [*((np.array(target.shape) - 1) / 2), 1],
    ]
    np.testing.assert_allclose(*middle, atol=1e-6)
    sizes = np.array(grid.shape) * grid.spacing_mm - np.array(target.shape) * target.spacing_mm
    assert (np.abs(sizes) <= np.array(target.spacing_mm) / 2 + 1e-6).all()


def test_a_crop_holds_what_lay_in_its_box_and_pads_beyond_the_edge() -> None:
    array, grid = _array(), Grid(SHAPE, OBLIQUE)
    box = Box((-2, 3, 4), (4, 9, 8))
    small, small_grid = crop(array, grid, box, fill=-7)
    assert small.shape == (6, 6, 4) == small_grid.shape
    assert (small[:2] == -7).all()
    assert (small[:, 4:] == -7).all()
    np.testing.assert_allclose((small_grid.affine @ [2, 0, 0, 1]), grid.affine @ [0, 3, 4, 1])
    np.testing.assert_array_equal(small[2:, :4], array[0:4, 3:7, 4:8])
    with pytest.raises(BadCall, match="empty"):
        crop(array, grid, Box((3, 0, 0), (3, 2, 2)))


def test_the_box_of_a_mask_holds_it_tightly() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1, 2:5, 9] = True
    assert Box.of(mask) == Box((1, 2, 9), (2, 5, 10))
    assert Box.of(mask, margin=3) == Box((0, 0, 6), (5, 7, 11))
    assert Box.of(np.zeros(SHAPE, bool)) is None


def test_unusable_requests_are_refused() -> None:
    grid = Grid(SHAPE, STRAIGHT)
    with pytest.raises(BadCall, match="Order 3"):
        resample(_array(), grid, grid, order=3)
    with pytest.raises(BadCall, match="must agree"):
        resample(_array((3, 3, 3)), grid, grid)
    with pytest.raises(BadCall, match="above 0"):
        respaced_grid(grid, (0.0, 1.0, 1.0))
