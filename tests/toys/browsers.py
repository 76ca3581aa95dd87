"""Chromium for tests that look at pages, with WebGL drawn by the processor, and what every tab of it must not do."""

import io
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

# WebGL2 without a graphics card. Source: Chromium, docs/gpu/swiftshader.md
DRAWN_BY_PROCESSOR = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install '.[dev]')")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium: run `make chromium`")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=["--no-sandbox", *DRAWN_BY_PROCESSOR])
        yield opened
        opened.close()


def watched(tab: Any, origin: str = "file:") -> list[str]:
    """What the tab does that it must not: errors, and requests beyond its own place."""
    trouble: list[str] = []
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
    tab.on("request", lambda r: None if r.url.startswith((origin, "data:", "blob:")) else trouble.append(r.url))
    return trouble


def true_in(tab: Any, script: str, trouble: list[str]) -> None:
    """Wait until it holds; policies of pages forbid the browser's own way of waiting, which evaluates text."""
    for _ in range(600):
        if tab.evaluate(script):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"{script}: {tab.inner_text('body')[:400]} {trouble}")


def show_scan_as(tab: Any, chooser: str, kind: str) -> None:
    """Choose how the 3-D view shows the scan, and wait until it does."""
    tab.select_option(chooser, kind)
    for _ in range(400):
        if tab.evaluate("document.querySelector('#solid canvas').dataset.scan") == kind:
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"the scan is not shown as {kind}")


def seen(place: Any) -> np.ndarray:
    """What is on the screen there once all that was asked for is drawn: (rows, columns, 3), 0 to 255."""
    place.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return np.asarray(Image.open(io.BytesIO(place.screenshot())).convert("RGB")).astype(np.int64)


def in_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture shows a lit surface of a colour: its hue, at half its brightness or more."""
    strength = picture @ np.array(colour) / np.square(colour).sum()
    return np.asarray((strength > 0.5) & (np.abs(picture - strength[..., None] * np.array(colour)).max(axis=2) < 25))


def contrasts(tab: Any) -> dict[str, float]:
    """The contrast of every text that can be seen against what lies behind it, the lowest per pair of colours.

    Source: WCAG 2.2, relative luminance and contrast ratio; 4.5 is readable (success criterion 1.4.3).
    """
    script = """() => {
      const parts = (css) => css.match(/[0-9.]+/g).map(Number), found = {};
      const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const one = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !one.checkVisibility() || one.matches("script, style, option, :disabled")) continue;
        let ground = [255, 255, 255, 0];
        for (let behind = one; behind && ground[3] === 0; behind = behind.parentElement) {
          const [r, g, b, a = 1] = parts(getComputedStyle(behind).backgroundColor);
          ground = [r, g, b, a];
        }
        const ink = parts(getComputedStyle(one).color), [low, high] = [light(ink), light(ground)].sort((a, b) => a - b);
        const key = `rgb(${ink}) on rgb(${ground.slice(0, 3)}): ${walker.currentNode.data.trim().slice(0, 30)}`;
        found[key] = Math.min(found[key] ?? 99, (high + .05) / (low + .05));
      }
      return found;
    }"""
    found: dict[str, float] = tab.evaluate(script)
    return found
