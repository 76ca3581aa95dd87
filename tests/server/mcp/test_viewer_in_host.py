"""The viewer's page in a chat host: the official bridge in Node, the page in a sandboxed frame of a real browser."""

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ... import node_packages
from ...toys.browsers import browser, in_colour, seen, show_scan_as, watched  # noqa: F401  # a fixture
from ...toys.http_toys import Site, served
from ..test_browser import BLUE, ORANGE, colour_at

PARENT = """<!doctype html><body style="margin:0"><iframe id="view" sandbox="allow-scripts"
 style="border:0;width:1100px;height:640px"></iframe><script>
window.addEventListener("message", (event) => {
  if (event.source === document.getElementById("view").contentWindow) window.toHost(JSON.stringify(event.data));
});</script></body>"""


# What hosts must enforce where an app asks for no domains. Source: MCP Apps 2026-01-26, "Restrictive Default".
POLICY = """<head><meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'unsafe-inline';
 style-src 'self' 'unsafe-inline'; img-src 'self' data:; media-src 'self' data:; connect-src 'none'">"""


class Host:
    """The Node program, and what it said, by kind."""

    def __init__(self, url: str, arguments: dict[str, Any]) -> None:
        node_packages.package("@modelcontextprotocol/ext-apps")
        program = node_packages.HOME / "host.mjs"  # beside its packages, where Node looks for them
        shutil.copy(Path(__file__).parents[2] / "node" / "host.mjs", program)
        command = [node_packages.node(), str(program), url, "render", json.dumps(arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
        )
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.said: dict[str, list[Any]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, kind: str, tab: Any = None, seconds: float = 60) -> Any:
        """The next thing of a kind; the view's messages are handed on meanwhile."""
        for _ in range(int(seconds / 0.05)):
            while not self.lines.empty():
                found = self.lines.get()
                if found["kind"] == "to-view":
                    script = "(m) => document.getElementById('view').contentWindow.postMessage(m, '*')"
                    tab.evaluate(script, found["value"])
                else:
                    self.said.setdefault(found["kind"], []).append(found["value"])
            if self.said.get(kind):
                return self.said[kind].pop(0)
            if tab is None:
                threading.Event().wait(0.05)
            else:
                tab.wait_for_timeout(50)
        raise AssertionError(f"no {kind}; said: {list(self.said)}, exit {self.process.poll()}")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def site(desk: Desk) -> Iterator[Site]:
    with served(desk) as made:
        yield made


@pytest.fixture
def host(desk: Desk, site: Site) -> Iterator[Host]:
    image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
    rows = use(desk, "segment", image_id=image, structures=["liver", "spleen"]).result.model_dump()["masks"]
    arguments = {"image_id": image, "mask_ids": [row["mask_id"] for row in rows], "slice_index": 10}
    made = Host(f"{site.url}/mcp", arguments)
    yield made
    made.close()


def true_in_frame(host: Host, tab: Any, script: str) -> Any:
    """The frame once it holds there; messages are handed on meanwhile."""
    frame = tab.frames[1]
    for _ in range(600):
        host.lines.put({"kind": "tick", "value": 0})
        host.until("tick", tab)
        if frame.evaluate(script):
            return frame
        tab.wait_for_timeout(50)
    raise AssertionError(frame.evaluate("document.getElementById('status').textContent"))


def test_a_host_shows_the_result_and_a_click_reaches_the_model(host: Host, browser: Any) -> None:  # noqa: F811
    page = host.until("page")
    assert page["mimeType"] == "text/html;profile=mcp-app"
    assert host.said["hidden"] == [["viewer_open", "viewer_slices", "viewer_point", "viewer_undo"]]
    tab = browser.new_page(viewport={"width": 1110, "height": 660})
    trouble = watched(tab, "about:")
    tab.expose_function("toHost", host.tell)
    tab.set_content(PARENT)
    tab.evaluate(
        "(html) => { document.getElementById('view').srcdoc = html; }", page["text"].replace("<head>", POLICY, 1)
    )
    size = host.until("size", tab)
    assert size["height"] > 50
    frame = true_in_frame(host, tab, "document.querySelectorAll('canvas[data-drawn]').length === 3")
    assert frame.evaluate("document.querySelector('canvas[data-view=axial]').dataset.drawn") == "10", "as rendered"
    assert frame.locator("#masks li").count() == 2
    x, y = 0.3, 0.45  # inside the liver's block, see test_viewing
    assert colour_at(frame, "axial", x, y)[0] > colour_at(frame, "axial", x, y)[2] + 50, "the first colour is orange"
    frame.click("[data-mode=negative]")
    box = frame.locator("canvas[data-view=axial]").bounding_box()
    tab.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    told = host.until("model", tab)
    assert "does not belong to liver" in told["content"][0]["text"]
    assert "value 100, inside liver" in told["content"][0]["text"]
    assert told["structuredContent"]["positive"] is False
    assert told["structuredContent"]["masks"] == ["liver"]
    frame.evaluate("window.could = hostCan; hostCan = { updateModelContext: could.updateModelContext }")
    frame.click("#three")
    true_in_frame(host, tab, "document.getElementById('status').textContent.includes('no 3-D view here')")
    frame.evaluate("hostCan = could")
    frame.click("#three")
    true_in_frame(host, tab, "!!document.querySelector('#solid canvas[data-drawn]')")
    show_scan_as(frame, "#solid select", "hidden")
    masks = seen(frame.locator("#solid canvas"))
    assert in_colour(masks, ORANGE).sum() > 1000, "the liver's surface came through the host"
    assert in_colour(masks, BLUE).sum() > 500
    host.tell("teardown")
    assert host.until("torn-down", tab) == {}
    assert trouble == []
    tab.close()
