"""The demo's page: picture and sentence first, only what is present is told, readable on any screen."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ostensor.commands.demo.page import page, sentence
from ostensor.commands.demo.told import Looked, Told

from ..toys.browsers import browser, contrasts, watched  # noqa: F401  # a fixture


def row(structure: str, verdict: str, volume: float | None, reason: str = "") -> dict[str, Any]:
    return {
        "structure": structure,
        "verdict": verdict,
        "volume_ml": volume,
        "volume_is": "complete",
        "reason": reason,
        "warnings": [],
        "mask_id": "msk_1",
    }


ROWS = [row("left kidney", "present", 155.09), row("liver", "unsure", 5440.7, "larger than <any> liver")]
LOOKED = Looked("a made torso", ROWS, b"png", {"left kidney": 148.8})


def shown() -> str:
    finding = {"sentence": "No <b>cyst</b>.", "judgement": "cannot_tell", "reasons": ["nobody looked"]}
    calls = [
        Told("render", {"image_id": "img_1", "path": "/home/ada/x"}, "Drawn.", {}, [b"one"]),
        Told("check_report", {}, "1 finding.", {"findings": [finding]}),
    ]
    return page([LOOKED], calls, 12.3)


class Order(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_a_sentence_tells_what_is_present_beside_what_was_made() -> None:
    assert sentence(LOOKED) == "Found by words in a made torso: left kidney 155 ml (made with 149)."
    nothing = Looked("a knee", [row("liver", "unsure", 12.0)], b"", {})
    assert sentence(nothing) == "Nothing could be said to be present in a knee."


def test_the_page_starts_with_a_picture_and_one_sentence() -> None:
    made = shown()
    order = Order()
    order.feed(made)
    tags = [tag for tag in order.tags if tag in ("img", "h1", "h2", "table", "details")]
    assert tags[:3] == ["img", "h1", "table"]
    assert tags.count("details") == 2
    assert "5440" not in made, "an unsure volume is no finding"


def test_the_page_fits_narrow_and_dark_screens_and_shows_no_paths() -> None:
    made = shown()
    assert 'name="viewport"' in made
    assert "prefers-color-scheme: dark" in made
    assert made.count("<table>") == made.count("<div class='wide'><table>")
    assert "larger than &lt;any&gt; liver" in made
    assert "No &lt;b&gt;cyst&lt;/b&gt;." in made
    assert "/home/ada" not in made
    assert not re.search(r"(src|href)='(?!data:|report_check/)", made), "nothing is loaded from elsewhere"


def test_a_scan_in_which_nothing_is_present_is_told_without_a_picture() -> None:
    made = page([Looked("a knee", [row("liver", "unsure", 12.0)], b"", {})], [Told("check_report", {}, "", {"findings": []})], 1.0)  # fmt: skip
    assert "Nothing could be said to be present in a knee." in made
    assert "<img" not in made


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_picture_and_sentence_first_and_every_table_whole(
    browser: Any,  # noqa: F811
    tmp_path: Path,
    scheme: str,
) -> None:
    png = io.BytesIO()
    Image.new("RGB", (1064, 458)).save(png, "PNG")
    why = (
        "It shares 18% of the smaller one's voxels with the left caudate nucleus, which is longer than a phone is wide."
    )
    looked = Looked("a made torso", [row("lateral ventricles", "unsupported", None, why), *ROWS], png.getvalue(), {})
    finding = {"sentence": "The left kidney measures 10.8 cm in length.", "judgement": "cannot_tell", "reasons": [why]}
    calls = [Told("check_report", {"mask_ids": ["msk_273a899b9b82"] * 5}, why, {"findings": [finding]})]
    (tmp_path / "report.html").write_text(page([looked], calls, 12.3), encoding="utf-8")
    for width in (390, 1180):
        tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        trouble = watched(tab)
        tab.goto((tmp_path / "report.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        picture, sentence_ = tab.locator("img").first.bounding_box(), tab.locator("h1").bounding_box()
        assert picture["y"] < 20
        assert picture["width"] > 0.8 * width
        assert picture["y"] + picture["height"] <= sentence_["y"] < sentence_["y"] + sentence_["height"] < 844
        for reason in tab.locator("td:last-child").all():
            assert not reason.inner_text() or reason.bounding_box()["width"] > 300, "words stand beside each other"
        for cell in tab.locator("td").all():
            box = cell.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width), cell.inner_text()
        assert tab.evaluate(
            "[...document.querySelectorAll('.wide')].every((one) => one.scrollWidth <= one.clientWidth)"
        )
        assert {words: ratio for words, ratio in contrasts(tab).items() if ratio < 4.5} == {}
        dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 18, 20)"
        assert dark == (scheme == "dark")
        assert trouble == []
        tab.close()
