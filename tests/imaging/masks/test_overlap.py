"""Overlap against formulas, a slow brute force, and MONAI's conventions."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from ostensor.imaging.errors import BadCall
from ostensor.imaging.masks.overlap import compare, surface
from ostensor.imaging.volume import Grid, Mask

SPACING = (0.7, 0.9, 3.0)
GRID = Grid((17, 19, 13), np.diag([*SPACING, 1.0]))


def _blob(seed: int, centre: tuple[float, float, float] = (8, 9, 6)) -> Mask:
    points = np.indices(GRID.shape).reshape(3, -1).T - np.array(centre)
    noise = np.random.default_rng(seed).normal(0, 0.12, len(points))
    inside = (np.abs(points / (5, 6, 4)) ** 2).sum(axis=1) + noise < 1
    return Mask(inside.reshape(GRID.shape), GRID)


def _slow_surface(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    found = []
    for x, y, z in np.argwhere(padded):
        faces = [
            padded[x - 1, y, z],
            padded[x + 1, y, z],
            padded[x, y - 1, z],
            padded[x, y + 1, z],
            padded[x, y, z - 1],
            padded[x, y, z + 1],
        ]
        if not all(faces):
            found.append((x - 1, y - 1, z - 1))
    return np.array(found)


def test_every_value_agrees_with_brute_force() -> None:
    a, b = _blob(0), _blob(1, (9, 8, 7))
    found = compare(a, b, tolerance_mm=1.0)
    pa, pb = _slow_surface(a.array) * SPACING, _slow_surface(b.array) * SPACING
    distances = cdist(pa, pb)
    there, back = distances.min(axis=1), distances.min(axis=0)
    both = np.concatenate([there, back])
    assert found.dice == pytest.approx(2 * (a.array & b.array).sum() / (a.array.sum() + b.array.sum()))
    assert found.iou == pytest.approx((a.array & b.array).sum() / (a.array | b.array).sum())
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-5)
    assert found.assd_mm == pytest.approx(both.mean(), rel=1e-5)
    assert found.hd_mm == pytest.approx(both.max(), rel=1e-5)
    assert found.nsd == pytest.approx((both <= 1.0).mean())
    assert found.volume_difference_ml == pytest.approx((a.array.sum() - b.array.sum()) * 0.7 * 0.9 * 3 / 1000)


def test_a_mask_shifted_by_two_voxels_is_that_far_away() -> None:
    array = np.zeros(GRID.shape, bool)
    array[4:7, 5:9, 2:4] = True
    found = compare(Mask(array, GRID), Mask(np.roll(array, 2, axis=0), GRID), tolerance_mm=1.41)
    assert found.hd_mm == pytest.approx(1.4, rel=1e-5)
    assert found.nsd == 1.0


def test_two_empty_masks_agree_and_one_empty_mask_has_no_distance() -> None:
    empty = Mask(np.zeros(GRID.shape, bool), GRID)
    assert (compare(empty, empty).dice, compare(empty, empty).hd95_mm) == (1.0, None)
    half = compare(_blob(0), empty)
    assert (half.dice, half.nsd) == (0.0, None)
    assert "empty" in half.reasons[0]


def test_a_mask_agrees_with_itself() -> None:
    found = compare(_blob(0), _blob(0))
    assert (found.dice, found.iou, found.nsd, found.hd95_mm, found.assd_mm) == (1, 1, 1, 0, 0)


def test_sheared_grids_and_unknown_spacing_give_reasons_not_numbers() -> None:
    sheared = np.diag([*SPACING, 1.0])
    sheared[0, 2] = 0.4
    for grid, word in ((Grid(GRID.shape, sheared), "sheared"), (Grid(GRID.shape, np.eye(4), False), "voxel size")):
        found = compare(Mask(_blob(0).array, grid), Mask(_blob(1).array, grid))
        assert found.hd95_mm is None
        assert word in found.reasons[0]
        assert found.dice > 0


def test_different_grids_and_no_tolerance_are_refused() -> None:
    moved = np.array(GRID.affine)
    moved[0, 3] = 5
    with pytest.raises(BadCall, match="different grids"):
        compare(_blob(0), Mask(_blob(0).array, Grid(GRID.shape, moved)))
    with pytest.raises(BadCall, match="above 0"):
        compare(_blob(0), _blob(0), tolerance_mm=0)


def reference(a: np.ndarray, b: np.ndarray, tolerance_mm: float) -> dict[str, float | None]:
    """Written from the definitions with scipy alone: erosion, exact distance maps, label."""
    out: dict[str, float | None] = {}
    total, both = a.sum() + b.sum(), (a & b).sum()
    out["dice"] = 2 * both / total if total else 1.0
    out["iou"] = both / (total - both) if total else 1.0
    out["volume_error"] = (int(a.sum()) - int(b.sum())) / b.sum() if b.any() else None
    parts = [ndimage.label(m, structure=np.ones((3, 3, 3))) for m in (a, b)]
    met = [len(set(p[a & b].tolist())) for p, _n in parts]
    shares = [m / n if n else None for m, (_p, n) in zip(met, parts, strict=True)]
    if None in shares:
        out["f1"] = 1.0 if shares == [None, None] else 0.0
    else:
        out["f1"] = 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0
    out |= dict.fromkeys(("nsd", "hd_mm", "hd95_mm", "assd_mm"))
    if a.any() and b.any():
        edges = [m & ~ndimage.binary_erosion(m) for m in (a, b)]
        maps = [ndimage.distance_transform_edt(~edge, sampling=SPACING) for edge in edges]
        there, back = maps[1][edges[0]], maps[0][edges[1]]
        every = np.concatenate([there, back])
        out["nsd"], out["hd_mm"], out["assd_mm"] = (every <= tolerance_mm).mean(), every.max(), every.mean()
        out["hd95_mm"] = max(np.percentile(there, 95), np.percentile(back, 95))
    return out


def degenerate(kind: str) -> np.ndarray:
    array = np.zeros(GRID.shape, bool)
    if kind == "full":
        array[:] = True
    elif kind == "one voxel":
        array[3, 5, 7] = True
    elif kind == "corner voxel":
        array[0, -1, 0] = True
    elif kind == "plane":
        array[:, 6, :] = True
    elif kind == "line":
        array[2, 3, :] = True
    elif kind == "chessboard":
        array[::2, ::2, ::2] = True
    return array


KINDS = ("empty", "full", "one voxel", "corner voxel", "plane", "line", "chessboard")
PAIRS = [(degenerate(a), degenerate(b)) for a in KINDS for b in KINDS]
RANDOM = [
    tuple(np.random.default_rng(seed + 100 * n).random(GRID.shape) < density for n in (0, 1))
    for seed, density in enumerate((0.001, 0.01, 0.1, 0.5, 0.9))
]
SMOOTH = [(_blob(seed).array, _blob(seed + 50, (9, 8, 7)).array) for seed in range(5)]


@pytest.mark.parametrize("pair", [*PAIRS, *RANDOM, *SMOOTH])
def test_random_and_degenerate_masks_agree_with_the_reference_within_a_millionth(pair: tuple[np.ndarray, ...]) -> None:
    first, second = pair
    found = compare(Mask(first, GRID), Mask(second, GRID), tolerance_mm=1.3)
    wanted = reference(first, second, 1.3)
    for name, value in wanted.items():
        given = found.lesions.f1 if name == "f1" else getattr(found, name)
        assert given == (value if value is None else pytest.approx(value, abs=1e-6, rel=0)), name


def test_lesions_are_counted_on_both_sides() -> None:
    """Two true lesions, one found as two parts and one missed, and a false one: worked by hand."""
    truth, guess = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    truth[2:8, 3:5, 2:4] = truth[12:15, 12:15, 8:10] = True
    guess[2:4, 3:5, 2:4] = guess[6:9, 3:5, 2:4] = guess[0:2, 15:17, 11:12] = True
    found = compare(Mask(guess, GRID), Mask(truth, GRID)).lesions
    assert (found.first, found.first_matched, found.second, found.second_matched) == (3, 2, 2, 1)
    assert found.f1 == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # inside MONAI 1.6
def test_distances_agree_with_monai() -> None:
    """MONAI 1.6, the convention this file states."""
    import torch
    from monai import metrics as monai

    a, b = _blob(0), _blob(1, (9, 8, 7))
    one, other = (torch.from_numpy(m.array)[None, None].float() for m in (a, b))
    found = compare(a, b, tolerance_mm=1.0)
    hd95 = monai.compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=SPACING)
    assd = monai.compute_average_surface_distance(one, other, include_background=True, symmetric=True, spacing=SPACING)
    nsd = monai.compute_surface_dice(one, other, [1.0], include_background=True, spacing=SPACING)
    assert found.hd95_mm == pytest.approx(float(hd95), rel=1e-3)
    assert found.assd_mm == pytest.approx(float(assd), rel=1e-3)
    assert found.nsd == pytest.approx(float(nsd), abs=0.02)


def test_the_surface_of_a_block_is_its_shell() -> None:
    array = np.zeros((7, 8, 9), bool)
    array[1:6, 2:7, 2:8] = True
    assert surface(array).sum() == 5 * 5 * 6 - 3 * 3 * 4
