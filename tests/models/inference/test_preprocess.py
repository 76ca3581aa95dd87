"""From a scan to the network's grid and back: where voxels land, and what brightness means."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import Box, resample
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.inference.preprocess import Preparation, normalised, prepare, restore

OBLIQUE = np.array([[-1.1, 0.1, 0.0, 40.0], [0.1, -0.9, 0.2, 10.0], [0.0, 0.15, 2.4, -33.0], [0, 0, 0, 1.0]])
HOW = Preparation(dims=3, spacing_mm=(2.0, 2.0, 2.0), intensity="ct")


def block() -> tuple[Volume, np.ndarray]:
    """An L of soft tissue in air, on an oblique LPS-like grid."""
    array = np.full((61, 47, 31), -1000, np.int16)
    array[15:45, 12:22, 8:20] = 60
    array[15:25, 12:36, 8:20] = 60
    return Volume(array, Grid(array.shape, OBLIQUE), "ct"), array == 60


def test_a_mask_drawn_on_the_networks_grid_comes_back_where_it_was() -> None:
    volume, truth = block()
    ready = prepare(volume, HOW)
    assert ready.canonical
    mask = restore(ready.array - (ready.array.min() + ready.array.max()) / 2, ready)
    assert mask.shape == volume.grid.shape
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.93, "partial voxels at 2 mm"
    assert np.abs(np.argwhere(mask).mean(0) - np.argwhere(truth).mean(0)).max() < 0.3


@pytest.mark.parametrize("part", [Box((0, 0, 0), (34, 22, 38)), Box((4, 3, 5), (30, 20, 33))])
@pytest.mark.parametrize("canonical", [True, False])
def test_a_mask_restored_in_its_box_is_the_one_of_the_whole_grid(part: Box, canonical: bool) -> None:
    """The slow obvious version resamples all of the logits onto all of the scan, in the scan's own axes."""
    array = np.zeros((31, 61, 47), np.int16)
    volume = Volume(array, Grid(array.shape, _flipped_affine()), "ct")
    ready = prepare(volume, replace(HOW, canonical=canonical))
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal(ready.grid.shape), 3).astype(np.float32)
    stop = tuple(min(a, b) for a, b in zip(part.stop, ready.grid.shape, strict=True))
    inner = tuple(slice(a + 4, b - 4) for a, b in zip(part.start, stop, strict=True))
    logit = np.full(ready.grid.shape, -8.0, np.float32)
    logit[inner] = 40 * noise[inner] + 1
    expected = resample(np.clip(logit, -8, 8), ready.grid, volume.grid, fill=-8.0) > 0
    cut = logit[tuple(slice(a, b) for a, b in zip(part.start, stop, strict=True))]
    mask = restore(cut, ready, Box(part.start, (stop[0], stop[1], stop[2])))
    assert 300 < expected.sum() < expected.size / 2
    assert mask.flags.c_contiguous
    assert np.array_equal(mask, expected)


def test_nothing_found_is_an_empty_mask_of_the_scans_shape() -> None:
    volume, _ = block()
    ready = prepare(volume, HOW)
    mask = restore(np.full(ready.grid.shape, -1.0, np.float32), ready)
    assert (mask.shape, mask.dtype, mask.any()) == (volume.grid.shape, np.bool_, False)


def test_axis_order_of_the_file_does_not_matter() -> None:
    volume, _ = block()
    flipped = Volume(
        np.ascontiguousarray(volume.array[::-1].transpose(2, 0, 1)),
        Grid((31, 61, 47), _flipped_affine()), "ct",
    )  # fmt: skip
    a, b = prepare(volume, HOW), prepare(flipped, HOW)
    assert a.array.shape == b.array.shape
    assert np.abs(a.array - b.array).max() < 0.05


def _flipped_affine() -> np.ndarray:
    """Affine of array[::-1].transpose(2, 0, 1)."""
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = 60
    order = np.zeros((4, 4))
    order[0, 1] = order[1, 2] = order[2, 0] = order[3, 3] = 1
    return OBLIQUE @ flip @ order


def test_hounsfield_units_get_fixed_values_and_mr_gets_its_own() -> None:
    hu = np.array([[-2000, -1000, 0, 60, 4000]], np.float32)
    one, two = normalised(hu, "ct", calibrated=True), normalised(hu * 1.0, "ct", calibrated=True)
    assert np.array_equal(one, two)
    assert (np.diff(one[0]) >= 0).all()
    rng = np.random.default_rng(0)
    mr = rng.gamma(4, 50, (20, 20, 20)).astype(np.float32)
    assert np.abs(normalised(mr, "mr", calibrated=False) - normalised(7 * mr, "mr", calibrated=False)).max() < 1e-3


def test_noise_in_the_air_does_not_change_the_body_where_air_may_be_noisy() -> None:
    """A head in air: without noise nothing changes; with it the tissues keep their values, which they lose otherwise."""
    x, y, z = np.indices((40, 36, 32)) - np.array([20, 18, 16])[:, None, None, None]
    clean = np.where(x**2 + y**2 + z**2 < 12**2, 100.0 + 40 * (x > 0), 0).astype(np.float32)

    def tissues(array: np.ndarray, *, noisy_air: bool) -> tuple[float, float]:
        made = normalised(array, "mr", calibrated=False, noisy_air=noisy_air)
        return float(np.median(made[clean == 100])), float(np.median(made[clean == 140]))

    assert tissues(clean, noisy_air=True) == tissues(clean, noisy_air=False)
    for share in (0.05, 0.1):
        noise = np.random.default_rng(3).normal(0, 140 * share, clean.shape)
        rician = np.hypot(clean + noise, np.random.default_rng(4).normal(0, 140 * share, clean.shape))
        for noisy in (clean + noise, rician):
            kept, lost = (tissues(noisy.astype(np.float32), noisy_air=on) for on in (True, False))
            assert np.abs(np.array(kept) - tissues(clean, noisy_air=True)).max() < 0.45, share
            assert np.abs(np.array(lost) - tissues(clean, noisy_air=True)).max() > 1, share


def test_scans_that_cannot_be_prepared() -> None:
    flat = Volume(np.zeros((9, 11, 1), np.int16), Grid((9, 11, 1), np.eye(4)), "ct")
    with pytest.raises(BadCall, match="2-D image"):
        prepare(flat, HOW)
    unknown = Volume(np.zeros((9, 11, 5), np.int16), Grid((9, 11, 5), np.eye(4), spacing_known=False), "ct")
    with pytest.raises(BadCall, match="voxel size"):
        prepare(unknown, HOW)
