"""`ostensor view` in a real browser: pixels on the screen, clicks, and who may ask."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn

from ostensor.imaging.errors import BadCall
from ostensor.server.browser import scan_of, view_app
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ..toys.browsers import browser, contrasts, in_colour, seen, show_scan_as, true_in, watched  # noqa: F401  # a fixture
from ..toys.desks import save, toy_scan

KEY = "a-key-only-the-test-knows"


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


def opened(browser: Any, site: str, width: int = 1180, **options: Any) -> Any:  # noqa: F811
    """A tab that has drawn all three planes, and notes what it must not do."""
    tab = browser.new_page(viewport={"width": width, "height": 844 if width < 500 else 640}, **options)
    tab.trouble = watched(tab, site)
    tab.goto(f"{site}/?key={KEY}")
    true_in(tab, "document.querySelectorAll('canvas[data-drawn]').length === 3", tab.trouble)
    return tab


def colour_at(tab: Any, view: str, x: float, y: float) -> list[int]:
    """Of the canvas at a share of its width and height."""
    script = """([view, x, y]) => { const c = document.querySelector(`canvas[data-view=${view}]`);
        return [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data.slice(0, 3)]; }"""
    found: list[int] = tab.evaluate(script, [view, x, y])
    return found


def test_the_page_draws_scan_and_masks_and_reports_clicks(
    browser: Any,  # noqa: F811
    site: str,
    desk: Desk,
    scan: str,
) -> None:
    tab = opened(browser, site)
    assert tab.locator("#masks li").count() == 2
    assert "1. liver" in tab.inner_text("#masks")
    liver = desk.store.masks_of(scan)[0]
    assert f"{liver.voxels * 0.8 * 0.9 * 3.0 / 1000:.2f} ml" in tab.inner_text("#masks")
    # The liver's block is at RAS r 36..52, a 23..42, s 5..16 of 61 x 53 x 29: look at slice 10 there.
    tab.fill("#centre", "40")
    slider = tab.locator("figure:has(canvas[data-view=axial]) input")
    slider.evaluate("(one) => { one.value = 10; one.dispatchEvent(new Event('input')); }")
    true_in(tab, "document.querySelector('canvas[data-view=axial]').dataset.drawn === '10'", tab.trouble)
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
    true_in(tab, "document.querySelector('#said li')?.textContent.includes('value') === true", tab.trouble)
    said = tab.inner_text("#said")
    # RAS (44, 32, 10) is index (16, 20, 10): (20 - 0.8 * 16, 30 - 0.9 * 20, -50 + 3 * 10) mm.
    assert "(7.2, 12, -20) mm RAS, value 100, inside liver" in said
    assert "no mask was changed" in said.lower()
    tab.locator("canvas[data-view=axial]").focus()
    tab.keyboard.press("PageUp")
    true_in(tab, "document.querySelector('canvas[data-view=axial]').dataset.drawn === '20'", tab.trouble)
    assert tab.trouble == []
    tab.close()


def solid_of(tab: Any) -> Any:
    """The 3-D view, opened, with all its masks."""
    tab.click("#three")
    true_in(tab, "!!document.querySelector('#solid canvas[data-drawn]')", tab.trouble)
    return tab.locator("#solid canvas")


ORANGE, BLUE = (230, 159, 0), (86, 180, 233)  # of the first mask, the liver, and of the second, the spleen


def test_the_3d_view_shows_masks_in_their_colour_and_place(browser: Any, site: str) -> None:  # noqa: F811
    """The toy's liver lies right, in front and low, its spleen left and high: seen from the front, left in the picture is right."""
    tab = opened(browser, site, 760)  # a small picture: it is drawn by the processor
    stage = solid_of(tab)
    body = seen(stage)
    assert (body.max(axis=2) > 40).mean() > 0.05, "the scan's body is drawn"
    show_scan_as(tab, "#solid select", "hidden")
    masks = seen(stage)
    liver, spleen = in_colour(masks, ORANGE), in_colour(masks, BLUE)
    assert liver.sum() > 300
    assert spleen.sum() > 150
    assert np.argwhere(liver)[:, 1].mean() < np.argwhere(spleen)[:, 1].mean(), "the liver is at the patient's right"
    assert np.argwhere(liver)[:, 0].mean() > np.argwhere(spleen)[:, 0].mean(), "and lower than the spleen"
    tab.locator("#masks input").first.uncheck()
    hidden = seen(stage)
    assert in_colour(hidden, ORANGE).sum() < 20
    assert in_colour(hidden, BLUE).sum() > 150
    for kind in ("planes", "cut"):
        show_scan_as(tab, "#solid select", kind)
        assert np.abs(seen(stage) - body).mean() > 2, kind
    assert tab.trouble == []
    tab.close()


def test_the_3d_view_turns_and_its_crosshair_is_that_of_the_planes(browser: Any, site: str) -> None:  # noqa: F811
    tab = opened(browser, site, 760)  # a small picture: it is drawn by the processor
    stage = solid_of(tab)
    before, at = seen(stage), tab.evaluate("at.slice()")
    box = stage.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(*middle)
    tab.mouse.down()
    tab.mouse.move(middle[0] + 90, middle[1] + 20, steps=2)
    tab.mouse.up()
    assert np.abs(seen(stage) - before).mean() > 1, "a drag turns it"
    assert tab.evaluate("at.slice()") == at, "and moves no plane"
    tab.mouse.dblclick(middle[0] + 20, middle[1] - 30)
    true_in(tab, f"JSON.stringify(at) !== '{json.dumps(at, separators=(',', ':'))}'", tab.trouble)
    after = seen(stage)
    tab.locator("canvas[data-view=sagittal]").focus()
    tab.keyboard.press("PageDown")
    true_in(tab, "document.querySelector('canvas[data-view=sagittal]').dataset.drawn === String(at[0])", tab.trouble)
    assert np.abs(seen(stage) - after).mean() > 0.2, "the planes move its crosshair"
    tab.click("#three")
    assert tab.locator("#solid").count() == 0
    assert tab.trouble == []
    tab.close()


def test_a_click_moves_the_crosshair_of_all_planes(browser: Any, site: str) -> None:  # noqa: F811
    """The place clicked in the axial plane is where the other planes cut, and where its own lines cross."""
    tab = opened(browser, site)
    at = tab.evaluate("at.slice()")
    box = tab.locator("canvas[data-view=axial]").bounding_box()
    x, y = 0.62, 0.4
    bare = np.array(colour_at(tab, "axial", x, y - 0.08))
    tab.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    wide, high = 61 * 0.8, 53 * 0.9
    zoom = (420 - 36) / max(wide, high)
    r = 60 - int((x * 420 - (420 - wide * zoom) / 2) / zoom / 0.8)
    a = 52 - int((y * 420 - (420 - high * zoom) / 2) / zoom / 0.9)
    for view, index in (("sagittal", r), ("coronal", a)):
        true_in(tab, f"document.querySelector('canvas[data-view={view}]').dataset.drawn === '{index}'", tab.trouble)
    assert tab.evaluate("at.slice()") == [r, a, at[2]]
    line = tab.evaluate("placeOf(scan.planes.find((p) => p.view === 'axial'), panels.get('axial').canvas, at)")
    crossed = np.array(colour_at(tab, "axial", line[0] / 420, y - 0.08))
    assert (crossed - bare)[2] > 20, "the line is blue"
    tab.close()


@pytest.mark.parametrize(("scheme", "figures"), [("dark", 4), ("light", 3)])
def test_a_phone_shows_everything_without_scrolling_sideways(
    browser: Any,  # noqa: F811
    site: str,
    scheme: str,
    figures: int,
) -> None:
    """With 3-D open, which is the fourth figure, and without."""
    tab = opened(browser, site, 390, color_scheme=scheme, has_touch=True)
    if figures == 4:
        assert solid_of(tab).bounding_box()["width"] > 350
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    boxes = [place.bounding_box() for place in tab.locator("figure, #masks, #three, #preset, #said").all()]
    assert len(boxes) == figures + 4
    assert all(one["x"] >= 0 and one["x"] + one["width"] <= 390 for one in boxes)
    weak = {text: ratio for text, ratio in contrasts(tab).items() if ratio < 4.5}
    assert weak == {}
    assert tab.trouble == []
    tab.close()


def test_without_webgl2_the_page_says_so_and_the_planes_go_on(browser: Any, site: str) -> None:  # noqa: F811
    tab = browser.new_page()
    tab.trouble = watched(tab, site)
    tab.add_init_script(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest)"
        "{ return kind === 'webgl2' ? null : real.call(this, kind, ...rest); };"
    )
    tab.goto(f"{site}/?key={KEY}")
    true_in(tab, "document.querySelectorAll('canvas[data-drawn]').length === 3", tab.trouble)
    tab.click("#three")
    true_in(tab, "document.getElementById('status').textContent.includes('no WebGL2')", tab.trouble)
    assert tab.locator("#solid").count() == 0
    tab.locator("canvas[data-view=axial]").focus()
    tab.keyboard.press("PageUp")
    true_in(tab, "document.querySelector('canvas[data-view=axial]').dataset.drawn === String(at[2])", tab.trouble)
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
    for path in ("solid.js", f"image/{scan}/solid", "mask/msk_1/solid"):
        assert httpx2.get(f"{site}/{path}").status_code == 403
    missing = httpx2.get(f"{site}/mask/msk_none/solid", headers=key)
    assert (missing.status_code, "msk_none" in missing.text) == (404, True)
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
