"""Uptake, calcium, tissue, iso-contours and stenoses of bodies whose numbers are worked out by hand."""

import math
import time

import numpy as np
import pytest

from ostensor.imaging.derived.calcium import calcium_score
from ostensor.imaging.derived.estimates import Estimate, NoNumberError
from ostensor.imaging.derived.greys import mean_grey, uptake
from ostensor.imaging.derived.isocontour import iso_contour, threshold, within_box
from ostensor.imaging.derived.tissue import tissue_areas
from ostensor.imaging.derived.vessels import diameter_by_border, diameters, stenosis
from ostensor.imaging.errors import BadCall
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask, Modality, Volume


def grid(shape: tuple[int, int, int], *spacing: float) -> Grid:
    return Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def scan(values: np.ndarray, *spacing: float, modality: Modality = "ct") -> Volume:
    return Volume(values, grid(values.shape, *spacing), modality)


def block(image: Volume, *where: slice) -> Region:
    array = np.zeros(image.grid.shape, bool)
    array[where] = True
    return Region.of(Mask(array, image.grid))


def test_the_peak_is_the_best_sphere_of_one_ml_found_by_brute_force() -> None:
    """Every centre in the mask, every voxel whose centre lies within 6.2035 mm of it, one by one."""
    values = np.random.default_rng(3).gamma(2, 2, (19, 17, 13)).astype(np.float32)
    image = scan(values, 2.1, 2.3, 3.7, modality="pet")
    region = block(image, slice(4, 9), slice(5, 9), slice(3, 8))
    steps = np.array([2.1, 2.3, 3.7])
    everywhere = np.argwhere(np.ones(values.shape, bool))
    best = 0.0
    for centre in np.argwhere(np.ones((5, 4, 5), bool)) + np.array([4, 5, 3]):
        near = np.linalg.norm((everywhere - centre) * steps, axis=1) <= 10 * (3 / (4 * math.pi)) ** (1 / 3)
        best = max(best, float(values[tuple(everywhere[near].T)].mean(dtype=np.float64)))
    found = uptake(region, image)
    assert found.peak.value == pytest.approx(best, rel=1e-6)
    inside = values[4:9, 5:9, 3:8].astype(float)
    assert found.highest.value == inside.max()
    assert found.mean.value == pytest.approx(inside.mean())
    assert found.volume_ml.value == pytest.approx(100 * 2.1 * 2.3 * 3.7 / 1000)
    assert found.total.value == pytest.approx(inside.sum() * 2.1 * 2.3 * 3.7 / 1000)


def test_a_mean_errs_by_its_voxels_and_by_its_outermost_layer() -> None:
    """A block of 5 x 5 x 5: the core of 27 holds 10, the layer of 98 around it holds 4."""
    values = np.full((11, 9, 10), 4.0)
    values[4:7, 3:6, 4:7] = 10
    found = mean_grey(block(scan(values, 1, 1, 1), slice(3, 8), slice(2, 7), slice(3, 8)), scan(values, 1, 1, 1))
    mean = (27 * 10 + 98 * 4) / 125
    sd = math.sqrt((27 * (10 - mean) ** 2 + 98 * (4 - mean) ** 2) / 124)
    assert found.value == pytest.approx(mean)
    assert found.high == pytest.approx(mean + math.hypot(1.645 * sd / math.sqrt(125), mean - 10))


def coronaries() -> np.ndarray:
    """Four plaques in slices of 0.5 x 0.4 mm pixels (0.2 mm2), and noise too small to count."""
    values = np.full((31, 29, 7), 40, np.int16)
    values[3:8, 4:6, 1] = 150  # 10 pixels, 2 mm2, weight 1
    values[10:15, 4:7, 1] = 140
    values[12, 5, 1] = 399  # 15 pixels, 3 mm2, weight 3
    values[20:25, 11:13, 2] = 200  # 10 pixels, 2 mm2, weight 2, the bound itself
    values[20:30, 20:25, 4] = 1200  # 50 pixels, 10 mm2, weight 4
    values[4:8, 20, 5] = 900  # 4 pixels, 0.8 mm2: too small
    values[10:15, 20, 5] = 129  # below 130 HU
    return values


BY_HAND = 2 * 1 + 3 * 3 + 2 * 2 + 10 * 4


@pytest.mark.parametrize(("slice_mm", "scale"), [(3.0, 1.0), (1.5, 0.5), (2.5, 2.5 / 3)])
def test_the_calcium_score_is_the_one_worked_out_by_hand(slice_mm: float, scale: float) -> None:
    image = scan(coronaries(), 0.5, 0.4, slice_mm)
    found = calcium_score(block(image, slice(1, 31), slice(1, 29), slice(0, 7)), image)
    assert found.summed == pytest.approx(BY_HAND)
    assert found.score == pytest.approx(BY_HAND * scale)
    assert found.lesions == 4
    assert found.volume_ml == pytest.approx(85 * 0.2 * slice_mm / 1000)


def test_plaque_outside_the_mask_does_not_count_and_slices_run_along_the_body() -> None:
    """The same scan with its axes in another order gives the same score."""
    image = scan(coronaries(), 0.5, 0.4, 3.0)
    assert calcium_score(block(image, slice(1, 16), slice(1, 29), slice(0, 7)), image).score == pytest.approx(11)
    affine = image.grid.affine[:, [2, 0, 1, 3]]
    turned = np.ascontiguousarray(image.array.transpose(2, 0, 1))
    other = Volume(turned, Grid(turned.shape, affine), "ct")
    assert calcium_score(block(other, slice(0, 7), slice(1, 31), slice(1, 29)), other).score == pytest.approx(BY_HAND)


@pytest.mark.parametrize(
    ("spacing", "grey", "fact"),
    [((0.5, 0.4, 6.0), 40, "6 mm apart"), ((0.5, 3.0, 0.5), 40, "axial slices"), ((0.9, 0.9, 3.0), 240, "240 HU")],
)
def test_scans_that_no_score_is_defined_on_are_refused(
    spacing: tuple[float, float, float], grey: int, fact: str
) -> None:
    image = scan(np.full((31, 29, 7), grey, np.int16), *spacing)
    with pytest.raises(NoNumberError, match=fact):
        calcium_score(block(image, slice(1, 31), slice(1, 29), slice(0, 7)), image)


def test_no_score_without_voxel_size() -> None:
    image = scan(coronaries(), 0.5, 0.4, 3.0)
    unknown = Grid(image.grid.shape, image.grid.affine, spacing_known=False)
    region = Region.of(Mask(np.ones(unknown.shape, bool), unknown))
    with pytest.raises(NoNumberError, match="voxel size"):
        calcium_score(region, Volume(image.array, unknown, "ct"))


def torso() -> Volume:
    """In slice 4: a body of 60 x 40 pixels, a ring of fat of 5 pixels, gas, bone, and a table beneath."""
    values = np.full((90, 80, 9), -1000, np.int16)
    values[12:72, 15:55] = -100
    values[17:67, 20:50] = 60
    values[30:40, 30:36] = -900  # gas: no body tissue, but inside
    values[50:54, 30:40] = 700
    values[5:85, 60:62] = 100  # the table, 1.8 mm thick, and what joins it to the body
    values[40:42, 55:60] = 100
    values[:, :, :4] = -1000
    return scan(values, 0.8, 0.9, 5.0)


def test_tissue_areas_of_a_torso_by_hand() -> None:
    found = tissue_areas(torso(), 4)
    pixel = 0.8 * 0.9 / 100
    assert found.fat.value == pytest.approx((60 * 40 - 50 * 30) * pixel, rel=0.01), "the corners of a body are rounded"
    assert found.muscle.value == pytest.approx((50 * 30 - 60 - 40) * pixel, rel=0.01), "without the table"
    assert found.looked_at.value == pytest.approx(60 * 40 * pixel, rel=0.01)
    assert not found.at_edge
    within = tissue_areas(torso(), 4, (block(torso(), slice(0, 22), slice(30, 40), slice(2, 6)),))
    assert (within.fat.value, within.muscle.value) == pytest.approx((50 * pixel, 50 * pixel))


def test_a_slice_without_a_body_has_no_areas_and_a_cut_body_says_so() -> None:
    for index, fact in ((2, "nothing of a body"), (9, "has 0 to 8"), (-1, "has 0 to 8")):
        with pytest.raises(NoNumberError, match=fact):
            tissue_areas(torso(), index)
    cut = scan(np.ascontiguousarray(torso().array[30:]), 0.8, 0.9, 5.0)
    assert tissue_areas(cut, 4).at_edge


def test_thresholds_and_boxes_keep_what_lies_between() -> None:
    values = np.arange(5 * 7 * 11, dtype=np.float32).reshape(5, 7, 11)
    image = scan(values, 1, 1, 2)
    where = within_box(image, (1, 2, 3), (4, 5, 6))
    assert np.array_equal(np.argwhere(where.array).min(0), (1, 2, 3))
    assert where.array.sum() == 27
    kept = threshold(image, where, 150, 200).array
    assert np.array_equal(kept, where.array & (values >= 150) & (values <= 200))
    with pytest.raises(BadCall, match="No voxel"):
        threshold(image, where, 1000, None)
    with pytest.raises(BadCall, match="No threshold"):
        threshold(image, where, None, None)
    for start, stop in (((0, 0, 0), (6, 7, 11)), ((2, 2, 2), (2, 3, 3)), ((-1, 0, 0), (2, 2, 2))):
        with pytest.raises(BadCall, match="leaves the scan"):
            within_box(image, start, stop)


def test_an_iso_contour_of_a_gaussian_has_the_radius_of_its_closed_form() -> None:
    """exp(-r2 / 2 s2) reaches 41 % at r = s sqrt(2 ln(1 / 0.41)); a second, fainter spot is left out."""
    x, y, z = np.meshgrid(np.arange(61) * 1.0, np.arange(53) * 1.2, np.arange(47) * 1.5, indexing="ij")
    values = 9 * np.exp(-((x - 25) ** 2 + (y - 30) ** 2 + (z - 33) ** 2) / (2 * 7**2))
    values += 6 * np.exp(-((x - 55) ** 2 + (y - 58) ** 2 + (z - 63) ** 2) / (2 * 2**2))
    image = scan(values, 1.0, 1.2, 1.5, modality="pet")
    found = iso_contour(image, Mask(np.ones(values.shape, bool), image.grid), 41, unit="SUV")
    radius = 7 * math.sqrt(2 * math.log(1 / 0.41))
    assert found.array.sum() * 1.8 == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)
    assert threshold(image, Mask(np.ones(values.shape, bool), image.grid), 0.41 * 9, None).array[55, 48, 42]
    assert not found.array[55, 48, 42]


@pytest.mark.parametrize(
    ("percent", "unit", "fact"),
    [(41.0, "HU", "zero is water"), (0.0, "SUV", "impossible"), (100.0, "SUV", "impossible")],
)
def test_iso_contours_without_meaning_are_refused(percent: float, unit: str, fact: str) -> None:
    image = scan(np.ones((5, 7, 11)), 1, 1, 2)
    with pytest.raises(BadCall, match=fact):
        iso_contour(image, Mask(np.ones((5, 7, 11), bool), image.grid), percent, unit=unit)


def test_a_stenosis_of_a_tube_of_known_diameters() -> None:
    """A tube of 12 mm that narrows to 6 mm over a long stretch: 50 % of its diameter."""
    x, y, z = np.meshgrid(np.arange(45) * 0.5, np.arange(41) * 0.5, np.arange(121) * 0.6, indexing="ij")
    radius = np.where((z > 25) & (z < 45), 3.0, 6.0)
    array = (x - 11) ** 2 + (y - 10) ** 2 < radius**2
    array[:, :, [0, -1]] = False
    region = Region.of(Mask(array, grid(array.shape, 0.5, 0.5, 0.6)))
    found = diameters(region)
    assert found.narrowest is not None
    narrow, normal = (diameter_by_border(mm, region) for mm in (found.narrowest.diameter_mm, found.median_mm))
    degree = stenosis(narrow, normal)
    assert degree.value == pytest.approx(50, abs=4)
    assert degree.low is not None
    assert degree.high is not None
    assert degree.low < 50 < degree.high
    with pytest.raises(NoNumberError, match="empty"):
        diameters(Region.of(Mask(np.zeros(array.shape, bool), grid(array.shape, 0.5, 0.5, 0.6))))


def test_the_degree_of_a_stenosis_by_hand() -> None:
    """2 mm in an artery of 5 mm leave two fifths of it."""
    assert stenosis(Estimate(2), Estimate(5)).value == pytest.approx(60)


def test_a_score_of_noise_takes_no_longer_than_its_voxels_ask_for() -> None:
    """Tens of thousands of lesions in a slice: looking through the slice for each took seconds."""
    shape = (512, 512, 2)
    grid = Grid(shape, np.diag([1.1, 1.1, 3.0, 1.0]))
    values = np.where(np.random.default_rng(0).random(shape) < 0.12, 500, 0).astype(np.int16)
    start = time.process_time()
    found = calcium_score(Region.of(Mask(np.ones(shape, bool), grid)), Volume(values, grid, "ct"))
    assert found.score == pytest.approx(4 * 1.21 * np.count_nonzero(values))
    assert time.process_time() - start < 2
