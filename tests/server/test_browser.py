"""`ostensor view` in a real browser: pixels on the screen, clicks, and who may ask."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from ostensor.imaging.errors import BadCall
from ostensor.server.browser import scan_of, view_app
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ..toys.desks import save, toy_scan

KEY = "a-key-only-the-test-knows"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install '.[dev]')")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def scan(desk: Desk) -> str:
    image = scan_of(desk, "ct.nii.gz")
    use(desk, "segment", image_id=image, structures=["liver", "spleen"])
    return image


@pytest.fixture
def site(desk: Desk, scan: str) -> Iterator[str]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = view_app(desk, scan, mask_ids=None, key=KEY, port=port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, http="h11", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
    thread.start()
    for _ in range(400):
        if server.started:
            break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)
    listening.close()


def opened(browser: Any, address: str) -> Any:
    """A tab that has drawn all three planes, and in which anything unforeseen is an error."""
    tab = browser.new_page(viewport={"width": 1180, "height": 640})
    tab.trouble = []
    tab.on("pageerror", lambda error: tab.trouble.append(str(error)))
    tab.on("console", lambda line: tab.trouble.append(line.text) if line.type == "error" else None)
    tab.goto(address)
    true_in(tab, "document.querySelectorAll('canvas[data-drawn]').length === 3")
    return tab


def true_in(tab: Any, script: str) -> None:
    """Wait until it holds; the page's policy forbids the browser's own way of waiting, which evaluates text."""
    for _ in range(600):
        if tab.evaluate(script):
            return
        tab.wait_for_timeout(100)
    raise AssertionError(f"{script}: {tab.inner_text('#status')} {tab.trouble}")


def colour_at(tab: Any, view: str, x: float, y: float) -> list[int]:
    """Of the canvas at a share of its width and height."""
    script = """([view, x, y]) => { const c = document.querySelector(`canvas[data-view=${view}]`);
        return [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data.slice(0, 3)]; }"""
    found: list[int] = tab.evaluate(script, [view, x, y])
    return found


def test_the_page_draws_scan_and_masks_and_reports_clicks(browser: Any, site: str, desk: Desk, scan: str) -> None:
    tab = opened(browser, f"{site}/?key={KEY}")
    assert tab.locator("#masks li").count() == 2
    assert "1. liver" in tab.inner_text("#masks")
    liver = desk.store.masks_of(scan)[0]
    assert f"{liver.voxels * 0.8 * 0.9 * 3.0 / 1000:.2f} ml" in tab.inner_text("#masks")
    # The liver's block is at RAS r 36..52, a 23..42, s 5..16 of 61 x 53 x 29: look at slice 10 there.
    tab.fill("#centre", "40")
    slider = tab.locator("figure:has(canvas[data-view=axial]) input")
    slider.evaluate("(one) => { one.value = 10; one.dispatchEvent(new Event('input')); }")
    true_in(tab, "document.querySelector('canvas[data-view=axial]').dataset.drawn === '10'")
    wide, high = 61 * 0.8, 53 * 0.9
    zoom = (420 - 36) / max(wide, high)
    x = ((420 - wide * zoom) / 2 + (61 - 1 - 44 + 0.5) * 0.8 * zoom) / 420
    y = ((420 - high * zoom) / 2 + (53 - 1 - 32 + 0.5) * 0.9 * zoom) / 420
    # 100 HU in a window of 40 +- 200 is (100 + 160) / 400 of white; 35 percent of the first colour (230, 159, 0) over it.
    grey = (100 + 160) / 400 * 255
    expected = [grey * 0.65 + part * 0.35 for part in (230, 159, 0)]
    assert colour_at(tab, "axial", x, y) == pytest.approx(expected, abs=2)
    tab.locator("#masks input").first.uncheck()
    assert colour_at(tab, "axial", x, y) == pytest.approx([grey] * 3, abs=2)
    tab.select_option("#preset", "lung")
    assert colour_at(tab, "axial", x, y) == pytest.approx([(100 + 600 + 750) / 1500 * 255] * 3, abs=2)
    tab.click("[data-mode=positive]")
    box = tab.locator("canvas[data-view=axial]").bounding_box()
    tab.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    true_in(tab, "document.querySelector('#said li')?.textContent.includes('value') === true")
    said = tab.inner_text("#said")
    # RAS (44, 32, 10) is index (16, 20, 10): (20 - 0.8 * 16, 30 - 0.9 * 20, -50 + 3 * 10) mm.
    assert "(7.2, 12, -20) mm RAS, value 100, inside liver" in said
    assert "no mask was changed" in said.lower()
    tab.locator("canvas[data-view=axial]").focus()
    tab.keyboard.press("PageUp")
    true_in(tab, "document.querySelector('canvas[data-view=axial]').dataset.drawn === '20'")
    assert tab.trouble == []
    tab.close()


def test_only_who_has_the_address_sees_anything(site: str, scan: str) -> None:
    assert httpx2.get(f"{site}/").status_code == 403
    assert httpx2.get(f"{site}/?key=wrong").status_code == 403
    ask = {"name": "viewer_open", "arguments": {"image_id": scan}}
    assert httpx2.post(f"{site}/call", json=ask).status_code == 403
    key = {"X-Ostensor-Key": KEY}
    assert httpx2.post(f"{site}/call", json=ask, headers=key).json()["structuredContent"]["image_id"] == scan
    assert httpx2.post(f"{site}/call", json=ask, headers={**key, "Host": "evil.example"}).status_code == 421
    assert httpx2.post(f"{site}/call", json=ask, headers={**key, "Origin": "http://evil.example"}).status_code == 403
    for wrong in ({"name": "export", "arguments": {}}, {"name": "viewer_open"}, [], {"name": 1, "arguments": {}}):
        assert httpx2.post(f"{site}/call", json=wrong, headers=key).status_code == 400
    assert httpx2.post(f"{site}/call", content=b"\xff", headers=key).status_code == 400
    bad = httpx2.post(f"{site}/call", json={"name": "viewer_open", "arguments": {"image_id": 3}}, headers=key).json()
    assert bad["isError"]
    policy = httpx2.get(f"{site}/?key={KEY}").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_what_is_viewed_is_a_handle_or_a_file(desk: Desk, root: Path) -> None:
    save(root / "b.nii.gz", toy_scan())
    image = scan_of(desk, "b.nii.gz")
    assert scan_of(desk, image) == image
    for wrong in ("img_none", "none.nii.gz", "../b.nii.gz"):
        with pytest.raises(BadCall):
            scan_of(desk, wrong)
