"""The page for people: self-contained, and it works in a browser at desktop and phone width, light and dark."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostensor.tools.desk.desk import Desk
from ostensor.tools.reports.page import marked, write_report_page
from ostensor.tools.reports.results import ReportFinding, ReportResult
from ostensor.tools.running import use

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


@pytest.fixture
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_the_page_shows_evidence_in_a_browser(page: Path, browser: Any) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    for width, height, scheme in ((1280, 800, "light"), (390, 844, "dark")):
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        trouble: list[str] = []
        tab.on("pageerror", lambda error, trouble=trouble: trouble.append(str(error)))
        tab.on("request", lambda r, t=trouble: None if r.url.startswith(("file:", "data:")) else t.append(r.url))
        tab.goto(page.as_uri())
        tab.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        assert tab.title() == "Report check"
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("button.supported").first.inner_text() == "The liver is normal"

        tab.click("button.contradicted")
        why = tab.inner_text("#why")
        assert "the left kidney is present" in why
        assert "msk_" in why
        assert tab.locator("#masks input:checked").count() == 1
        assert _coloured(tab, "axial") > 0, "the mask must be seen in the slice that was jumped to"
        tab.locator("#masks input:checked").uncheck()
        assert _coloured(tab, "axial") == 0

        slider = tab.get_by_label("coronal slice")
        slider.fill("3")
        assert "coronal 4/53" in tab.inner_text("#planes")
        back = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") == (scheme == "light")
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
