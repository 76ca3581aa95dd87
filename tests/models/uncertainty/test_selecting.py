"""Selection from a pool: counts of the paper, maps against a slow obvious version, and what must never be chosen."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ostensor.models.uncertainty.selecting import OverlapMaps, choose, overlap_maps, patch_starts, u_pp


def test_patches_are_counted_as_published_and_reach_the_border() -> None:
    """5 and 33 per axis are DAUGS's own numbers for 128 pixels, patches of 64, strides 16 and 2."""
    assert len(patch_starts(128, 64, 16)) == 5
    assert len(patch_starts(128, 64, 2)) == 33
    assert patch_starts(35, 24, 8) == [0, 8, 11]
    assert patch_starts(7, 11, 4) == [0]


def _net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)]  # fmt: skip
    return nn.Sequential(*layers).eval()


def _look(net: nn.Module):  # type: ignore[no-untyped-def]
    def look(patch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            image = torch.from_numpy(np.ascontiguousarray(patch[:, :, 0]))[None, None]
            return torch.sigmoid(net(image))[0].numpy()[..., None]

    return look


def test_the_map_equals_the_sample_deviation_of_all_answers_kept_in_a_list() -> None:
    """Brute force: every voxel's answers in a list, numpy's std with n - 1."""
    image = np.random.default_rng(0).normal(size=(23, 19, 1)).astype(np.float32)
    look = _look(_net(0))
    found = overlap_maps(image, look, patch=(16, 13, 1), stride=(3, 4, 1))
    answers: dict[tuple[int, int], list[np.ndarray]] = {}
    for x in patch_starts(23, 16, 3):
        for y in patch_starts(19, 13, 4):
            said = look(image[x : x + 16, y : y + 13])
            for i in range(16):
                for j in range(13):
                    answers.setdefault((x + i, y + j), []).append(said[:, i, j, 0].astype(np.float64))
    assert len(answers) == 23 * 19
    for (x, y), said_there in answers.items():
        assert found.cover[x, y, 0] == len(said_there)
        assert found.mean[:, x, y, 0] == pytest.approx(np.mean(said_there, axis=0))
        wanted = np.std(said_there, axis=0, ddof=1) if len(said_there) > 1 else np.zeros(2)
        assert found.spread[:, x, y, 0] == pytest.approx(wanted, abs=1e-7)


def test_u_pp_by_hand_leaves_out_what_one_patch_alone_saw() -> None:
    """Four voxels: spreads .1 .2 .3 .4, the last seen once; two of the three others are marked: (.01+.04+.09)/2."""
    shape = (1, 4, 1, 1)
    maps = OverlapMaps(
        np.array([0.9, 0.5, 0.1, 0.9]).reshape(shape),
        np.array([0.1, 0.2, 0.3, 0.4]).reshape(shape),
        np.array([2, 3, 2, 1]).reshape(shape[1:]),
    )
    assert u_pp(maps) == pytest.approx(0.14 / 2)
    assert u_pp(maps, least_cover=1) == pytest.approx(0.30 / 3)


def _maps(level: float, noise: float, seed: int = 0) -> OverlapMaps:
    """A member that answers `level` everywhere plus its own noise per look."""
    rng = np.random.default_rng(seed)
    image = np.zeros((16, 13, 1), dtype=np.float32)
    return overlap_maps(
        image,
        lambda p: np.clip(level + noise * rng.normal(size=(1, *p.shape)), 0, 1),
        patch=(8, 8, 1),
        stride=(2, 2, 1),
    )


def test_the_choice_moves_away_from_a_member_that_is_made_noisy() -> None:
    calm, other = u_pp(_maps(0.8, 0.02)), u_pp(_maps(0.8, 0.05, 1))
    assert choose({"a": calm, "b": other}).member == "a"
    assert choose({"a": u_pp(_maps(0.8, 0.2)), "b": other}).member == "b"


def test_a_member_that_marks_nothing_is_never_chosen_however_sure_it_is() -> None:
    """A constant network has no spread at all; what marks nothing must not win by that."""
    silent, constant = _maps(0.1, 0.0), _maps(0.9, 0.0)
    assert silent.spread.max() == pytest.approx(0, abs=1e-7)
    assert u_pp(silent) == math.inf
    assert u_pp(constant) == pytest.approx(0, abs=1e-12)
    assert choose({"silent": u_pp(silent), "noisy": u_pp(_maps(0.8, 0.3))}).member == "noisy"
    nobody = choose({"silent": u_pp(silent)})
    assert (nobody.member, nobody.all_uncertain) == (None, True)


def test_a_best_member_above_the_limit_is_named_but_not_trusted() -> None:
    found = choose({"a": 0.3, "b": 0.2}, limit=0.1)
    assert (found.member, found.all_uncertain) == ("b", True)
    assert not choose({"a": 0.3, "b": 0.2}, limit=0.25).all_uncertain
