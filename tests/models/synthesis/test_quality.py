"""Laws of the quality figures, and values known beforehand."""

import math

import numpy as np
import pytest

from ostensor.models.synthesis.quality import fsim, jitter, nearest_distance, phase_congruency, psnr, seam_ratio, ssim


def _picture(seed: int = 0) -> np.ndarray:
    """A smooth blob, an edge and some grain, 37 x 53."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:37, :53]
    picture = np.exp(-((x - 12) ** 2 + (y - 30) ** 2) / 60) - 0.6 * (y > 40) + 0.03 * rng.standard_normal((37, 53))
    return np.clip(picture, -1, 1)


def test_a_picture_is_like_itself() -> None:
    one = _picture()
    assert fsim(one, one) == pytest.approx(1.0, abs=1e-12)
    assert ssim(one, one) == pytest.approx(1.0, abs=1e-12)
    assert psnr(one, one) == math.inf


def test_fsim_is_symmetric_and_falls_with_noise() -> None:
    one, rng = _picture(), np.random.default_rng(1)
    grain = rng.standard_normal(one.shape)
    worse = [fsim(one, np.clip(one + level * grain, -1, 1)) for level in (0.05, 0.2, 0.6)]
    assert fsim(one, one + 0.1 * grain) == pytest.approx(fsim(one + 0.1 * grain, one), abs=1e-12)
    assert 1 > worse[0] > worse[1] > worse[2] > 0


def test_fsim_prefers_another_brightness_to_another_structure() -> None:
    """It compares phase and gradient: adding a constant costs less than moving the picture by three pixels."""
    one = 0.7 * _picture()
    assert fsim(one, one + 0.1) > fsim(one, np.roll(one, 3, axis=0))


def test_phase_congruency_marks_an_edge_whatever_its_contrast() -> None:
    """Kovesi 1999: a step of 20 and one of 200 are both marked where they are, and nearly alike."""
    edges = []
    for height in (20.0, 200.0):
        step = np.zeros((32, 48))
        step[:, 24:] = height
        edges.append(phase_congruency(step))
    for edge in edges:
        assert abs(int(edge[16, 8:40].argmax()) + 8 - 23.5) <= 1
    assert edges[0][16, 20:28].max() == pytest.approx(edges[1][16, 20:28].max(), rel=0.05)


def test_psnr_of_a_known_error() -> None:
    """Range 2, error 0.2 everywhere: 20 dB by 10 log10(4 / 0.04)."""
    assert psnr(np.zeros((5, 7)), np.full((5, 7), 0.2)) == pytest.approx(20.0)


def test_jitter_is_the_ratio_of_steps_along_z() -> None:
    ramp = np.broadcast_to(np.arange(7.0), (3, 5, 7))
    assert jitter(3 * ramp, ramp) == pytest.approx(3.0)


def test_a_seam_is_seen_at_the_border_of_what_was_kept() -> None:
    """Steps of 10 across the border and 1 elsewhere."""
    keep = np.zeros((12, 3), np.bool_)
    keep[:6] = True
    column = np.concatenate([np.arange(6.0), np.arange(6.0) + 15])
    picture = np.repeat(column[:, None], 3, axis=1)
    across, along, still = 10.0, 10 * 1.0, 24  # one border row; ten other steps per column; steps along y are 0
    assert seam_ratio(picture, keep) == pytest.approx(across / (3 * along / (3 * 10 + still)))
    assert seam_ratio(picture, np.ones_like(keep)) is None


def test_a_copy_is_at_distance_zero_and_other_shapes_are_left_out() -> None:
    one, other = np.zeros((4, 5), np.float32), np.full((4, 5), 0.5, np.float32)
    assert nearest_distance(one, [other, one]) == 0.0
    assert nearest_distance(one, [other]) == pytest.approx(0.5)
    assert math.isnan(nearest_distance(one, [np.zeros((3, 5), np.float32)]))
