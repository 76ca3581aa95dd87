"""Backbones at their tiny sizes beside one another: same data, same processor time, same seeds; ranked, whatever it says.

What was measured is kept in a file, so that a run may be stopped and go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...imaging.guards.atomic import write_atomically
from ...models.backbones.row import Backbone
from ...models.backbones.table import BACKBONES
from ...training.scores import patient_interval
from ..machine import described
from .claims import CLAIMS
from .side import Side

TASKS = {3: "hippocampus", 2: "cardiac"}
TITLES = {
    "hippocampus": "hippocampus, front and back part, MR crops (3-D)",
    "cardiac": "heart chambers, short-axis cine MR (2-D, slice by slice)",
}
Found = dict[str, dict[str, Any]]


def run(
    *,
    data: Path,
    kept: Path,
    minutes: float = 1.0,
    seeds: int = 2,
    cases: int = 20,
    names: Sequence[str] = (),
    report: Callable[[float, str], None] = lambda share, words: None,
) -> str:
    """Markdown tables, one for each task.

    Args:
        data: folder of the data sets.
        kept: JSON file of what was measured; what it holds is not measured again.
        minutes: of processor time that each backbone is taught with each seed.
        seeds: how many.
        cases: held-out ones that are measured, at most.
        names: of backbones; () for all.
    """
    found: Found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    sides = [
        Side(row.name, TASKS[dims], seed, minutes, cases, str(data))
        for dims in TASKS
        for row in BACKBONES
        if dims in row.dims and (not names or row.name in names)
        for seed in range(seeds)
    ]
    for number, side in enumerate(sides):
        report(number / len(sides), f"{side.backbone}, {side.task}, seed {side.seed}")
        if key(side) not in found:
            found[key(side)] = _measured(side)
            text = json.dumps(found)
            write_atomically(kept, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]  # bound now
    return page(sides, found)


def key(side: Side) -> str:
    """What a measurement is kept under."""
    return json.dumps({name: value for name, value in asdict(side).items() if name != "data"}, sort_keys=True)


def _measured(side: Side) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.side", json.dumps(asdict(side))], capture_output=True, text=True
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "it ended"}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def page(sides: Sequence[Side], found: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables of these sides, backbones by their Dice."""
    rows = {row.name: row for row in BACKBONES}
    parts = []
    for task, title in TITLES.items():
        own = [side for side in sides if side.task == task]
        if not own:
            continue
        lines = [
            f"### {title}",
            "",
            "| backbone | weights | Dice (95 %) | seeds | steps | train, CPU s/step | a scan, CPU s | peak MB | its authors say |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        ranked: list[tuple[float, str]] = []
        for name in dict.fromkeys(side.backbone for side in own):
            ranked.append(_row(rows[name], [found[key(side)] for side in own if side.backbone == name]))
        lines += [text for _, text in sorted(ranked, reverse=True)]
        parts.append("\n".join(lines))
    first = sides[0]
    parts.append(
        f"Tiny presets; each taught for {first.minutes:g} minutes of processor time with each seed, one thread, float32, AdamW with "
        f"the same rate; Dice over at most {first.cases} held-out cases, mean over structures, interval over patients, of the "
        f"mean of the seeds. {described()}."
    )
    return "\n\n".join(parts)


def _row(row: Backbone, results: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Mean Dice, and a line of the table."""
    if broken := [one["failed"] for one in results if "failed" in one]:
        return -1.0, f"| {row.name} | | failed: {broken[0]} | | | | | | {CLAIMS.get(row.name, '')} |"
    dice = np.mean([one["dice"] for one in results], axis=0)
    low, high = patient_interval(dice, results[0]["patients"])
    each = ", ".join(f"{np.mean(one['dice']):.3f}" for one in results)

    def middle(name: str) -> float:
        return float(np.mean([one[name] for one in results]))

    return float(dice.mean()), (
        f"| {row.name} | {results[0]['parameters'] / 1e6:.2f} M | {dice.mean():.3f} ({low:.3f} to {high:.3f}) | {each} | "
        f"{middle('steps'):.0f} | {middle('step_s'):.2f} | {middle('case_s'):.2f} | {middle('peak_mb'):.0f} | "
        f"{CLAIMS.get(row.name, '')} |"
    )
