"""Slices are shown as radiologists see them, and masks find their way back."""

import numpy as np
import pytest

from ostensor.imaging.geometry import reorient
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.inference.pictures import (
    Frame,
    displayed,
    displayed_labels,
    frame_of,
    framed,
    framed_labels,
    largest_frame,
    shown_index,
    undisplayed,
    unframed,
    windowed,
)

SHAPE = (17, 23, 5)


def _volume() -> Volume:
    """RAS; one bright voxel at the patient's right, front, head."""
    array = np.full(SHAPE, -1000.0, dtype=np.float32)
    array[15, 20, 4] = 240
    return Volume(array, Grid(SHAPE, np.diag([1.5, 1.2, 4.0, 1.0])), "ct")


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL", "SRP", "PIR"])
def test_the_patients_right_is_left_and_the_front_on_top_whatever_the_axes(codes: str) -> None:
    shown = displayed(reorient(_volume(), codes))
    assert shown.shape == (5, 23, 17)
    assert np.argwhere(shown == 1).tolist() == [[4, 2, 1]]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL", "SRP"])
def test_masks_come_back_onto_the_scans_own_axes(codes: str) -> None:
    volume = reorient(_volume(), codes)
    mask = volume.array > 0
    shown = displayed_labels(mask.astype(np.uint8), volume.grid).astype(bool)
    assert np.array_equal(undisplayed(shown, volume.grid), mask)


def test_a_slice_is_counted_along_the_files_own_axis() -> None:
    grid = _volume().grid
    assert shown_index(grid, 4) == 4
    down = reorient(_volume(), "RAI").grid
    assert shown_index(down, 4) == 0
    with pytest.raises(IndexError):
        shown_index(grid, 5)


def test_windows_are_level_40_width_400_for_ct_and_percentiles_otherwise() -> None:
    hu = np.array([[[-1000.0, -160, 40, 240, 900]]], dtype=np.float32)
    assert windowed(hu, "ct").ravel().tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    values = np.linspace(0, 1000, 1001, dtype=np.float32).reshape(7, 11, 13)
    found = windowed(values, "mr").ravel()
    assert found[500] == pytest.approx(0.5, abs=1e-3)
    assert (found == 0).sum() == (found == 1).sum() == 6, "half a percent at each end"


def test_the_frame_is_a_square_around_the_body_and_not_the_table() -> None:
    picture = np.zeros((120, 150), dtype=np.float32)
    picture[30:90, 40:110] = 0.6
    picture[110:113, 10:140] = 0.6  # the table
    frame = frame_of(picture)
    assert frame.side == pytest.approx(70 * 1.06)
    assert frame.top + frame.side / 2 == pytest.approx(60)
    assert frame.left + frame.side / 2 == pytest.approx(75)
    nothing = frame_of(np.zeros((12, 20), dtype=np.float32))
    assert (nothing.side, nothing.top, nothing.left) == (20, -4, 0)


def test_logits_of_the_square_come_back_to_their_place() -> None:
    """A disc with sub-pixel middle: its centre of mass stays within half a pixel, its area within 4 percent."""
    y, x = np.mgrid[:97, :131]
    disc = ((y - 41.3) ** 2 + (x - 70.6) ** 2 < 19**2).astype(np.float32)
    frame = Frame((97, 131), -6.5, 20.25, 101.0)
    small = framed(disc, frame, 64)
    back = unframed(small - 0.5, frame) > 0
    rows, columns = np.nonzero(back)
    assert (rows.mean(), columns.mean()) == pytest.approx((41.3, 70.6), abs=0.5)
    assert back.sum() == pytest.approx(disc.sum(), rel=0.04)
    assert not back[:, :20].any()
    assert unframed(np.full((64, 64), 5, np.float32), frame)[50, 5] == -30, "nothing outside the square"


def test_labels_keep_their_values() -> None:
    labels = np.zeros((31, 37), dtype=np.uint8)
    labels[5:20, 9:30] = 7
    found = framed_labels(labels, Frame((31, 37), -3, 0, 37), 64)
    assert set(np.unique(found)) == {0, 7}
    assert (found == 7).mean() * 37**2 == pytest.approx(15 * 21, rel=0.05)


def test_one_frame_for_a_stack_holds_the_largest() -> None:
    found = largest_frame([Frame((9, 9), 1, 1, 4), Frame((9, 9), 0, 1, 6), Frame((9, 9), 2, 1, 2)])
    assert (found.side, found.top, found.left) == (6, 0, 0)
