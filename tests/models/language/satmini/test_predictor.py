"""Bundled predictors: words, sides, and where masks land."""

import json
from dataclasses import replace
from typing import Any

import cc3d
import numpy as np
import pytest
import torch
from scipy import ndimage

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.catalogue import card
from ostensor.models.inference.decisions import Decisions, likeliest_part
from ostensor.models.inference.preprocess import Preparation
from ostensor.models.inference.windows import run_slices, run_tiles, turned, turned_back
from ostensor.models.language.satmini.network import SatMini, SatMiniConfig
from ostensor.models.language.satmini.predictor import (
    SatMiniFeatures,
    SatMiniPredictor,
    body_middle,
    dot_products,
    smoothed_along,
)

SIDED = {"left kidney": ("kidneys", "left"), "right kidney": ("kidneys", "right")}
AFFINE = np.array([[-2.0, 0, 0, 30.0], [0, -2.0, 0, 10.0], [0, 0, 2.0, -50.0], [0, 0, 0, 1]])


def predictor() -> SatMiniPredictor:
    torch.manual_seed(3)
    net = SatMini(SatMiniConfig(dims=3, features=(4, 8, 12), finest=8, embed=6))
    with torch.no_grad():  # every word is answered with "everywhere"
        net.text[2].weight.zero_()
        net.text[2].bias.zero_()
        net.text[2].bias[-1] = 0.5
    how = Preparation(dims=3, spacing_mm=(2.0, 2.0, 2.0), intensity="ct")
    return SatMiniPredictor(
        net, how, card("sat-mini-torso"), backend="torch", threads=1, decisions=Decisions(sided=SIDED)
    )


def scan() -> Volume:
    """A body that is not in the middle of the scan; the file's x axis runs to the left."""
    array = np.full((60, 40, 44), -1000, np.int16)
    array[6:46, 5:35, :] = 40 + np.random.default_rng(0).integers(-30, 200, (40, 30, 44))
    return Volume(array, Grid(array.shape, AFFINE), "ct")


def masks(*names: str) -> list[np.ndarray]:
    made = predictor()
    features = made.encode(scan(), progress=lambda share: None, cancelled=lambda: False)
    return [one.array for one in made.decode(features, names)]


def test_a_pair_is_cut_in_two_at_the_middle_of_the_body() -> None:
    pair, left, right = masks("kidneys", "left kidney", "right kidney")
    assert pair.any()
    assert not (left & right).any()
    borders = np.zeros_like(pair)
    borders[23:29] = True  # interpolation between the halves
    assert np.array_equal((left | right)[~borders], pair[~borders])
    where = [np.argwhere(mask)[:, 0].mean() for mask in (left, right)]
    assert where[0] > where[1], "x runs to the left in this file, so the left half has the higher index"
    assert np.argwhere(left)[:, 0].min() >= 24
    assert np.argwhere(right)[:, 0].max() <= 27


def test_the_middle_is_the_bodys_not_the_scans() -> None:
    array = np.full((50, 20, 20), -2.0, np.float32)
    array[10:31, 5:15, :] = 1.0
    assert body_middle(array) == pytest.approx(20.5)
    assert body_middle(np.zeros((50, 20, 20), np.float32)) == 25


def test_words_without_a_vector_are_refused() -> None:
    with pytest.raises(BadCall, match="find_structures"):
        predictor().query_weights(["flux capacitor"])


def test_features_of_another_model_are_refused() -> None:
    class Other:
        nbytes = 0

    with pytest.raises(TypeError, match="Other"):
        predictor().decode(Other(), ["liver"])


def test_dot_products_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(3, 5, 7, 11)).astype(np.float16), rng.normal(size=(2, 4)).astype(np.float32)
    expected = (
        np.einsum("cxyz,nc->nxyz", features.astype(np.float64), weights[:, :3]) + weights[:, 3][:, None, None, None]
    )
    assert np.allclose(dot_products(features, weights), expected, atol=1e-4)


def test_the_likeliest_part_is_kept_not_the_largest() -> None:
    """A small sure part beside a large doubtful one."""
    logit = np.full((11, 7, 5), -3.0, np.float32)
    logit[0:2, 0:3, 1:3] = 9.0  # 12 voxels: 108
    logit[5:9, 1:5, 0:4] = 0.5  # 64 voxels: 32
    kept = likeliest_part(logit > 0, logit)
    assert kept.sum() == 12
    assert kept[0, 0, 1]


def seeing(logit: np.ndarray, coarser: int = 1) -> tuple[SatMiniPredictor, SatMiniFeatures]:
    """A predictor for which features are the logits themselves, so that expected masks are thresholds of them."""
    made, shape = predictor(), tuple(n // coarser for n in logit.shape)
    affine = np.diag([2.0 * coarser] * 3 + [1.0])
    volume = Volume(np.zeros(shape, np.float32), Grid(shape, affine), "ct")
    scan = made.encode(volume, progress=lambda s: None, cancelled=lambda: False)
    assert scan.array.shape[1:] == logit.shape
    array = np.zeros_like(scan.array)
    array[0] = logit
    weights = np.array([[1.0] + [0.0] * len(array[1:]) + [0.0]], np.float32)
    made.query_weights = lambda names: weights.repeat(len(names), axis=0)  # type: ignore[method-assign]
    return made, replace(scan, array=array, middle=logit.shape[0] / 2)


def test_a_pair_keeps_its_likeliest_piece_on_either_side() -> None:
    """Two kidneys, and a stray beside each: four pieces, of which the pair keeps two and each half one."""
    logit = np.full((16, 16, 16), -9.0, np.float32)
    for piece in ((slice(1, 5), 5), (slice(11, 15), 5), (slice(1, 3), 12), (slice(13, 15), 12)):
        logit[piece[0], piece[1] : piece[1] + 3, 5:9] = 4.0
    made, features = seeing(logit)
    made.decisions = replace(made.decisions, single=frozenset({"kidneys", "left kidney", "right kidney"}))
    pair, left, right = (one.array for one in made.decode(features, ["kidneys", "left kidney", "right kidney"]))
    assert [int(cc3d.connected_components(mask).max()) for mask in (pair, left, right)] == [2, 1, 1]
    assert np.array_equal(pair, left | right)
    assert not pair[:, 10:].any()


def test_cutoffs_shrink_a_mask_and_single_parts_drop_strays() -> None:
    logit = np.full((32, 32, 32), -4.0, np.float32)
    logit[2:9, 2:9, 2:9] = 1.0
    logit[3:8, 3:8, 3:8] = 3.0
    logit[12:14, 12:14, 12:14] = 3.0
    made, features = seeing(logit, coarser=2)

    def voxels(decisions: Decisions) -> int:
        made.decisions = decisions
        return int(made.decode(features, ["liver"])[0].array.sum())

    plain = voxels(Decisions())
    assert voxels(Decisions(cutoffs={"liver": 2.0})) < voxels(Decisions(cutoffs={"liver": 0.5})) < plain
    assert voxels(Decisions(single=frozenset({"liver"}))) == pytest.approx(plain - 8, abs=8)
    assert voxels(Decisions(single=frozenset({"spleen"}))) == plain


def test_decisions_come_back_from_their_file() -> None:
    made = Decisions({"left femur": ("femora", "left")}, {"femora": 0.75}, frozenset({"liver", "heart"}), ("x", "ty"))
    assert Decisions.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert Decisions.from_json({}) == Decisions()


def test_views_average_the_answers_to_mirrored_and_swapped_scans() -> None:
    """A network that answers the row number: its average over a scan and its mirror image is constant."""

    def rows(seen: np.ndarray) -> np.ndarray:
        row = np.arange(seen.shape[2], dtype=np.float32)
        return np.broadcast_to(row.reshape(1, 1, -1, *[1] * (seen.ndim - 3)), seen.shape)

    array, shares = np.ones((7, 5, 3), np.float32), list[float]()
    for run in (run_slices, run_tiles):

        def found(*views: str, run: Any = run) -> np.ndarray:
            more = {"channels": 1, "stride": 1, "progress": shares.append, "cancelled": lambda: False}
            return np.asarray(run(array, rows, views=views, **more)[0])

        assert found()[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert found("x")[:, 0, 0].tolist() == [3] * 7
        assert found("t")[2, 4, 1] == (2 + 4) / 2
        assert found("t", "x", "y", "txy").shape == array.shape
    assert max(shares) == 1


@pytest.mark.parametrize("view", ["", "x", "y", "xy", "t", "tx", "ty", "txy"])
def test_a_view_is_undone_to_the_bit(view: str) -> None:
    scan = np.random.default_rng(3).normal(size=(2, 7, 5, 3)).astype(np.float32)
    assert np.array_equal(turned_back(turned(scan, view), view), scan)
    assert np.array_equal(turned(scan, view), scan) == (view == "")


def test_smoothing_across_slices_is_that_of_the_logits_and_leaves_thick_or_single_slices_alone() -> None:
    """Features are smoothed, not logits: both give the same, as logits are linear in features."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((3, 4, 5, 9)).astype(np.float16)
    weights = rng.standard_normal((2, 4)).astype(np.float32)
    smooth = dot_products(smoothed_along(features, 1.2), weights)
    plain = ndimage.gaussian_filter1d(dot_products(features, weights), 1.2, axis=3, mode="nearest")
    np.testing.assert_allclose(smooth, plain, atol=5e-3)
    assert smoothed_along(features, 0.3) is features
    one = features[..., :1]
    assert smoothed_along(one, 3.0) is one


def test_a_slice_that_errs_is_outvoted_where_the_voxel_size_is_known() -> None:
    torch.manual_seed(0)
    net = SatMini(SatMiniConfig(dims=2, features=(4, 8, 12), finest=8, embed=6))
    how = Preparation(dims=2, spacing_mm=(2.0, 2.0, 1.0), intensity="ct", longest=32)
    array = np.full((32, 24, 7), 40, np.int16)
    array[:, :, 3] = -900  # unlike its neighbours

    def spread(along_mm: float, *, known: bool = True) -> float:
        made = SatMiniPredictor(
            net, how, card("sat-mini-abdomen-2d"), backend="torch", decisions=Decisions(along_mm=along_mm)
        )
        volume = Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 3.0, 1.0]), spacing_known=known), "ct")
        found = made.encode(volume, progress=lambda share: None, cancelled=lambda: False).array.astype(np.float32)
        return float(np.abs(found[..., 3] - found[..., 0]).mean())

    assert spread(6.0) < 0.7 * spread(0.0)
    assert spread(6.0, known=False) == spread(0.0, known=False)


def test_a_slice_answers_for_itself_and_its_neighbours_only() -> None:
    torch.manual_seed(0)
    net = SatMini(SatMiniConfig(dims=2, features=(4, 8), finest=8, embed=6, neighbours=1))
    how = Preparation(dims=2, spacing_mm=(2.0, 2.0, 1.0), intensity="ct", longest=32)
    made = SatMiniPredictor(net, how, card("sat-mini-cardiac"), backend="torch")
    array = np.random.default_rng(0).integers(-160, 200, (32, 24, 7)).astype(np.int16)

    def features(array: np.ndarray) -> np.ndarray:
        volume = Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 3.0, 1.0])), "ct")
        return made.encode(volume, progress=lambda share: None, cancelled=lambda: False).array.astype(np.float32)

    before = features(array)
    array[:, :, 3] = 150
    changed = [bool(np.abs(features(array) - before)[..., z].max() > 1e-3) for z in range(7)]
    assert changed == [False, False, True, True, True, False, False]
    assert features(array[:, :, :1]).shape[3] == 1, "a single picture"


def test_features_of_a_continued_picture_lie_on_the_picture_again() -> None:
    """Body at three sides, odd sizes, a mirrored view beside: far from the cuts the features are those without."""
    torch.manual_seed(0)
    net = SatMini(SatMiniConfig(dims=2, features=(4, 8), finest=8, embed=6))
    how = Preparation(dims=2, spacing_mm=(2.0, 2.0, 1.0), intensity="ct", longest=61)
    array = np.full((61, 47, 1), -1000, np.int16)
    array[:, 9:] = 40 + np.random.default_rng(0).integers(-60, 60, (61, 38, 1))

    def features(pixels: int) -> np.ndarray:
        decisions = Decisions(views=("y",), mirrored_edge=pixels)
        made = SatMiniPredictor(net, how, card("sat-mini-abdomen-2d"), backend="torch", decisions=decisions)
        volume = Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 3.0, 1.0])), "ct")
        return made.encode(volume, progress=lambda share: None, cancelled=lambda: False).array.astype(np.float32)

    with_it, without = features(8), features(0)
    assert with_it.shape == without.shape
    np.testing.assert_allclose(with_it[:, 16:-16, 12:-16], without[:, 16:-16, 12:-16], atol=0.02)
    assert np.abs(with_it[:, :2] - without[:, :2]).max() > 0.05, "at a cut they differ"
