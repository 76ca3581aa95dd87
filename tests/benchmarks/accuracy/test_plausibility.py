"""Masks are spoilt as the benchmark says, and judged with the body's own places left out."""

import numpy as np
import pytest

from ostensor.benchmarks.accuracy.plausibility import eroded, halved, mirrored, shifted, spoilt, without
from ostensor.benchmarks.accuracy.plausibility_data import Labelled, our_name
from ostensor.benchmarks.imaging import measures as bench_measures
from ostensor.imaging.masks.overlap import compare
from ostensor.imaging.plausibility.priors import Priors
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

GRID = Grid((47, 41, 29), np.diag([-1.5, 2.0, 3.0, 1.0]))


def body(*centre: float) -> Region:
    points = np.moveaxis(np.indices(GRID.shape), 0, -1) - centre
    return Region.of(Mask(np.linalg.norm(points / (6, 5, 4), axis=-1) <= 1, GRID))


def test_each_way_of_spoiling_does_what_it_says() -> None:
    region, rng = body(12, 20, 14), np.random.default_rng(0)
    assert eroded(region, rng).sum() <= region.voxels / 2
    assert halved(region, rng).sum() == pytest.approx(region.voxels / 2, rel=0.2)
    turned = Region.of(Mask(mirrored(region, rng), GRID))
    assert turned.centre_index == pytest.approx((46 - 12, 20, 14))
    moved = shifted(region, rng)
    assert moved is not None
    found = Region.of(Mask(moved, GRID))
    assert found.voxels == region.voxels
    way = (np.array(found.centre_index) - region.centre_index) * GRID.spacing_mm
    assert np.count_nonzero(np.abs(way) > 1e-6) == 1
    assert np.abs(way).max() >= 20


def test_a_mask_that_is_still_good_is_not_called_spoilt() -> None:
    scan = Labelled("x", "x", None, {"middle": body(23, 20, 14), "other": body(10, 20, 14)})
    rng = np.random.default_rng(0)
    assert spoilt(scan, "middle", "mirrored", rng) is None
    wrong = spoilt(scan, "middle", "wrong organ", rng)
    assert wrong is not None
    assert compare(wrong, scan.regions["other"]).dice == 1


def test_no_body_is_judged_by_its_own_places() -> None:
    bundled = Priors.bundled()
    assert set(without(bundled, "hra-male").bodies) == set(bundled.bodies) - {"hra-male"}


def test_names_of_other_tables_become_ours() -> None:
    assert [our_name(name) for name in ("kidney_left", "hip_right", "liver", "rib_left_4")] == [
        "left kidney", "right hip bone", "liver", "left fourth rib",
    ]  # fmt: skip


def test_the_scene_to_measure_has_the_bodies_and_their_halves() -> None:
    volume, mask = bench_measures.scene((38, 30, 41), (10.0, 10.0, 14.0))
    assert len(bench_measures.names()) + 2 == 30
    whole, half = mask("liver"), mask("upper half of the liver")
    assert volume.array.shape == whole.shape
    assert half.sum() < whole.sum()
    assert not (half & ~whole).any()
    assert volume.array[whole].mean() > volume.array[~whole].mean()
