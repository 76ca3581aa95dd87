"""`ostensor eval CONFIG --adapt`: does fitting a bundled network to each scan by entropy (ETTA) help? Whatever it says.

Held-out patients, their scans as they are and spoilt; each segmented as always and adapted, in pairs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.progress import track

from ...imaging.masks.dice import dice
from ...models.uncertainty.adapting import Adaptation
from ...models.uncertainty.adapting_predictor import AdaptingPredictor, load_adapting
from ..cases import Case, Dataset
from ..folders import Folders
from ..report_sections import write_section
from ..scores import patient_interval
from ..segmenting.config import RunConfig
from .calibrate import CHANGES, spread
from .changes import Change, bent

SPOILT: Mapping[str, Change] = {
    **{name: change for name, change in CHANGES.items() if name in ("none", "noise", "low dose", "motion")},
    "contrast": bent(1.6),
}
GRID = tuple(Adaptation(steps, rate) for steps in (1, 3) for rate in (1e-3, 5e-3))
WORSE = 0.02  # of Dice: harm worth counting


@dataclass(frozen=True)
class Pair:
    """One structure in one scan: Dice as always and adapted, and whether entropy fell by more than the floor."""

    patient: str
    change: str
    plain: float
    adapted: float
    fell: bool
    stopped: bool


def pairs_of(predictor: AdaptingPredictor, cases: Sequence[Case], dataset: Dataset) -> Iterator[Pair]:
    """Every claimed structure that a case shows, under every change."""
    names = [name for name in dataset.structures if name in predictor.twin.card.claimed]
    for case in track(list(cases), description="adapting", disable=not sys.stderr.isatty(), transient=True):
        truths = {name: np.isin(case.labels, dataset.structures[name]) for name in names}
        shown = [name for name in names if truths[name].any()]
        for change, apply in SPOILT.items():
            spoilt = apply(case, np.random.default_rng(0))
            assert spoilt.volume is not None
            seen = predictor.encode(spoilt.volume, progress=lambda share: None, cancelled=lambda: False)
            for plain, fitted in zip(
                predictor.twin.decode(seen.plain, shown), predictor.twin.decode(seen.adapted, shown), strict=True
            ):
                both = [dice(one.array, truths[one.structure]) for one in (plain, fitted)]
                yield Pair(case.patient, change, both[0], both[1], seen.log.adapted, bool(seen.log.stopped))


def measure(
    plan: RunConfig,
    folders: Folders,
    *,
    part: Literal["train", "test"] = "test",
    most: int = 8,
    how: Adaptation | None = None,
    threads: int | None = None,
) -> list[Pair]:
    """Pairs on at most so many cases, evenly spread."""
    predictor = load_adapting(plan.name, how=how, threads=threads, folder=folders.weights)
    dataset = plan.tests[0]
    return list(pairs_of(predictor, spread(dataset.cases(folders.data, part), most), dataset))


def tune(plan: RunConfig, folders: Folders, *, most: int = 3, threads: int | None = None) -> dict[Adaptation, float]:
    """Mean change of Dice on training patients for every setting of `GRID`."""
    return {
        how: float(np.mean([pair.adapted - pair.plain for pair in measure(plan, folders, part="train", most=most, how=how, threads=threads)]))
        for how in GRID
    }  # fmt: skip


def table(pairs: Sequence[Pair]) -> str:
    """Markdown: a row per change."""
    lines = [
        "| scan | masks | Dice as always | adapted | difference (95 % interval) | worse by > 0.02 | entropy fell | stopped early |",
        f"|{'---|' * 8}",
    ]
    for change in SPOILT:
        some = [pair for pair in pairs if pair.change == change]
        if not some:
            continue
        gain = np.array([pair.adapted - pair.plain for pair in some])
        low, high = patient_interval(gain, [pair.patient for pair in some])
        lines.append(
            f"| {change} | {len(some)} | {np.mean([p.plain for p in some]):.3f} | {np.mean([p.adapted for p in some]):.3f} | "
            f"{gain.mean():+.4f} ({low:+.4f} to {high:+.4f}) | {(gain < -WORSE).sum()} | {sum(p.fell for p in some)} | "
            f"{sum(p.stopped for p in some)} |"
        )
    return "\n".join(lines)


def write(name: str, pairs: Sequence[Pair], path: Path, tuned: Mapping[Adaptation, float] | None = None) -> None:
    """Put a model's table into the report, with the settings tried on training scans where they were."""
    text = table(pairs)
    if tuned:
        tried = "; ".join(f"{h.steps} steps at {h.learning_rate:g}: {gain:+.4f}" for h, gain in tuned.items())
        text += f"\n\nMean change of Dice on spoilt training scans, by setting: {tried}."
    write_section(f"adaptation of {name}", text, path)
