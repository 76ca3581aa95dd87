"""The torso phantom: exact volumes, sides, and the same scan for the same seed."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.masks.measures import volume_ml
from ostensor.imaging.phantoms import TORSO, torso_ct


def test_whole_organs_have_their_analytic_volume() -> None:
    """4/3 pi a b c, at an uneven spacing."""
    phantom = torso_ct(spacing_mm=(2.1, 1.9, 2.7))
    assert {"liver", "spleen", "left kidney", "right kidney", "urinary bladder"} <= set(phantom.whole_ml)
    for name, expected in phantom.whole_ml.items():
        assert volume_ml(phantom.masks[name]) == pytest.approx(expected, rel=0.03)


def test_the_liver_is_right_and_the_spleen_left_and_tissues_have_their_hu() -> None:
    phantom = torso_ct(spacing_mm=(4, 4, 4))
    for name, sign in (("liver", 1), ("spleen", -1), ("left kidney", -1), ("right femur", 1)):
        x = (phantom.volume.grid.affine @ [*np.argwhere(phantom.masks[name].array).mean(axis=0), 1])[0]
        assert np.sign(x) == sign
        assert np.median(phantom.volume.array[phantom.masks[name].array]) == pytest.approx(TORSO[name][1], abs=25)
    assert phantom.volume.synthetic
    assert phantom.volume.array.min() >= -1024


def test_a_seed_gives_one_scan_and_masks_do_not_depend_on_it() -> None:
    one, same, other = (torso_ct(spacing_mm=(6, 6, 6), seed=s) for s in (1, 1, 2))
    assert one.volume.content_hash == same.volume.content_hash != other.volume.content_hash
    assert one.masks["liver"].content_hash == other.masks["liver"].content_hash


def test_organs_cut_by_the_scan_have_no_whole_volume() -> None:
    phantom = torso_ct(spacing_mm=(4, 4, 4), field_mm=((-190, 190), (-140, 140), (100, 260)))
    assert "liver" not in phantom.whole_ml
    assert "heart" in phantom.whole_ml or phantom.masks["heart"].array.any()


def test_an_impossible_spacing_is_refused() -> None:
    with pytest.raises(BadCall, match="above 0"):
        torso_ct(spacing_mm=(0, 1, 1))
