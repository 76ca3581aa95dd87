"""A checked report as one self-contained HTML page: coloured sentences beside three planes with their masks.

The page (`report_page.html`) gets its data as JSON with pictures as data URIs; nothing is fetched.
The scan is cut down to at most 144 voxels a side, as 8-bit grey values in one PNG of tiled slices.
The same voxels make its 3-D view, whose program (NiiVue, 0.3 MB deflated) lies in the page and runs when it is asked for.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...imaging.geometry import reorient_array
from ...imaging.pictures.legend import COLOURS
from ...imaging.pictures.windows import window_of
from ..desk.desk import Desk
from ..viewer.library import drawing_program
from .results import ReportFinding, ReportResult

PAGE = Path(__file__).with_name("report_page.html")
LONGEST_SIDE = 144  # voxels kept along the longest side
MOST_MASKS = 20


def report_page(desk: Desk, result: ReportResult, report: str) -> str:
    """The page as one string of HTML.

    Args:
        report: the text with plain line ends, as the findings' places refer to it.
    """
    image = desk.store.volume(result.image_id)
    array, grid = reorient_array(image.array, image.grid, "RAS")
    steps = _steps(array.shape)
    small = array[tuple(slice(None, None, step) for step in steps)]
    centre, width = window_of(image, "auto")
    grey = np.clip((small.astype(np.float32) - (centre - width / 2)) / width, 0, 1) * 255
    masks = _masks(desk, result, steps)
    spacing = [s * step for s, step in zip(grid.spacing_mm, steps, strict=True)]
    data = {
        "shape": list(small.shape),
        "spacing": spacing,
        "grey": _tiled(grey.astype(np.uint8)),
        "masks": masks,
        "findings": [_finding(row, {m["mask_id"]: m for m in masks}) for row in result.findings],
        "contradictions": result.contradictions,
        "unmentioned": [row.model_dump(mode="json") for row in result.unmentioned],
        "not_checked": [row.model_dump(mode="json") for row in result.not_checked],
        "summary": result.summary.partition(". ")[0].rstrip(".") + ".",  # the counts; the page itself tells the rest
        "image_id": result.image_id,
        "synthetic": image.synthetic,
    }
    text = PAGE.read_text(encoding="utf-8")
    # "<" is escaped inside the JSON: no text of the report can close the script element
    payload = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")
    before, rest = text.split("{{REPORT}}")
    between, rest = rest.split("{{DATA}}")
    beside, after = rest.split("{{PROGRAM}}")
    program = base64.b64encode(drawing_program()).decode("ascii")
    return "".join((before, marked(report, result.findings), between, payload, beside, program, after))


def write_report_page(desk: Desk, result: ReportResult, report: str, folder: Path) -> Path:
    """Write `report.html` into a folder and answer its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(report_page(desk, result, report), encoding="utf-8")
    return path


def marked(report: str, findings: Sequence[ReportFinding]) -> str:
    """The report as HTML; each finding a button in the colour of its judgement, overlapping ones side by side."""
    parts, at = [], 0
    for number, row in sorted(enumerate(findings), key=lambda pair: (pair[1].start, pair[1].end)):
        start, end = max(row.start, at), max(row.end, at)
        parts.append(html.escape(report[at:start]))
        words = html.escape(report[start:end]) or html.escape(f"({row.lesion or row.structure})")
        parts.append(f'<button class="finding {row.judgement}" data-finding="{number}">{words}</button>')
        at = end
    parts.append(html.escape(report[at:]))
    return "".join(parts)


def _steps(shape: Sequence[int]) -> tuple[int, ...]:
    """Every how-manieth voxel is kept along each axis, so that none has more than `LONGEST_SIDE`."""
    return tuple(max(1, -(-n // LONGEST_SIDE)) for n in shape)


def _masks(desk: Desk, result: ReportResult, steps: tuple[int, ...]) -> list[dict[str, Any]]:
    names: dict[str, tuple[str, str]] = {}
    for row in result.findings:
        for proof in row.evidence:
            if proof.mask_id:
                names.setdefault(proof.mask_id, (proof.structure, proof.verdict))
    for silent in result.unmentioned:
        if silent.mask_id and silent.implausible:
            names.setdefault(silent.mask_id, (silent.structure, silent.verdict))
    shown = []
    for number, (mask_id, (structure, verdict)) in enumerate(list(names.items())[:MOST_MASKS]):
        mask = desk.store.mask(mask_id)
        array = reorient_array(mask.array, mask.grid, "RAS")[0][tuple(slice(None, None, step) for step in steps)]
        fullest = [int(array.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3)]
        shown.append(
            {
                "mask_id": mask_id,
                "structure": structure,
                "verdict": verdict,
                "colour": list(COLOURS[number % len(COLOURS)]),
                "fullest": fullest,
                "bits": _tiled(array.astype(np.uint8) * 255),
            }
        )
    return shown


def _finding(row: ReportFinding, masks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    seen = [proof.mask_id for proof in row.evidence if proof.mask_id in masks]
    return {**row.model_dump(mode="json"), "masks": seen}


def _tiled(array: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Axial slices (x y) of an array (x y z), side by side in one PNG, 12 to a row."""
    x, y, z = array.shape
    columns = min(12, z)
    rows = -(-z // columns)
    sheet = np.zeros((rows * y, columns * x), np.uint8)
    for k in range(z):
        r, c = divmod(k, columns)
        sheet[r * y : (r + 1) * y, c * x : (c + 1) * x] = array[:, :, k].T
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return {"columns": columns, "src": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")}
