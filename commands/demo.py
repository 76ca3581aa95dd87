"""`ostensor demo`: a real head MR and a made torso CT, asked by words through MCP, with a report to look at."""

from __future__ import annotations

import base64
import html
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp_types import ImageContent, TextContent
from rich.console import Console

from ..imaging.errors import Failed
from ..imaging.files import write_volume
from ..imaging.phantoms import torso_ct
from ..imaging.samples import mni_template
from ..server.logs import log_to_stderr
from ..server.mcp.server import build_server
from ..tools.desk.desk import Desk
from ..tools.desk.settings import Settings
from ..tools.reports.page import write_report_page
from ..tools.reports.results import ReportResult

HEAD_WORDS = (
    "lateral ventricles", "left thalamus", "right thalamus", "caudate nuclei", "putamina", "hippocampi",
    "cerebellum", "brainstem", "white matter", "liver",
)  # fmt: skip
TORSO_WORDS = (
    "liver",
    "spleen",
    "left kidney",
    "right kidney",
    "bladder",
    "aorta",
    "hip bones",
    "femora",
    "prostate",
)
REPORT = """FINDINGS: The liver is normal. The urinary bladder measures 7.5 cm. The right femur is surgically absent.
The left hip bone is intact. There is a 12 mm cyst in the liver. No hydronephrosis.
IMPRESSION: Liver cyst, 1.2 cm."""
_NOTE = "Research software, not a medical device."


@dataclass
class Told:
    """One call as the report shows it."""

    tool: str
    arguments: dict[str, Any]
    text: str
    result: dict[str, Any]
    pictures: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


def run_demo(folder: Path, console: Console) -> Path:
    """Run it and answer the report's path.

    Raises:
        Unavailable: the head scan's package is missing.
        Failed: a tool answered with an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head = mni_template()
    phantom = torso_ct()
    write_volume(folder / "torso_phantom.nii.gz", phantom.volume.array, phantom.volume.grid, synthetic=True)
    settings = Settings(store=folder / "store", roots=(folder, head.parent))
    started = time.monotonic()
    with Desk(settings) as desk:
        try:
            calls = anyio.run(_walk, desk, console)
        except BaseExceptionGroup as group:  # the client's task group wraps what was raised in it
            raise _first(group) from None
        checked = ReportResult.model_validate(calls[-1].result)
        write_report_page(desk, checked, REPORT, folder / "report_check")
    report = folder / "report.html"
    report.write_text(page(calls, time.monotonic() - started), encoding="utf-8")
    for number, picture in enumerate(picture for call in calls for picture in call.pictures):
        (folder / f"picture_{number + 1}.png").write_bytes(picture)
    return report


async def _walk(desk: Desk, console: Console) -> list[Told]:
    calls: list[Told] = []
    server = build_server(desk)
    log_to_stderr()
    async with Client(server) as client:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            started = time.monotonic()
            answer = await client.call_tool(tool, arguments, read_timeout_seconds=600)
            text = " ".join(part.text for part in answer.content if isinstance(part, TextContent))
            if answer.is_error:
                raise Failed(f"The demo's call of {tool} failed: {text}")
            pictures = [base64.b64decode(part.data) for part in answer.content if isinstance(part, ImageContent)]
            result = dict(answer.structured_content or {})
            calls.append(Told(tool, arguments, text, result, pictures, time.monotonic() - started))
            console.print(f"[bold]{tool}[/] {text}", soft_wrap=True)
            return result

        async def look(path: str, modality: str, words: tuple[str, ...], window: str, synthetic: bool) -> str:
            image = str((await call("open_image", path=path, modality=modality))["image_id"])
            found = await call("segment", image_id=image, structures=list(words), wait_s=300)
            masks = [row["mask_id"] for row in found["masks"] if row["mask_id"]]
            if not masks:
                return image
            await call("measure", mask_ids=masks, what=["volume", "diameters", "shape"], allow_synthetic=synthetic)
            await call("render", image_id=image, mask_ids=masks[:20], view="montage", window=window)
            await call("export", mask_ids=masks[:1], folder=str(desk.settings.roots[0].resolve()))
            return image

        await call("find_structures", query="ventricles of the brain")
        await look(str(mni_template()), "mr", HEAD_WORDS, "auto", False)
        torso = await look(
            str(desk.settings.roots[0].resolve() / "torso_phantom.nii.gz"), "auto", TORSO_WORDS, "soft_tissue", True
        )
        await call("check_report", image_id=torso, report=REPORT, allow_synthetic=True, wait_s=300)
    return calls


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def page(calls: list[Told], seconds: float) -> str:
    """The report as one HTML file with its pictures inside."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>ostensor demo</title>",
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
        "table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:left}"
        "img{max-width:100%}code{background:#f2f2f2;padding:.1rem .3rem}.num{text-align:right}</style>",
        "<h1>What the tools answered</h1>",
        f"<p>{len(calls)} calls through MCP in {seconds:.0f} s. {_NOTE}</p>",
    ]
    for call in calls:
        shown = ", ".join(
            f"{name}={value!r}" for name, value in call.arguments.items() if name not in ("path", "folder")
        )
        parts.append(
            f"<h2>{call.tool}</h2><p><code>{html.escape(call.tool)}({html.escape(shown)})</code> {call.seconds:.1f} s</p>"
        )
        parts.append(f"<p>{html.escape(call.text)}</p>")
        if call.tool == "segment":
            parts.append(_verdicts(call.result))
        if call.tool == "check_report":
            parts.append(_judgements(call.result))
        for picture in call.pictures:
            data = base64.b64encode(picture).decode("ascii")
            parts.append(f"<img alt='{call.tool}' src='data:image/png;base64,{data}'>")
    return "\n".join(parts)


def _verdicts(result: dict[str, Any]) -> str:
    rows = ["<table><tr><th>structure<th>verdict<th class='num'>volume, ml<th>side<th>why, and what to watch"]
    for row in result["masks"]:
        volume = (
            ""
            if row["volume_ml"] is None
            else f"{row['volume_ml']:.1f}{' (cut)' if row['volume_is'] == 'cut by the edge' else ''}"
        )
        why = html.escape(" ".join([row["reason"], *row["warnings"]]).strip())
        rows.append(
            f"<tr><td>{row['structure']}<td>{row['verdict']}<td class='num'>{volume}<td>{row['side'] or ''}<td>{why}"
        )
    return "\n".join([*rows, "</table>"])


def _judgements(result: dict[str, Any]) -> str:
    rows = ["<table><tr><th>sentence<th>judgement<th>why"]
    for row in result["findings"]:
        why = html.escape(" ".join(row["reasons"]))
        rows.append(f"<tr><td>{html.escape(row['sentence'])}<td>{row['judgement'].replace('_', ' ')}<td>{why}")
    link = "<p><a href='report_check/report.html'>The report with its slices</a></p>"
    return "\n".join([*rows, "</table>", link])
