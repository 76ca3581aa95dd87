"""Head nouns and superlatives of a sentence: used with their error, or the answer is not `present`.

The toy network knows structures by grey value, and tells no Dice: two volumes are told apart from 20 % on.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.volume import Grid, Mask
from ostensor.models.card import Measured
from ostensor.retrieval.descriptions.description import Claim
from ostensor.tools.describing.comparing import Comparison, volume_error
from ostensor.tools.describing.things import Scene, Thing

from ...toys.desks import Ask, save, toy_scan
from .test_described import ORGANS, described


@pytest.fixture
def scan(ask: Ask, root: Path) -> str:
    save(root / "plain.nii.gz", toy_scan(**ORGANS))
    return str(ask("open_image", path="plain.nii.gz").result["image_id"])


def test_a_kind_nobody_knows_is_unsupported(ask: Ask, scan: str) -> None:
    for text, word in (("the largest vessel", "vessel"), ("the longest nerve", "nerve"), ("the bone", "bone")):
        found = described(ask, scan, text)
        assert (found["verdict"], found["candidates"]) == ("unsupported", []), text
        assert f"'{word}'" in found["reason"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("the outermost structure", "outermost"),
        ("the roundest organ", "roundest"),
        ("the swollen spleen", "swollen"),
        ("the wall of the spleen", "wall"),
        ("the largest part of the liver", "largest part"),
        ("the liver's largest vessel", "vessel"),
        ("the bone that stores platelets", "bone"),
        ("the organ closest to the spleen", "closest"),
    ],
)
def test_what_is_not_understood_is_unsupported_and_named(ask: Ask, scan: str, text: str, word: str) -> None:
    found = described(ask, scan, text)
    assert (found["verdict"], found["candidates"]) == ("unsupported", []), found
    assert f"'{word}'" in found["reason"]


def test_the_larger_of_two_that_hardly_differ_is_ambiguous_with_both_numbers(ask: Ask, scan: str) -> None:
    """252 voxels of 2.16 mm3 on the left, 240 on the right: 5 % more; a Dice of 0.9 each leaves exp(sqrt(2) log(1.1 / 0.9))."""
    found = described(ask, scan, "the larger of the two kidneys")
    assert found["ambiguous"] is True
    assert {c["verdict"] for c in found["candidates"]} == {"unsure"}
    assert "left kidney: number 1 of 2 (largest), 0.5443 ml" in found["reason"]
    assert "right kidney: number 2 of 2 (largest), 0.5184 ml" in found["reason"]
    assert "inside the error (a factor of 1.33)" in found["reason"]


@pytest.mark.parametrize(
    ("text", "high", "verdict"),
    [("the larger of the two kidneys", 8, "present"), ("the longer of the two kidneys", 6, None)],
)
def test_of_two_that_differ_by_more_than_the_error_one_is_meant(
    ask: Ask, root: Path, text: str, high: int, verdict: str | None
) -> None:
    """252 voxels against 150; 18 mm against 9 mm, which `segment` doubts itself as a pair so unequal."""
    organs = {**ORGANS, "right_kidney": (slice(10, 15), slice(36, 42), slice(3, high))}
    save(root / "unequal.nii.gz", toy_scan(**organs))
    image = str(ask("open_image", path="unequal.nii.gz").result["image_id"])
    found = described(ask, image, text)
    assert (found["candidates"][0]["structure"], found["ambiguous"]) == ("left kidney", False)
    assert verdict in (None, found["verdict"])


def test_nothing_to_compare_with_is_no_superlative(ask: Ask, scan: str) -> None:
    found = described(ask, scan, "the largest left kidney")
    assert found["verdict"] == "unsure"
    assert "nothing to compare with for: largest" in found["reason"]


def test_what_could_not_be_checked_is_not_present(ask: Ask, scan: str) -> None:
    found = described(ask, scan, "the liver next to the gallbladder")
    assert found["verdict"] == "unsure"
    assert "Not checked: adjacent to the gallbladder" in found["reason"]


def thing(name: str, side: int, dice: float | None) -> Thing:
    from ostensor.imaging.masks.relations import place

    array = np.zeros((41, 37, 23), bool)
    array[2 : 2 + side, 2:12, 2:12] = True
    mask = Mask(array, Grid(array.shape, np.diag([1.0, 1.0, 1.0, 1.0])))
    where = place(mask)
    assert where is not None
    return Thing(name, mask, where, 0.9, 100.0, dice=dice)


@pytest.mark.parametrize(("dice", "told"), [(0.98, True), (0.9, False), (0.6, False), (None, False)])
def test_the_error_of_a_volume_comes_from_the_expected_dice(dice: float | None, told: bool) -> None:
    """20 against 18 layers: 11 % more. A Dice of 0.98 allows a factor of 1.04, of both together 1.06; 0.9 one of 1.22."""
    large, small = thing("a", 20, dice), thing("b", 18, dice)
    scene = Scene(large.mask.grid)
    fit = Comparison.of(Claim("rank", "largest"), [large, small], scene).fit(small)
    assert fit.tied is not told
    if dice is not None:
        assert np.exp(volume_error(small.dice)) == pytest.approx((2 - dice) / dice)


def test_what_is_equal_is_tied_even_where_the_error_is_nothing() -> None:
    one, other = thing("a", 20, 0.9), thing("b", 18, 0.9)
    claim = Claim("density_rank", "high")
    compared = Comparison.of(claim, [one, other], Scene(one.mask.grid))
    assert [compared.fit(each).tied for each in (one, other)] == [True, True]
    darker = dataclasses.replace(other, grey=99.0)
    compared = Comparison.of(claim, [one, darker], Scene(one.mask.grid))
    assert [compared.fit(each).tied for each in (one, darker)] == [False, False]


def test_a_networks_own_dice_on_held_out_scans_is_its_error(
    ask: Ask, scan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a measured Dice of 0.99 a difference of 5 % is one."""
    from ostensor.models import catalogue

    sharp = Measured(0.99, 0.98, 1.0, 0.3, 20)
    cards = [
        dataclasses.replace(card, measured={"left kidney": sharp, "right kidney": sharp})
        if card.name == "toy-ct"
        else card
        for card in catalogue.ENTRIES
    ]
    monkeypatch.setattr(catalogue, "ENTRIES", tuple(cards))
    catalogue.forget_cards()
    found = described(ask, scan, "the larger of the two kidneys")
    assert (found["candidates"][0]["structure"], found["ambiguous"]) == ("left kidney", False)
