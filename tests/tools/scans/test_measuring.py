"""`measure` and `compare_masks` as a client sees them: numbers worked out here."""

import numpy as np
import pytest

from ostensor.imaging.volume import Grid, Mask, Modality, Volume
from ostensor.tools.desk.desk import Desk

from ...toys.desks import Ask

GRID = Grid((23, 19, 13), np.diag([0.7, 0.9, 3.0, 1.0]))


@pytest.fixture
def studied(desk: Desk) -> str:
    values = np.random.default_rng(0).integers(-80, 200, GRID.shape).astype(np.int16)
    return desk.store.add_image(Volume(values, GRID, "ct"), source_name="x").image_id


def keep(desk: Desk, image_id: str, structure: str, *where: slice) -> str:
    array = np.zeros(desk.store.image(image_id).grid.shape, bool)
    array[where] = True
    mask = Mask(array, desk.store.image(image_id).grid)
    return desk.store.add_mask(mask, image_id=image_id, structure=structure, made_by="test").mask_id


def test_every_number_of_a_block_is_known(ask: Ask, desk: Desk, studied: str) -> None:
    block = keep(desk, studied, "liver", slice(4, 14), slice(5, 12), slice(3, 8))
    row = ask("measure", mask_ids=[block]).result["measurements"][0]
    sides = np.array([10 * 0.7, 7 * 0.9, 5 * 3.0])
    assert row["volume_ml"] == pytest.approx(sides.prod() / 1000, abs=1e-3)
    assert (row["volume_is"], row["truncated_at"]) == ("complete", [])
    # the outline joins half-way points, so it cuts a rectangle's corners by half a voxel
    assert row["diameters"]["longest_axial_mm"] == pytest.approx(np.hypot(sides[0], sides[1]), abs=0.9)
    assert row["shape"]["bounding_box_index"] == [[4, 5, 3], [14, 12, 8]]
    assert row["shape"]["centroid_mm"] == pytest.approx([8.5 * 0.7, 8 * 0.9, 5 * 3.0], abs=0.01)
    assert row["shape"]["parts"] == 1
    assert 0 < row["shape"]["mesh_volume_ml"] < row["volume_ml"], "a mesh cuts a block's corners"
    inside = desk.store.volume(studied).array[4:14, 5:12, 3:8]
    assert row["intensity"]["median"] == pytest.approx(np.median(inside), abs=1e-3)
    assert (row["radiomics"], row["level"]) == (None, None)


@pytest.mark.parametrize(
    ("facts", "scale", "modality", "unit"),
    [
        ({}, 1.0, "ct", "HU"),
        ({"unit": "HU"}, 1.0, "ct", "HU"),
        ({}, 0.004, "ct", "image units"),
        ({"unit": ""}, 1.0, "ct", "image units"),
        ({"unit": "SUV"}, 0.05, "pet", "SUV"),
        ({"unit": "BQML"}, 1.0, "pet", "BQML"),
        ({}, 1.0, "mr", "image units"),
    ],
)
def test_grey_values_bear_the_unit_of_the_image_and_no_other(
    ask: Ask, desk: Desk, facts: dict[str, str], scale: float, modality: Modality, unit: str
) -> None:
    values = (np.random.default_rng(0).integers(-80, 200, GRID.shape) * scale).astype(np.float32)
    image = desk.store.add_image(Volume(values, GRID, modality), source_name="x", facts=facts).image_id
    block = keep(desk, image, "liver", slice(4, 14), slice(5, 12), slice(3, 8))
    reply = ask("measure", mask_ids=[block])
    assert reply.result["measurements"][0]["intensity"]["unit"] == unit
    assert ("HU" in reply.text.split("mean")[1][:20]) == (unit == "HU")


def test_radiomics_are_given_when_asked_for_with_their_settings(ask: Ask, desk: Desk, studied: str) -> None:
    block = keep(desk, studied, "liver", slice(4, 14), slice(5, 12), slice(3, 8))
    row = ask("measure", mask_ids=[block], what=["radiomics"]).result["measurements"][0]
    inside = desk.store.volume(studied).array[4:14, 5:12, 3:8].astype(float)
    assert row["radiomics"]["stat_mean"] == pytest.approx(inside.mean())
    assert row["radiomics"]["morph_vol_approx"] == pytest.approx(10 * 7 * 5 * 0.7 * 0.9 * 3.0)
    assert len(row["radiomics"]) > 150
    assert any("fixed bin size 25" in reason for reason in row["reasons"])
    assert any("not cubes" in reason for reason in row["reasons"])
    assert (row["volume_ml"], row["volume_is"]) == (None, "not given")


def test_muscle_area_at_a_vertebra(ask: Ask, desk: Desk, studied: str) -> None:
    muscle = keep(desk, studied, "left iliopsoas muscle", slice(4, 14), slice(5, 12), slice(3, 11))
    vertebra = keep(desk, studied, "vertebral column", slice(15, 18), slice(5, 12), slice(4, 7))
    reply = ask("measure", mask_ids=[muscle], level_mask_id=vertebra)
    level = reply.result["measurements"][0]["level"]
    assert level == {
        "area_cm2": pytest.approx(10 * 7 * 0.7 * 0.9 / 100, abs=0.005),
        "slice_index": 5,
        "cut_by_edge": False,
    }
    assert "cm2 at the level" in reply.text


def test_a_level_on_another_image_is_refused(ask: Ask, desk: Desk, studied: str, image_id: str) -> None:
    block = keep(desk, studied, "liver", slice(4, 14), slice(5, 12), slice(3, 8))
    other = keep(desk, image_id, "liver", slice(4, 14), slice(5, 12), slice(3, 8))
    reply = ask("measure", mask_ids=[block], level_mask_id=other)
    assert reply.is_error
    assert "another image" in reply.text


def test_cut_and_empty_masks_say_so(ask: Ask, desk: Desk, studied: str) -> None:
    cut = keep(desk, studied, "liver", slice(4, 14), slice(5, 12), slice(8, 13))
    empty = keep(desk, studied, "spleen", slice(0, 0))
    reply = ask("measure", mask_ids=[cut, empty])
    one, other = reply.result["measurements"]
    assert (one["volume_is"], one["truncated_at"]) == ("cut by the edge", ["superior"])
    assert "inside the scan, which cuts it" in reply.text
    assert (other["diameters"], other["intensity"], other["shape"]) == (None, None, None)
    assert other["reasons"] == ["The mask is empty."]


def test_measurements_keep_the_order_of_the_masks(ask: Ask, desk: Desk, studied: str) -> None:
    ids = [keep(desk, studied, f"part {n}", slice(1, 2 + n), slice(1, 9), slice(1, 6)) for n in range(9)]
    rows = ask("measure", mask_ids=ids[::-1]).result["measurements"]
    assert [row["mask_id"] for row in rows] == ids[::-1]
    assert [row["voxels"] for row in rows] == [(n + 1) * 8 * 5 for n in range(9)][::-1]


def test_masks_are_compared_part_by_part_too(ask: Ask, desk: Desk, studied: str) -> None:
    """b is a without its last two planes along x."""
    a = keep(desk, studied, "liver", slice(4, 14), slice(5, 12), slice(3, 8))
    b = keep(desk, studied, "liver", slice(4, 12), slice(5, 12), slice(3, 8))
    result = ask("compare_masks", mask_a=a, mask_b=b).result
    assert result["dice"] == pytest.approx(2 * 8 / 18, abs=1e-6)
    assert result["volume_error"] == pytest.approx(0.25)
    assert result["hd_mm"] == pytest.approx(2 * 0.7, abs=1e-6)
    assert (result["lesions_a"], result["lesions_b"], result["lesion_f1"]) == (1, 1, 1.0)
