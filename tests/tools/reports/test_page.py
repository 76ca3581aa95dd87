"""The page for people: self-contained, and it works in a browser at desktop and phone width, light and dark."""

import re
from pathlib import Path
from typing import Any

import pytest

from ostensor.tools.desk.desk import Desk
from ostensor.tools.reports.page import marked, write_report_page
from ostensor.tools.reports.results import ReportFinding, ReportResult
from ostensor.tools.running import use

from ...toys.browsers import browser, contrasts, in_colour, seen, show_scan_as, true_in, watched  # noqa: F401  # a fixture

REPORT = (
    "FINDINGS: The liver is normal. Left kidney surgically absent. A 12 mm cyst in the spleen.\n"
    "</script><script>document.title='owned'</script> {{DATA}} <b>bold</b> spleen is normal."
)


@pytest.fixture
def page(desk: Desk, tmp_path: Path) -> Path:
    image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
    result = use(desk, "check_report", image_id=image, report=REPORT).result
    assert isinstance(result, ReportResult)
    return write_report_page(desk, result, REPORT, tmp_path / "out")


def test_the_page_shows_evidence_in_a_browser(page: Path, browser: Any) -> None:  # noqa: F811
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    for width, height, scheme in ((1280, 800, "light"), (390, 844, "dark")):
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        trouble = watched(tab)
        tab.goto(page.as_uri())
        tab.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        assert tab.title() == "Report check"
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("button.supported").first.inner_text() == "The liver is normal"

        tab.click("button.contradicted")
        why = tab.inner_text("#why")
        assert "the left kidney is present" in why
        assert "msk_" in why
        facts = {fact.locator("dt").inner_text(): fact.locator("dd") for fact in tab.locator("#why dl > div").all()}
        assert {"structure", "verdict", "mask"} <= set(facts)
        assert all(fact.bounding_box()["height"] < 30 for fact in facts.values()), "each on one line"
        assert tab.locator("#masks input:checked").count() == 1
        assert _coloured(tab, "axial") > 0, "the mask must be seen in the slice that was jumped to"
        tab.locator("#masks input:checked").uncheck()
        assert _coloured(tab, "axial") == 0

        slider = tab.get_by_label("coronal slice")
        slider.fill("3")
        assert "coronal 4/53" in tab.inner_text("#planes")
        back = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") == (scheme == "light")
        weak = {words: ratio for words, ratio in contrasts(tab).items() if ratio < 4.5}
        assert weak == {}
        assert trouble == []
        tab.close()


def test_the_3d_view_shows_what_the_planes_show(page: Path, browser: Any) -> None:  # noqa: F811
    """The masks' surfaces come from the page's own voxels; boxes and crosshair are those of the planes."""
    tab = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="light")
    trouble = watched(tab)
    tab.goto(page.as_uri())
    true_in(tab, "document.body.dataset.ready === 'yes'", trouble)
    tab.click("#three")
    true_in(tab, "!!document.querySelector('#solid canvas[data-drawn]')", trouble)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    stage = tab.locator("#solid canvas")
    assert (seen(stage).max(axis=2) > 40).mean() > 0.05, "the scan's body is drawn"
    show_scan_as(tab, "#scan-as", "hidden")
    first = tuple(tab.evaluate("data.masks[0].colour"))
    assert in_colour(seen(stage), first).sum() > 200
    tab.locator("#masks input").first.uncheck()
    assert in_colour(seen(stage), first).sum() < 20
    place = tab.locator("#coronal").bounding_box()
    tab.locator("#coronal").click(position={"x": 15.5 / 61 * place["width"], "y": 17.5 / 29 * place["height"]})
    assert tab.evaluate("at") == [61 - 1 - 15, 26, 29 - 1 - 17]
    tab.click("#three")
    assert tab.locator("#solid").count() == 0
    assert trouble == []
    tab.close()


def _coloured(tab: Any, plane: str) -> int:
    """Pixels of a plane that are not grey."""
    script = """name => { const c = document.getElementById(name), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i] !== d[i + 1] || d[i] !== d[i + 2]) n++; return n; }"""
    return int(tab.evaluate(script, plane))


def row(start: int, end: int, judgement: str) -> ReportFinding:
    return ReportFinding.model_validate({
        "sentence": "", "sentence_number": 0, "section": "findings", "start": start, "end": end, "structure": "liver",
        "lesion": "", "side": "", "presence": "present", "status": "", "size_mm": None, "count": None, "location": [],
        "change": "", "judgement": judgement, "reasons": [], "evidence": [],
    })  # fmt: skip


def test_the_text_is_escaped_and_nothing_of_it_is_lost() -> None:
    report = "A <b>liver</b> & more."
    made = marked(report, [row(2, 14, "supported"), row(2, 14, "contradicted")])
    assert "<b>" not in made
    assert (
        re.sub(r"<button[^>]*>\(liver\)</button>|</?button[^>]*>", "", made) == "A &lt;b&gt;liver&lt;/b&gt; &amp; more."
    )
    assert made.count("<button") == 2
