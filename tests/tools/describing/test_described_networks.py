"""segment_described when only a network that reads sentences can help: what it was taught, and what it was not."""

import dataclasses
from pathlib import Path

import pytest

from ostensor.models import catalogue
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask, save, toy_scan
from .test_described import described

WHERE = {"spleen": (slice(40, 50), slice(30, 41), slice(20, 28))}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, factory="desk_toy_refer:load")


@pytest.fixture(autouse=True)
def reader(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from desk_toy_refer import CARDS

    monkeypatch.setattr(catalogue, "ENTRIES", CARDS)
    catalogue.forget_cards()


@pytest.fixture
def scan(ask: Ask, root: Path) -> str:
    """A spleen, and two blocks with the grey values that the reading toy marks as pancreas and brain."""
    array = toy_scan(**WHERE)
    array[10:20, 10:20, 5:9] = 700
    array[30:36, 10:17, 12:15] = 800
    save(root / "read.nii.gz", array)
    return str(ask("open_image", path="read.nii.gz").result["image_id"])


def test_a_structure_it_was_taught_is_left_to_it(ask: Ask, scan: str) -> None:
    found = described(ask, scan, "the pancreas")
    assert (found["engine"], found["verdict"]) == ("lsms", "present")
    assert "reads the sentence itself" in found["engine_reason"]
    assert [c["structure"] for c in found["candidates"]] == ["pancreas"]


def test_a_preferred_reader_that_does_not_take_the_image_stands_in_nobodys_way(
    ask: Ask, scan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads slices only, and the scan has three dimensions: `auto` goes on to the others."""
    made = next(card for card in catalogue.ENTRIES if card.task == "refer")
    flat = {"dimensions": (2,), "fidelity": "external", "open_text": True, "preferred": ("*",), "task": "segment"}
    picky = dataclasses.replace(made, name="picky", sha256="7" * 64, **flat)
    monkeypatch.setattr(catalogue, "ENTRIES", (*catalogue.ENTRIES, picky))
    catalogue.forget_cards()
    assert described(ask, scan, "the pancreas")["engine"] == "lsms"
    reply = ask("segment_described", image_id=scan, description="the pancreas", model="picky")
    assert reply.is_error
    assert "takes 2-D images" in reply.text


@pytest.mark.parametrize("text", ["the brain", "the prostate", "a dark spot in the left lung"])
def test_what_nobody_was_taught_is_unsupported_and_no_network_guesses(ask: Ask, scan: str, text: str) -> None:
    """The toy would mark a brain; it must not be asked for one."""
    found = described(ask, scan, text)
    assert (found["engine"], found["verdict"]) == ("sat", "unsupported")
    assert found["candidates"] == []
    assert "No model here segments the" in found["reason"]
    assert "'lsms-mini' was never taught the" in found["engine_reason"]


def test_asked_for_by_name_it_answers_but_says_that_it_was_never_taught(ask: Ask, scan: str) -> None:
    found = described(ask, scan, "the brain", model="lsms")
    assert found["verdict"] == "unsure", "0.9 certain of a word it never saw"
    assert "never taught the brain" in found["candidates"][0]["reasons"][0]
    nothing = described(ask, scan, "the prostate", model="lsms")
    assert (nothing["verdict"], nothing["candidates"]) == ("unsupported", [])
    assert "never taught the prostate" in nothing["reason"]


def test_what_a_network_that_reads_sentences_does_not_mark_is_not_absent_for_that(ask: Ask, root: Path) -> None:
    save(root / "empty.nii.gz", toy_scan(**WHERE))
    image = ask("open_image", path="empty.nii.gz").result["image_id"]
    found = described(ask, image, "the pancreas")
    assert (found["verdict"], found["engine"]) == ("unsure", "lsms")
    assert "marked nothing" in found["reason"]


def test_what_segment_shows_is_shown_here_too_however_unsure(ask: Ask, scan: str) -> None:
    """The toy is 12 % sure of this spleen; both tools answer with the same mask and say that it is unsure."""
    (row,) = ask("segment", image_id=scan, structures=["spleen"], wait_s=60).result["masks"]
    for text in ("the spleen", "the organ that filters old blood cells", "the smallest structure"):
        found = described(ask, scan, text)
        best = found["candidates"][0]
        assert (best["mask_id"], best["verdict"]) == (row["mask_id"], row["verdict"]), text
        assert best["score"] == 0.12
    assert row["verdict"] == "unsure"


def test_words_that_only_the_network_reads_are_named_and_never_make_it_present(ask: Ask, scan: str, root: Path) -> None:
    """Our reader knows no "swollen"; the toy marks the pancreas all the same."""
    found = described(ask, scan, "the swollen pancreas")
    assert (found["engine"], found["verdict"]) == ("lsms", "unsure")
    assert {c["verdict"] for c in found["candidates"]} == {"unsure"}
    assert "'swollen'" in found["reason"]
    save(root / "bare.nii.gz", toy_scan(**WHERE))
    bare = ask("open_image", path="bare.nii.gz").result["image_id"]
    nothing = described(ask, bare, "the swollen pancreas")
    assert (nothing["verdict"], nothing["candidates"]) == ("unsupported", [])
    assert "swollen" in nothing["reason"]
