"""Areas in an organ, against balls put there by hand."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.files import read_image
from ostensor.imaging.masks.areas import different_areas
from ostensor.imaging.masks.dice import dice
from ostensor.imaging.volume import Grid, Mask, Volume

GRID = Grid((67, 59, 31), np.diag([1.1, 0.9, 2.0, 1.0]))


def ball(centre: tuple[float, float, float], radius_mm: float, grid: Grid = GRID) -> np.ndarray:
    points = np.moveaxis(np.indices(grid.shape), 0, -1) * grid.spacing_mm
    return np.asarray(np.linalg.norm(points - np.array(centre), axis=-1) <= radius_mm)


def scan(*areas: tuple[np.ndarray, float], noise: float = 9.0) -> tuple[Volume, Mask]:
    """An organ of 100 HU in soft tissue of 40 HU, with areas of other values."""
    organ = ball((36, 26, 30), 24)
    hu = np.where(organ, 100.0, 40.0)
    for area, value in areas:
        hu[area] = value
    hu += np.random.default_rng(7).normal(0, noise, hu.shape)
    return Volume(hu.astype(np.float32), GRID, "ct"), Mask(organ, GRID)


def test_two_dark_areas_and_a_bright_one_are_outlined() -> None:
    dark, small, bright = ball((30, 26, 36), 8), ball((48, 26, 26), 6), ball((30, 30, 18), 5)
    image, organ = scan((dark, 40), (small, 45), (bright, 200))
    found = different_areas(image, organ)
    assert [region.kind for region in found] == ["low", "low", "high"]
    for region, truth in zip(found, (dark, small, bright), strict=True):
        assert dice(region.mask.array, truth) > 0.85
    assert found[0].organ_median == pytest.approx(100, abs=2)
    assert 40 < found[0].median < 60, "smoothing mixes the border in"
    assert found[0].contrast < -3 < 3 < found[2].contrast


def test_only_the_wanted_kind_is_given() -> None:
    image, organ = scan((ball((30, 26, 36), 8), 40), (ball((48, 26, 26), 6), 200))
    assert [region.kind for region in different_areas(image, organ, "high")] == ["high"]


def test_an_even_organ_holds_nothing() -> None:
    image, organ = scan()
    assert different_areas(image, organ) == ()
    assert different_areas(image, Mask(np.zeros(GRID.shape, bool), GRID)) == ()


def test_an_area_the_mask_left_out_is_found_in_its_hole() -> None:
    """Networks often leave a lesion out of its organ."""
    dark = ball((36, 26, 30), 8)
    image, organ = scan((dark, 20))
    found = different_areas(image, Mask(organ.array & ~dark, GRID))
    assert len(found) == 1
    assert dice(found[0].mask.array, dark) > 0.85


def test_one_slice_is_enough() -> None:
    dark = ball((30, 26, 36), 8)
    image, organ = scan((dark, 30))
    flat = Grid((67, 59, 1), GRID.affine)
    picture = Volume(image.array[:, :, 17:18], flat, "ct")
    found = different_areas(picture, Mask(organ.array[:, :, 17:18], flat))
    assert len(found) == 1
    assert dice(found[0].mask.array, dark[:, :, 17:18]) > 0.85


def test_a_slice_of_a_volume_is_treated_as_a_slice() -> None:
    dark = ball((30, 26, 36), 8)
    image, organ = scan((dark, 30))
    one = np.zeros(GRID.shape, bool)
    one[:, :, 17] = organ.array[:, :, 17]
    found = different_areas(image, Mask(one, GRID))
    assert len(found) == 1
    assert found[0].mask.array.any(axis=(0, 1)).nonzero()[0].tolist() == [17]


def test_small_stones_and_plaques_are_found_wherever_they_lie() -> None:
    """As in the issue: 1,092 HU in a kidney, 713 HU at the wall of an aorta. A speck of 110 HU more is noise or vessel."""
    stone, plaque, speck = np.zeros((3, *GRID.shape), bool)
    stone[30:32, 28:30, 15] = plaque[33, 3:6, 15] = speck[25, 28:30, 12] = True
    image, _organ = scan((stone, 1092), (plaque, 713), (speck, 210))
    organ = Mask(ball((36, 26, 30), 24) | plaque, GRID)
    found = different_areas(image, organ)
    assert [region.kind for region in found] == ["high", "high"]
    for region, truth in zip(found, (stone, plaque), strict=True):
        assert np.array_equal(region.mask.array, truth)
    assert found[0].median == pytest.approx(1092, abs=20)
    assert different_areas(image, organ, "low") == ()


@pytest.mark.data
def test_real_kidneys_of_a_ct_without_contrast_show_their_stones_and_the_solid_organs_nothing(
    shared_data: Path,
) -> None:
    """The example CT of TotalSegmentator: two kidneys at 14 and 19 HU hold spots of over 400 HU."""
    folder = shared_data / "totalsegmentator_example"
    image = read_image(folder / "example_ct_sm.nii.gz", modality="ct").volume
    labels = read_image(folder / "example_seg.nii.gz").volume
    assert image is not None
    assert labels is not None
    stones = {}
    for name, value in {"right kidney": 2, "left kidney": 3, "liver": 5, "spleen": 1}.items():
        organ = Mask(np.asarray(labels.array) == value, image.grid)
        stones[name] = max((area.median for area in different_areas(image, organ, "high")), default=0)
    assert min(stones["right kidney"], stones["left kidney"]) > 400
    assert (stones["liver"], stones["spleen"]) == (0, 0)
