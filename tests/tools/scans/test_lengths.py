"""`measure` of several parts, of pairs, of vessels and of tilted scans: sizes worked out here, from the bodies' own."""

import re
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging.formats.table import NO_ORIENTATION
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.tools.desk.desk import Desk
from ostensor.tools.scans.lengths import MOST_PARTS, NO_DIRECTION

from ...toys.desks import Ask

SHAPE = (83, 61, 47)
SPACING = (2.3, 1.9, 3.1)


def grid(turn: tuple[float, ...] = (0, 0, 0), *, known: bool = True) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zyx", turn, degrees=True).as_matrix() @ np.diag(SPACING)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return Grid(SHAPE, affine, known)


def ellipsoid(where: Grid, half: tuple[float, ...], centre: tuple[float, ...]) -> np.ndarray:
    points = where.affine[:3, :3] @ np.indices(where.shape).reshape(3, -1) + where.affine[:3, 3:]
    away = (points - np.array(centre)[:, None]) / np.array(half)[:, None]
    return np.asarray((np.square(away).sum(axis=0) <= 1).reshape(where.shape))


def measured(
    ask: Ask, desk: Desk, where: Grid, name: str, array: np.ndarray, **facts: Any
) -> tuple[dict[str, Any], str]:
    image = desk.store.add_image(Volume(np.zeros(SHAPE, np.int16), where, "ct"), source_name="x", facts=facts).image_id
    mask = desk.store.add_mask(Mask(array, where), image_id=image, structure=name, made_by="test").mask_id
    reply = ask("measure", mask_ids=[mask], what=["volume", "diameters", "shape"])
    assert not reply.is_error, reply.text
    return reply.result["measurements"][0], reply.text


def kidneys(where: Grid) -> np.ndarray:
    """Left 112 mm high, right 100 mm, 130 mm from one another."""
    return ellipsoid(where, (26, 22, 56), (-65, 3, 0)) | ellipsoid(where, (25, 21, 50), (65, 3, -6))


def test_a_pair_has_two_lengths_and_none_across_both(ask: Ask, desk: Desk) -> None:
    row, text = measured(ask, desk, grid(), "kidneys", kidneys(grid()))
    assert row["diameters"]["longest_3d_mm"] == pytest.approx(112, abs=4)
    assert row["diameters"]["transverse_mm"] == pytest.approx(52, abs=4)
    assert [part["side"] for part in row["parts"]] == ["left", "right"]
    assert [part["lengths"]["longest_3d_mm"] for part in row["parts"]] == pytest.approx([112, 100], abs=4)
    assert sum(part["volume_ml"] for part in row["parts"]) == pytest.approx(row["volume_ml"], abs=0.01)
    told = re.search(r"longest ([\d., ]+) mm", text)
    assert told is not None
    assert max(float(mm) for mm in told[1].split(", ")) < 120, "the way from one kidney to the other is no length"
    assert "2 parts are measured each for itself." in row["reasons"]


def test_a_part_that_holds_both_of_a_pair_has_no_lengths(ask: Ask, desk: Desk) -> None:
    grown = ellipsoid(grid(), (30, 20, 15), (-24, 0, 0)) | ellipsoid(grid(), (30, 20, 15), (24, 0, 0))
    row, _text = measured(ask, desk, grid(), "thalami", grown)
    assert (row["diameters"], row["parts"]) == (None, [])
    assert any("hold both of the thalami" in reason for reason in row["reasons"])
    assert measured(ask, desk, grid(), "liver", grown)[0]["diameters"]["transverse_mm"] == pytest.approx(108, abs=5)


def test_specks_are_left_out_and_counted(ask: Ask, desk: Desk) -> None:
    array = ellipsoid(grid(), (26, 22, 56), (-65, 3, 0))
    for place in ((70, 5, 5), (70, 15, 9), (60, 40, 40)):
        array[place] = True
    row, _text = measured(ask, desk, grid(), "left kidney", array)
    assert row["diameters"]["longest_3d_mm"] == pytest.approx(112, abs=4)
    assert (row["parts"], row["shape"]["parts"]) == ([], 4)
    assert "Left out: 3 specks below 5 mm." in row["reasons"]


def test_of_many_parts_the_largest_are_measured_and_the_others_counted(ask: Ask, desk: Desk) -> None:
    array = np.zeros(SHAPE, bool)
    for n in range(MOST_PARTS + 3):
        array[5 * n + 2 : 5 * n + 5, 10:13, 10 : 12 + n] = True
    row, text = measured(ask, desk, grid(), "liver tumour", array)
    assert len(row["parts"]) == MOST_PARTS
    assert [part["voxels"] for part in row["parts"]] == sorted((part["voxels"] for part in row["parts"]), reverse=True)
    assert f"{MOST_PARTS} parts are measured each for itself. Left out: 3 smaller parts." in row["reasons"]
    assert "and 8 more" in text


@pytest.mark.parametrize("turn", [(0, 0, 0), (12, 24, -19)])
def test_extents_follow_the_body_and_not_the_scan(ask: Ask, desk: Desk, turn: tuple[float, ...]) -> None:
    """An ellipsoid with half axes of 26, 22 and 56 mm along the patient; a voxel on either end is the tolerance."""
    where = grid(turn)
    row, text = measured(ask, desk, where, "left kidney", ellipsoid(where, (26, 22, 56), (-30, 3, 0)))
    names = ("transverse_mm", "anteroposterior_mm", "craniocaudal_mm")
    assert [row["diameters"][name] for name in names] == pytest.approx([52, 44, 112], abs=4.3)
    assert "mm craniocaudally" in text


def test_without_orientation_no_direction_is_named(ask: Ask, desk: Desk) -> None:
    row, text = measured(ask, desk, grid(), "kidneys", kidneys(grid()), warnings=[NO_ORIENTATION])
    assert row["diameters"]["longest_3d_mm"] == pytest.approx(112, abs=4)
    assert all(row["diameters"][f"{way}_mm"] is None for way in ("craniocaudal", "transverse", "anteroposterior"))
    assert all(part["side"] is None for part in row["parts"])
    assert NO_DIRECTION in row["reasons"]
    assert "craniocaudally" not in text


def test_without_voxel_size_there_are_no_millimetres(ask: Ask, desk: Desk) -> None:
    row, text = measured(ask, desk, grid(known=False), "aorta", kidneys(grid()))
    assert (row["diameters"], row["across"], row["parts"]) == (None, None, [])
    assert "mm" not in text.replace("mm or ml", "")


def test_a_vessel_is_measured_across_its_course_wherever_the_slices_cut_it(ask: Ask, desk: Desk) -> None:
    """An arch of 24 mm around 38 mm: its longest line in a slice is longer than twice its width."""
    where = grid()
    x, y, z = where.affine[:3, :3] @ np.indices(SHAPE).reshape(3, -1) + where.affine[:3, 3:]
    away = np.where(z > 0, np.hypot(np.hypot(x, z) - 38, y), np.hypot(np.abs(x) - 38, y))
    row, text = measured(ask, desk, where, "aorta", (away <= 12).reshape(SHAPE))
    assert row["diameters"]["longest_axial_mm"] > 60
    across = row["across"]
    assert [across[name] for name in ("median_mm", "widest_mm")] == pytest.approx([24, 24], abs=1.5)
    assert across["widest_longest_mm"] == pytest.approx(24, abs=3)
    # half a circle of 38 mm and two legs down to the scan's end
    assert across["length_mm"] == pytest.approx(np.pi * 38 + 2 * SHAPE[2] * SPACING[2] / 2, rel=0.1)
    assert "mm across its centre line" in text
    assert "x" not in text.split("ml")[1].split(".")[0], "no axial diameters of a vessel"
    assert measured(ask, desk, where, "liver", (away <= 12).reshape(SHAPE))[0]["across"] is None


def test_a_vessel_too_thin_says_why_it_has_no_width(ask: Ask, desk: Desk) -> None:
    array = np.zeros(SHAPE, bool)
    array[20, 20, 3:40] = True
    row, _text = measured(ask, desk, grid(), "left common iliac artery", array)
    assert row["across"] is None
    assert any("narrower than two voxels" in reason for reason in row["reasons"])
