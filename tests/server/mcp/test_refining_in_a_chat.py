"""Refining in a chat: the page in a sandboxed frame, whose calls a host made of a few lines hands to an MCP server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client

from ostensor.server.mcp.server import build_server
from ostensor.server.mcp.viewer_app import viewer_html
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ...toys.browsers import browser, true_in, watched  # noqa: F401  # a fixture
from ..test_refining_by_hand import LIVER, alone, drag, point, spot, voxels
from .test_viewer_in_host import POLICY

PARENT = """<!doctype html><body style="margin:0"><iframe id="view" sandbox="allow-scripts"
 style="border:0;width:1100px;height:760px"></iframe><script>
const view = document.getElementById("view");
window.addEventListener("message", async (event) => {
  if (event.source !== view.contentWindow) return;
  for (const answer of await window.toHost(event.data)) view.contentWindow.postMessage(answer, "*");
});</script></body>"""


class Chat:
    """A host as the standard describes it, of which the page uses four methods; `told` is what the model was told last."""

    def __init__(self, desk: Desk, shown: dict[str, Any]) -> None:
        self.desk, self.shown = desk, shown
        self.told: dict[str, Any] = {}
        self.called: list[str] = []
        self.pool = ThreadPoolExecutor(1)

    def answers(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """What the page gets for a message of its own."""
        method, params = message.get("method"), message.get("params", {})
        if method == "ui/notifications/initialized":
            result = {"content": [], "structuredContent": self.shown}
            return [{"jsonrpc": "2.0", "method": "ui/notifications/tool-result", "params": result}]
        if "id" not in message:
            return []
        if method == "tools/call":
            result = self.pool.submit(anyio.run, self.call, params["name"], params["arguments"]).result()
        elif method == "ui/initialize":
            result = {"hostCapabilities": {"serverTools": {}, "updateModelContext": {"structuredContent": {}}}}
        else:
            assert method == "ui/update-model-context"
            self.told, result = params, {}
        return [{"jsonrpc": "2.0", "id": message["id"], "result": result}]

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.called.append(name)
        async with Client(build_server(self.desk)) as client:
            answer = await client.call_tool(name, arguments)
        found: dict[str, Any] = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
        return found


@pytest.fixture
def chat(desk: Desk) -> Chat:
    image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
    rows = use(desk, "segment", image_id=image, structures=["liver", "spleen"]).result.model_dump()["masks"]
    return Chat(desk, {"image_id": image, "mask_ids": [row["mask_id"] for row in rows]})


def test_marks_and_undo_go_through_the_host_and_the_model_hears_of_them(
    chat: Chat,
    desk: Desk,
    browser: Any,  # noqa: F811
) -> None:
    """With the default toolsets, where no model has `undo_refinement`."""
    start = chat.shown["mask_ids"][0]
    tab = browser.new_page(viewport={"width": 1110, "height": 780})
    trouble = watched(tab, "about:")
    tab.expose_function("toHost", chat.answers)
    tab.set_content(PARENT)
    page = viewer_html().replace("<head>", POLICY, 1)
    tab.evaluate("(html) => { document.getElementById('view').srcdoc = html; }", page)
    true_in(tab, "!!window.frames[0]", trouble)
    frame = next(one for one in tab.frames if one != tab.main_frame)
    true_in(frame, "document.querySelectorAll('canvas[data-drawn]').length === 3", trouble)
    frame.click("[data-mode=refine]")
    frame.evaluate(f"at = {LIVER}; drawAll()")
    true_in(frame, "document.querySelector('canvas[data-view=axial]').dataset.drawn === '10'", trouble)
    frame.click("[data-kind=scribble]")
    line, clicked = [[40, 40, 10], [48, 44, 10]], [20, 20, 10]
    frame_as_tab = Framed(tab, frame)
    drag(frame_as_tab, "axial", line)
    tab.mouse.click(*spot(frame_as_tab, "axial", clicked), button="right")
    true_in(frame, "untaken === 0 && target.refining?.step === 2", trouble)
    mask_id = frame.evaluate("target.mask_id")
    stroke = {"kind": "scribble", "at": line, "positive": True}
    assert np.array_equal(voxels(desk, mask_id), alone(desk, start, stroke, point(clicked, False)))
    assert f"liver is now {mask_id}, step 2" in chat.told["content"][0]["text"]
    assert chat.told["structuredContent"]["mask_id"] == mask_id
    frame.click("#undo")
    true_in(frame, "untaken === 0 && target.refining?.step === 3", trouble)
    assert np.array_equal(voxels(desk, frame.evaluate("target.mask_id")), alone(desk, start, stroke))
    assert {"refine_mask", "viewer_undo"} < set(chat.called)
    assert trouble == []
    tab.close()


class Framed:
    """The mouse of a tab with the places of a frame in it."""

    def __init__(self, tab: Any, frame: Any) -> None:
        self.mouse, self.locator = tab.mouse, frame.locator
