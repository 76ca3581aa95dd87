"""The calls of the demo: what a client asks through MCP, and what comes back."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp_types import ImageContent, TextContent

from ...imaging.errors import Failed
from ...imaging.files import write_volume
from ...imaging.phantoms import Phantom, torso_ct
from ...imaging.samples import mni_template
from ...server.logs import log_to_stderr
from ...server.mcp.server import build_server
from ...server.mcp.wire import whole
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.reports.page import write_report_page
from ...tools.reports.results import ReportResult
from ...tools.segmenting.verdicts import SYNTHETIC_UNMEASURED
from .page import page
from .told import Looked, Told

HEAD_WORDS = (
    "lateral ventricles", "left thalamus", "right thalamus", "caudate nuclei", "hippocampi", "brainstem",
    "liver",
)  # fmt: skip
TORSO_WORDS = ("left kidney", "right kidney", "aorta", "prostate")
REPORT = """FINDINGS: The left kidney measures 10.8 cm in length. The right kidney measures 15 cm in length.
The left kidney is surgically absent. The aorta is not dilated. There is a 12 mm cyst in the liver.
IMPRESSION: Enlarged right kidney."""


class Walk:
    """A client that keeps what it was told."""

    def __init__(self, client: Client, folder: Path, said: Callable[[str, str], None]) -> None:
        self.calls: list[Told] = []
        self.looked: list[Looked] = []
        self._client, self._folder, self._said = client, folder, said

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a tool.

        Raises:
            Failed: it answered with an error.
        """
        started = time.monotonic()
        answer = await self._client.call_tool(tool, arguments, read_timeout_seconds=600)
        text = " ".join(part.text for part in answer.content if isinstance(part, TextContent))
        if answer.is_error:
            raise Failed(f"The demo's call of {tool} failed: {text}")
        pictures = [base64.b64decode(part.data) for part in answer.content if isinstance(part, ImageContent)]
        result = whole(tool, answer.structured_content)  # rows whole, as programs read them
        self.calls.append(Told(tool, arguments, text, result, pictures, time.monotonic() - started))
        self._said(tool, text)
        return result

    async def look(
        self, name: str, path: Path, words: tuple[str, ...], made: Phantom | None = None, **opened: str
    ) -> str:
        """Open, segment, measure, draw and export; only what is present is measured and drawn."""
        image = str((await self.call("open_image", path=str(path), **opened))["image_id"])
        found = await self.call("segment", image_id=image, structures=list(words), wait_s=300)
        masks = [row["mask_id"] for row in found["masks"] if row["verdict"] == "present"]
        if not masks:
            self.looked.append(Looked(name, found["masks"], b"", {}))
            return image
        sizes = await self.call(
            "measure", mask_ids=masks, what=["volume", "diameters"], allow_synthetic=made is not None
        )
        await self.call("render", image_id=image, mask_ids=masks, view="montage")
        picture = self.calls[-1].pictures[0]
        await self.call("render", image_id=image, mask_ids=masks, view="montage", kind="surface")
        await self.call("export", mask_ids=masks[:1], folder=str(self._folder.resolve()))
        truth = {} if made is None else {key: float(ml) for key, ml in made.whole_ml.items()}
        measured = {row["mask_id"]: row["volume_ml"] for row in sizes["measurements"]}
        rows = [
            row | _measured(row, measured[row["mask_id"]]) if row["mask_id"] in measured else row
            for row in found["masks"]
        ]
        self.looked.append(Looked(name, rows, picture, truth))
        return image


def run_demo(folder: Path, said: Callable[[str, str], None]) -> Path:
    """Run it and answer the page's path.

    Args:
        said: is told the tool and the text of every answer.

    Raises:
        Unavailable: the head scan's package is missing.
        Failed: a tool answered with an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head, phantom = mni_template(), torso_ct()
    torso = folder / "torso_phantom.nii.gz"
    write_volume(torso, phantom.volume.array, phantom.volume.grid, synthetic=True)
    settings = Settings(store=folder / "store", roots=(folder, head.parent))
    started = time.monotonic()
    with Desk(settings) as desk:
        try:
            walk = anyio.run(_walk, desk, folder, head, torso, phantom, said)
        except BaseExceptionGroup as group:  # the client's task group wraps what was raised in it
            raise _first(group) from None
        checked = ReportResult.model_validate(walk.calls[-1].result)
        write_report_page(desk, checked, REPORT, folder / "report_check")
    report = folder / "report.html"
    report.write_text(page(walk.looked, walk.calls, time.monotonic() - started), encoding="utf-8")
    for number, looked in enumerate(walk.looked, start=1):
        (folder / f"picture_{number}.png").write_bytes(looked.picture)
    return report


async def _walk(
    desk: Desk, folder: Path, head: Path, torso: Path, phantom: Phantom, said: Callable[[str, str], None]
) -> Walk:
    server = build_server(desk)
    log_to_stderr()
    async with Client(server) as client:
        walk = Walk(client, folder, said)
        await walk.call("find_structures", query="ventricles of the brain")
        await walk.look("an average of 152 healthy heads (MR)", head, HEAD_WORDS, modality="mr")
        image = await walk.look("a made torso (CT)", torso.resolve(), TORSO_WORDS, phantom, modality="ct")
        await walk.call("check_report", image_id=image, report=REPORT, allow_synthetic=True, wait_s=300)
    return walk


def _measured(row: dict[str, Any], volume_ml: float | None) -> dict[str, Any]:
    """A row's volume as measured, without the remark that it was not."""
    warnings = [warning for warning in row["warnings"] if warning != SYNTHETIC_UNMEASURED]
    return {"volume_ml": volume_ml, "warnings": warnings}


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
