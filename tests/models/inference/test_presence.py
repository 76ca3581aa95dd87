"""The chance that a structure is there: its traces by hand, its law from data made with a known one."""

import math

import numpy as np
import pytest
from scipy import ndimage

from ostensor.models.inference.calibration import SIGNS
from ostensor.models.inference.presence import TRACES, Presence, traces_of
from ostensor.training.reliability.calibrate import fit
from ostensor.training.reliability.limits import Row


def test_traces_of_a_bump_by_hand() -> None:
    """One blob of Gaussian shape, width 3: smoothed by 2, its top falls to 9/13 in a plane and (9/13)^1.5 in space."""
    x = np.indices((41, 41, 41)) - 20.0
    bump = np.exp(-(x**2).sum(axis=0) / (2 * 3.0**2)).astype(np.float32) * 10 - 8
    top, smooth, expected = traces_of(bump)
    assert top == pytest.approx(2.0)
    assert smooth == pytest.approx(10 * (9 / 13) ** 1.5 - 8, abs=0.1)
    assert expected == pytest.approx(math.log10((1 / (1 + np.exp(-bump[bump > -6]))).sum()), abs=1e-3)
    flat = traces_of(bump, by_slice=True)
    assert flat[1] == pytest.approx(10 * 9 / 13 - 8, abs=0.1)
    middle = bump[:, :, 20]
    assert flat[2] == pytest.approx(math.log10((1 / (1 + np.exp(-middle[middle > -6]))).sum()), abs=1e-3)


def test_the_highest_smoothed_logit_is_that_of_the_whole_map() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        logit = ndimage.gaussian_filter(rng.normal(-6, 30, (24, 30, 12)), 2).astype(np.float32)
        assert traces_of(logit)[1] == pytest.approx(float(ndimage.gaussian_filter(logit, 2).max()), abs=0.35)


def test_nothing_seen_gives_finite_traces() -> None:
    nothing = np.full((5, 4, 3), -30.0, dtype=np.float32)
    assert traces_of(nothing) == pytest.approx((-30.0, -30.0, -3.0))
    assert len(TRACES) == len(traces_of(nothing, by_slice=True))


def rows(seed: int, count: int = 4000) -> list[Row]:
    """Presence by a law of the highest logit: livers from -2 on, spleens from 2 on."""
    rng, made = np.random.default_rng(seed), []
    signs = (0.9,) * len(SIGNS)
    for n in range(count):
        name, logit = ("liver", "spleen")[n % 2], float(rng.uniform(-8, 8))
        there = rng.random() < chance(name, logit)
        made.append(Row("p", name, "none", signs, 0.9 * there, 500 * there, 500, (logit, logit, 0.0)))
    return made


def chance(name: str, logit: float) -> float:
    return 1 / (1 + math.exp(-(logit + 2 if name == "liver" else logit - 2)))


def test_a_known_law_is_learned_for_every_structure() -> None:
    made = fit(rows(0), "abc", "").presence
    assert made is not None
    for name in ("liver", "spleen"):
        for logit in (-4.0, 0.0, 3.0):
            assert made.chance(name, (logit, logit, 0.0)) == pytest.approx(chance(name, logit), abs=0.04)
    again = Presence.from_json(made.to_json())
    assert again == made


def test_the_absent_limit_keeps_its_promise_on_new_patients() -> None:
    made = fit(rows(0), "abc", "").presence
    assert made is not None
    new = rows(1)
    there = [row for row in new if row.voxels]
    hidden = [row for row in there if made.chance(row.structure, row.traces) < made.absent_below]
    gone = [row for row in new if not row.voxels and made.chance(row.structure, row.traces) < made.absent_below]
    assert len(hidden) / len(there) < 0.02
    assert len(gone) > 0.3 * (len(new) - len(there))
