"""SAT on whole scans: windows, weights, and where a mask lands."""

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.catalogue import card
from ostensor.models.inference.sliding import gaussian, windows_over
from ostensor.models.interface import Cancelled
from ostensor.models.language.sat.network import TINY, Sat, SatFeatures, SatTextHead
from ostensor.models.language.sat.predictor import SatPredictor, prepared_scan
from ostensor.models.text.encoders import HashedWords

WINDOW = (64, 32, 32)


class Bright(Sat):
    """Says 'inside' where the image is far above its mean, at full resolution: a known answer."""

    def decode(self, features: SatFeatures, queries: torch.Tensor, *, scales: int = 1) -> list[torch.Tensor]:
        return [features.maps[0][:, :1].sub(4).repeat(1, queries.shape[1], 1, 1, 1)]

    def encode(self, image: torch.Tensor) -> SatFeatures:
        return SatFeatures((image,), torch.zeros(1, 1, 1), (1, 1, 1))


def predictor(net: Sat) -> SatPredictor:
    return SatPredictor(net, SatTextHead(64, TINY.query_dim), HashedWords(64), card("sat-nano"), window=WINDOW)


def encoded(made: SatPredictor, volume: Volume) -> object:
    return made.encode(volume, progress=lambda share: None, cancelled=lambda: False)


def test_windows_overlap_by_half_and_the_last_is_moved_inside() -> None:
    starts = [box.start[0] for box in windows_over((180, 20, 32), WINDOW, multiple_of=32)]
    assert starts == [0, 32, 64, 96, 116]
    assert windows_over((5, 7, 11), WINDOW, multiple_of=32)[0].stop == WINDOW


def test_the_bell_is_one_in_the_middle_and_never_zero() -> None:
    bell = gaussian((33, 33, 65))
    assert bell[16, 16, 32] == 1.0
    assert bell.min() > 0
    assert bell[16, 16, 0] == pytest.approx(np.exp(-0.5 * (32 / (65 / 8)) ** 2), abs=2e-6)


def test_a_constant_answer_stays_constant_over_overlapping_windows() -> None:
    class Constant(Bright):
        def decode(self, features: SatFeatures, queries: torch.Tensor, *, scales: int = 1) -> list[torch.Tensor]:
            return [torch.full((1, queries.shape[1], *WINDOW), 0.75)]

    made = predictor(Constant(TINY))
    array = np.full((80, 41, 67), 10.0, np.float32)
    scan = encoded(made, Volume(array, Grid(array.shape, np.diag([1.0, 1, 3, 1])), "mr"))
    blended = made._blended(scan, torch.zeros(1, TINY.query_dim))  # type: ignore[arg-type]
    assert np.allclose(blended, 0.75, atol=1e-4)


def test_one_window_equals_the_direct_forward_pass() -> None:
    torch.manual_seed(2)
    net = Sat(TINY).eval()
    made = predictor(net)
    array = np.random.default_rng(3).uniform(1, 9, WINDOW).astype(np.float32)
    volume = Volume(array, Grid(array.shape, np.diag([1.0, 1, 3, 1])), "mr")
    scan = prepared_scan(volume, WINDOW)
    queries = made.queries(["liver"], "mr")
    with torch.no_grad():
        x = torch.from_numpy(scan.prepared.array)[None, None].repeat(1, 3, 1, 1, 1)
        direct = net.decode(net.encode(x), queries[None])[0][0].numpy()
    assert np.allclose(made._blended(scan, queries), direct, atol=1e-4)


def test_a_blob_comes_back_on_the_scans_own_grid_within_a_voxel() -> None:
    """LPS axes, anisotropic and shifted: the mask has the scan's shape and lies where the blob lies."""
    shape = (53, 47, 41)
    affine = np.diag([-1.3, -0.9, 2.2, 1.0])
    affine[:3, 3] = (31, 17, -40)
    array = np.full(shape, -200.0, np.float32)
    array[30:44, 8:20, 10:24] = 300.0
    array[:3, :3, :3] = 5.0  # the crop keeps what is above 0
    array[-3:, -3:, -3:] = 5.0
    volume = Volume(array, Grid(shape, affine), "ct")
    made = predictor(Bright(TINY))
    found = made.decode(encoded(made, volume), ["blob"])[0].array  # type: ignore[arg-type]
    assert found.shape == shape
    truth = array == 300.0
    centre = [np.argwhere(mask).mean(axis=0) for mask in (found, truth)]
    assert np.abs(centre[0] - centre[1]).max() < 1.0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85


def test_unknown_modality_flat_images_and_cancelling() -> None:
    made = predictor(Bright(TINY))
    with pytest.raises(BadCall, match="modality"):
        made.queries(["liver"], "unknown")
    flat = Volume(np.ones((8, 9, 1), np.float32), Grid((8, 9, 1), np.eye(4)), "mr")
    with pytest.raises(BadCall, match="2-D"):
        encoded(made, flat)
    array = np.ones((8, 9, 10), np.float32)
    with pytest.raises(Cancelled):
        made.encode(Volume(array, Grid(array.shape, np.eye(4)), "mr"), progress=lambda s: None, cancelled=lambda: True)
