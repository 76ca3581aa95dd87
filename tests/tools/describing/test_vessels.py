"""Vessels, a bone and an organ described by what they are and how wide: the toy network knows each by its grey value.

The aorta stands upright, 8 mm wide at its ends and 16 mm in its middle, the vein is 7.2 mm wide; the liver is larger than both.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ostensor.models import catalogue
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask, save
from .test_described import described


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, factory="desk_toy_vessels:load")


@pytest.fixture(autouse=True)
def cards(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from desk_toy_vessels import CARDS

    monkeypatch.setattr(catalogue, "ENTRIES", CARDS)
    catalogue.forget_cards()


@pytest.fixture
def vessels(ask: Ask, root: Path) -> str:
    """y grows to the back, so that the spine lies behind everything."""
    array = np.full((61, 53, 59), -1000, np.int16)
    array[3:58, 3:50] = 40
    x, y, z = np.indices(array.shape) * np.array([0.8, 0.9, 3.0])[:, None, None, None]
    array[4:20, 4:32] = 100
    array[35:50, 36:47] = 400
    wide = np.where(abs(z - 90) < 25, 8.0, 4.0)
    array[np.hypot(x - 36, y - 16) <= wide] = 200
    array[np.hypot(x - 22, y - 16) <= 3.6] = 300
    save(root / "vessels.nii.gz", array)
    return str(ask("open_image", path="vessels.nii.gz").result["image_id"])


def test_the_largest_vessel_in_front_of_the_spine_is_a_vessel(ask: Ask, vessels: str) -> None:
    """The liver is larger than both vessels and lies in front of the spine, too."""
    found = described(ask, vessels, "the largest vessel in front of the spine")
    assert [c["structure"] for c in found["candidates"]][:1] == ["aorta"]
    assert "liver" not in {c["structure"] for c in found["candidates"]}
    assert (found["verdict"], found["ambiguous"]) == ("present", False)
    assert any("a vessel" in claim for claim in found["candidates"][0]["matched"])


def test_the_widest_part_of_the_aorta_is_not_the_aorta(ask: Ask, desk: Desk, vessels: str) -> None:
    found = described(ask, vessels, "the widest part of the aorta")
    best = found["candidates"][0]
    assert (best["structure"], best["verdict"]) == ("widest part of the aorta", "unsure")
    array = desk.store.mask(best["mask_id"]).array
    high = array.any(axis=(0, 1)).nonzero()[0]
    assert 90 / 3 - 25 / 3 <= high.min() <= high.max() <= 90 / 3 + 25 / 3, "all of it lies where it is 16 mm wide"
    assert 12 <= 3 * len(high) <= 22, "as long as it is wide"
    assert "16." in best["reasons"][0] or "15." in best["reasons"][0]
    assert "mm across" in best["reasons"][0]


def test_only_a_tube_has_a_widest_part(ask: Ask, vessels: str) -> None:
    found = described(ask, vessels, "the thickest part of the liver")
    assert (found["verdict"], found["candidates"]) == ("unsupported", [])
    assert "'thickest'" in found["reason"]
    assert "widest part" in found["reason"]


@pytest.mark.parametrize(
    ("text", "structure"),
    [("the widest vessel", "aorta"), ("the artery", "aorta"), ("the vein", "inferior vena cava"),
     ("the bone", "vertebral column")],
)  # fmt: skip
def test_nouns_and_widths_choose_among_their_kind(ask: Ask, vessels: str, text: str, structure: str) -> None:
    found = described(ask, vessels, text)
    assert (found["candidates"][0]["structure"], found["verdict"]) == (structure, "present"), found


def test_widths_that_differ_by_less_than_a_voxel_are_ambiguous(ask: Ask, vessels: str) -> None:
    """The aorta is 8 mm wide at its narrowest, the vein 7.2 mm, in slices of 3 mm."""
    found = described(ask, vessels, "the narrowest vessel")
    assert found["ambiguous"] is True
    assert {c["structure"] for c in found["candidates"]} == {"aorta", "inferior vena cava"}
    assert {c["verdict"] for c in found["candidates"]} == {"unsure"}
    assert "inside the error" in found["reason"]


def test_a_vessel_is_no_organ_and_a_kind_that_nobody_found_is_not_absent_for_that(
    ask: Ask, root: Path, vessels: str
) -> None:
    assert {c["structure"] for c in described(ask, vessels, "the largest organ")["candidates"]} == {"liver"}
    cut = described(ask, vessels, "the largest structure")
    assert "Compared were the parts inside the scan, which cuts: liver" in cut["reason"], "it goes through every slice"
    array = np.full((61, 53, 59), -1000, np.int16)
    array[3:58, 3:50] = 40
    array[4:20, 4:32] = 100
    save(root / "liver.nii.gz", array)
    image = str(ask("open_image", path="liver.nii.gz").result["image_id"])
    found = described(ask, image, "the largest vessel")
    assert (found["verdict"], found["candidates"]) == ("unsure", [])
    assert "is a vessel" in found["reason"]
