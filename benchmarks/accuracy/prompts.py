"""Prompts written for every structure found on a scan, read back by `segment_described`, and stressed.

The masks are the bundled network's own, so the figures are about words: whether a sentence comes back to
the mask it was written for. They say nothing about how good the masks are.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np

from ...imaging.masks.dice import dice
from ...imaging.phantoms import torso_ct
from ...retrieval.descriptions.prompts import FAMILIES, distinct_2, near_duplicate_rate
from ...retrieval.descriptions.wording import Audience
from ...tools.describing.candidates import everything
from ...tools.describing.described import Wanted, describe, read
from ...tools.describing.finding import Finder
from ...tools.describing.prompting import Ask, write
from ...tools.describing.results import PromptRow, StressRow
from ...tools.describing.stress import LOST, SAME, stressed
from ...tools.desk.desk import Desk
from ...tools.desk.job import Job
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import described

AUDIENCES: tuple[Audience, ...] = ("expert", "lay")


@dataclass
class _Tally:
    """What was written and what became of it."""

    prompts: list[PromptRow] = field(default_factory=list)
    back: list[tuple[str, float]] = field(default_factory=list)
    stress: list[StressRow] = field(default_factory=list)
    wrote_s: float = 0.0
    asked_s: float = 0.0


def run(*, scan: str = "phantom", n: int = 9, seed: int = 0, stress: int = 2) -> str:
    """Two Markdown tables.

    Args:
        scan: "phantom" (imaging/phantoms.py at 4 mm, seed 0) or an image file.
        n: prompts per structure and audience, shared by the three families.
        stress: how many of each structure's prompts are stressed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phantom.nii.gz" if scan == "phantom" else Path(scan).resolve()
        if scan == "phantom":
            volume = torso_ct(spacing_mm=(4.0, 4.0, 4.0)).volume
            nibabel.save(nibabel.Nifti1Image(volume.array, volume.grid.affine), path)
        settings = Settings(store=Path(folder) / "store", roots=(path.parent, Path(folder)), threads=1)
        with Desk(settings) as desk:
            image_id = str(use(desk, "open_image", path=str(path)).result.model_dump()["image_id"])
            finder = Finder(Job(desk, "bench"), image_id)
            names = [one.thing.name for one in everything(finder)]
            tally = _Tally()
            for name in names:
                for audience in AUDIENCES:
                    _write(desk, image_id, name, audience, n, seed, tally)
                _stress(desk, image_id, tally, stress, seed)
    where = "the phantom of imaging/phantoms.py at 4 mm" if scan == "phantom" else path.name
    return _tables(tally, names, f"{where}, {len(names)} structures, n={n}, seed={seed}. {described()}.")


def _write(desk: Desk, image_id: str, name: str, audience: Audience, n: int, seed: int, tally: _Tally) -> None:
    started = time.process_time()
    result = write(Job(desk, "bench"), Ask(None, image_id, name, FAMILIES, audience, n, seed))
    tally.wrote_s += time.process_time() - started
    target = desk.store.mask(result.mask_id).array
    for row in result.prompts:
        started = time.process_time()
        wanted = Wanted(image_id, read(desk, row.text), "auto", None, 1)
        answer = describe(Job(desk, "bench"), wanted)
        tally.asked_s += time.process_time() - started
        best = answer.candidates[0] if answer.candidates else None
        found = desk.store.mask(best.mask_id).array if best is not None else np.zeros_like(target)
        tally.prompts.append(row)
        tally.back.append((row.kind, dice(found, target)))


def _stress(desk: Desk, image_id: str, tally: _Tally, count: int, seed: int) -> None:
    """The last written prompts with a place word, which are the ones that can be swapped."""
    placed = [row for row in tally.prompts[-18:] if set(row.text.lower().split()) & {"left", "right", "top", "bottom"}]
    for row in placed[:count]:
        wanted = Wanted(image_id, read(desk, row.text), "auto", None, 3)
        tally.stress += stressed(Job(desk, "bench"), wanted, 5, seed).rows


def _tables(tally: _Tally, names: Sequence[str], made_on: str) -> str:
    lines = [
        "| family | prompts | back to the mask (Dice >= 0.8) | distinct-2 | near-duplicates |",
        "|---|---|---|---|---|",
    ]
    for family in (*FAMILIES, "all"):
        texts = [row.text for row in tally.prompts if family in (row.kind, "all")]
        hits = [dice >= SAME for kind, dice in tally.back if family in (kind, "all")]
        if texts:
            lines.append(
                f"| {family} | {len(texts)} | {np.mean(hits):.3f} | {distinct_2(texts):.3f} | {_repeats(tally, family):.3f} |"
            )
    speed = len(tally.prompts) / max(tally.wrote_s, 1e-9)
    lines += [
        "",
        f"{speed:.1f} prompts/s written and proven, {len(tally.prompts) / max(tally.asked_s, 1e-9):.1f}/s read back (CPU time).",
        "",
    ]
    lines += ["| change | sentences | held | mask lost (Dice < 0.1) | kept (Dice >= 0.8) |", "|---|---|---|---|---|"]
    for kind in ("paraphrase", "side_swap", "location_swap", "negation", "irrelevant"):
        rows = [row for row in tally.stress if row.kind == kind]
        if rows:
            held, lost, kept = (
                float(np.mean(flags))
                for flags in (
                    [row.held for row in rows],
                    [row.dice_to_original < LOST for row in rows],
                    [row.dice_to_original >= SAME for row in rows],
                )
            )
            lines.append(f"| {kind.replace('_', ' ')} | {len(rows)} | {held:.3f} | {lost:.3f} | {kept:.3f} |")
    return "\n".join([*lines, "", made_on])


def _repeats(tally: _Tally, family: str) -> float:
    """Near-duplicates among all prompts of a family, other structures' included."""
    return near_duplicate_rate([row.text for row in tally.prompts if family in (row.kind, "all")])
