"""Tiles: every voxel once, nothing seen twice that need not be, and no seams."""

import itertools

import numpy as np
import pytest
import torch

from ostensor.models.inference.windows import (
    beside,
    body_box,
    cut_edges,
    fitted_tiles,
    mirrored_at_cuts,
    padded,
    run_slices,
    run_tiles,
)
from ostensor.models.interface import Cancelled


def quiet(share: float) -> None:
    """Progress nobody wants."""


@pytest.mark.parametrize("shape", [(30, 40, 50), (97, 31, 150), (64, 64, 64)])
@pytest.mark.parametrize("limit", [20_000, 60_000, 10**9])
def test_inner_parts_cover_every_voxel_exactly_once(shape: tuple[int, int, int], limit: int) -> None:
    seen = np.zeros(shape, int)
    for tile in fitted_tiles(shape, limit=limit, halo=5):
        seen[tuple(slice(a, b) for a, b in zip(tile.inner.start, tile.inner.stop, strict=True))] += 1
        for a, b, n, low, high in zip(
            tile.inner.start, tile.inner.stop, shape, tile.outer.start, tile.outer.stop, strict=True
        ):
            assert low == max(0, a - 5)
            assert high == min(n, b + 5)
    assert (seen == 1).all()


def test_one_tile_when_it_fits() -> None:
    assert len(fitted_tiles((30, 40, 50), limit=60_000)) == 1


def test_tiles_give_what_one_pass_gives_when_the_halo_covers_the_receptive_field() -> None:
    """Against one pass over everything: three 3-voxel convolutions reach 3 voxels."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(*(torch.nn.Conv3d(1 if n == 0 else 2, 2, 3, padding=1) for n in range(3))).double()

    def network(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.from_numpy(image).double()).float().numpy()

    array = np.random.default_rng(1).standard_normal((37, 23, 41)).astype(np.float32)
    whole = network(array[None, None])[0]
    found = run_tiles(
        array, network, channels=2, stride=1, progress=quiet, cancelled=lambda: False, limit=9_000, halo=4
    )
    inside = (slice(None), *(slice(4, -4),) * 3)  # padding at the far border differs: edge values, not zeros
    assert np.allclose(found[inside], whole[inside], atol=2e-3), "half precision"


def test_slices_are_seen_one_by_one_in_their_place() -> None:
    array = np.random.default_rng(2).standard_normal((9, 7, 5)).astype(np.float32)
    found = run_slices(
        array, lambda x: np.concatenate([x, 2 * x], axis=1), channels=2, stride=4, progress=quiet,
        cancelled=lambda: False, batch=2,
    )  # fmt: skip
    assert np.allclose(found[0], array, atol=2e-3)
    assert np.allclose(found[1], 2 * array, atol=4e-3)


def test_a_slice_is_seen_between_its_neighbours_and_the_ends_of_a_stack_repeat() -> None:
    array = np.random.default_rng(2).standard_normal((9, 7, 5)).astype(np.float32)
    found = run_slices(
        array, lambda x: x[:, [0, 1, 2]], channels=3, stride=4, progress=quiet, cancelled=lambda: False, batch=2,
        neighbours=1,
    )  # fmt: skip
    for channel, places in enumerate(([0, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 4])):
        assert np.allclose(found[channel], array[:, :, places], atol=2e-3)
    assert np.array_equal(beside(array[:, :, :1], 0, 1), np.stack([array[:, :, 0]] * 3)), "a single picture"


def test_progress_grows_to_one_and_cancelling_stops_between_tiles() -> None:
    shares: list[float] = []
    array = np.zeros((40, 40, 40), np.float32)
    run_tiles(
        array, lambda x: x, channels=1, stride=1, progress=shares.append, cancelled=lambda: False, limit=20_000, halo=2
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    counter = itertools.count()
    with pytest.raises(Cancelled):
        run_tiles(
            array, lambda x: x, channels=1, stride=1, progress=quiet, cancelled=lambda: next(counter) == 2,
            limit=20_000, halo=2,
        )  # fmt: skip
    assert next(counter) == 3, "nothing ran after the third question"


def test_the_body_is_found_without_the_table_and_dust() -> None:
    array = np.full((80, 90, 60), -3.0, np.float32)
    array[20:60, 24:64, 8:52] = 1.0
    array[70:72, 80:82, 0:2] = 1.0  # dust
    box = body_box(array, margin=6)
    for a, b, low, high in zip(box.start, box.stop, (20, 24, 8), (60, 64, 52), strict=True):
        assert low - 6 - 4 <= a <= low
        assert high <= b <= high + 6 + 4
    assert body_box(np.zeros((20, 20, 20), np.float32)).shape == (20, 20, 20)


def test_padding_reaches_multiples_and_at_least_two_strides() -> None:
    assert padded(np.ones((17, 3, 32), np.float32), 16).shape == (32, 32, 32)
    assert padded(np.ones((33, 40, 48), np.float32), 16).shape == (48, 48, 48)


def test_a_cut_through_the_body_is_continued_and_a_whole_body_is_left_alone() -> None:
    """Body at the low end of x and the high end of y; five of the 18 voxels of the low y edge only touch it."""
    array = np.zeros((18, 24, 2), np.float32)
    array[:12, 10:, :] = 1 + np.random.default_rng(0).random((12, 14, 2)).astype(np.float32)
    array[:5, 0] = 1
    assert cut_edges(array) == ((True, False), (False, True))
    wider, (x, y) = mirrored_at_cuts(array, 5)
    assert wider.shape == (23, 29, 2)
    assert np.array_equal(wider[x, y], array)
    assert np.array_equal(wider[:5, y], array[5:0:-1])
    whole = np.zeros((20, 20, 1), np.float32)
    whole[4:16, 4:16] = 1
    same, (x, y) = mirrored_at_cuts(whole, 5)
    assert same is whole
    assert (x, y) == (slice(0, 20), slice(0, 20))


def test_features_beyond_half_precision_stay_finite() -> None:
    array = np.ones((8, 8, 2), np.float32)
    for run, shape in ((run_slices, "slices"), (run_tiles, "tiles")):
        found = run(
            array, lambda seen: np.full_like(seen, 1e6), channels=1, stride=4, progress=quiet, cancelled=lambda: False
        )
        assert np.isfinite(found).all(), shape
