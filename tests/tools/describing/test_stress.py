"""stress_description over MCP with toy masks; verdicts against shares set by hand."""

import dataclasses
from pathlib import Path

import pytest

from ostensor.retrieval.descriptions.parser import parse
from ostensor.tools.describing.stress import judged, variants
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask, save, toy_scan
from .test_described import ORGANS


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The language tools are not shown by default."""
    return dataclasses.replace(settings, toolsets=("core", "language"))


@pytest.fixture
def scan(ask: Ask, root: Path) -> str:
    save(root / "stress.nii.gz", toy_scan(**ORGANS))
    return str(ask("open_image", path="stress.nii.gz").result["image_id"])


def test_a_sided_name_is_stable_and_follows_its_side(ask: Ask, scan: str) -> None:
    """The kidneys are two masks that share no voxel: a swapped side must lose the first one wholly."""
    reply = ask("stress_description", image_id=scan, description="the kidney on the patient's left", wait_s=60)
    assert not reply.is_error, reply.text
    found = reply.result
    assert found["verdict"] == "stable"
    assert found["paraphrase_dice"] == 1
    assert found["negations_refused"] == found["irrelevant_refused"] == 1
    (swap,) = [row for row in found["rows"] if row["kind"] == "side_swap"]
    assert swap["text"] == "the kidney on the patient's right"
    assert (swap["structure"], swap["dice_to_original"]) == ("right kidney", 0)
    assert len([row for row in found["rows"] if row["kind"] == "paraphrase"]) == 5


def test_a_swapped_place_finds_what_lies_there(ask: Ask, scan: str) -> None:
    """Highest is the spleen (slice 28), lowest a kidney (slice 3), by the blocks' faces."""
    found = ask("stress_description", image_id=scan, description="the structure at the top", wait_s=60).result
    swaps = [row for row in found["rows"] if row["kind"] == "location_swap"]
    assert [row["text"] for row in swaps] == ["the structure at the bottom"]
    assert swaps[0]["dice_to_original"] == 0
    assert swaps[0]["structure"] != found["structure"]


def test_variants_are_the_same_for_the_same_seed(desk: Desk) -> None:
    meant = parse("the left kidney", desk.table)
    assert variants(desk, meant, 4, 1) == variants(desk, meant, 4, 1) != variants(desk, meant, 4, 2)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ((1, 1, 1, 1), "stable"),
        ((0.8, 1, 1, 1), "sensitive"),
        ((1, 0.4, 1, 1), "unstable"),
        ((1, None, 1, 1), "stable"),
    ],
)
def test_the_weakest_kind_decides(shares: tuple[float | None, ...], verdict: str) -> None:
    keys = ("paraphrase_stable", "swaps_followed", "negations_refused", "irrelevant_refused")
    assert judged(dict(zip(keys, shares, strict=True)), 5, 1)[0] == verdict


def test_a_sentence_that_finds_nothing_cannot_be_stressed(ask: Ask, scan: str) -> None:
    reply = ask("stress_description", image_id=scan, description="the urinary bladder", wait_s=60)
    assert reply.is_error
    assert "finds nothing here (absent)" in reply.text
