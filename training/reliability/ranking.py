"""`ostensor eval CONFIG --rank`: does confidence rank true Dice, on scans as they are, spoilt, and of another kind?

Measured on the held-out patients that the calibration was not fitted to. Four signs: the expected Dice, the mean sigmoid,
the agreement of six slightly changed views, and (negative) the entropy of their votes per marked voxel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from ...imaging.errors import Unavailable
from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray, Volume
from ...models.catalogue import card
from ...models.inference.calibration import SIGNS, Calibration, calibration_of
from ...models.inference.views import VIEWS, Agreement, agreement, seen_as
from ...models.interface import Decoded
from ...models.language.satmini.predictor import SatMiniPredictor
from ...models.load import load_predictor
from ..cases import Case
from ..folders import Folders
from ..report_sections import write_section
from ..segmenting.config import RunConfig
from .calibrate import CHANGES, halves, spearman, spread
from .wrong_scans import wrong_scans

KINDS = ("expected Dice", "mean sigmoid", "agreement", "minus entropy")


@dataclass(frozen=True)
class Ranked:
    """One mask that is not empty: how sure each sign was, and how good it was."""

    patient: str
    structure: str
    change: str
    said: Mapping[str, float]
    dice: float


def measure(plan: RunConfig, folders: Folders, *, most: int = 8, threads: int | None = None) -> list[Ranked]:
    """Every claimed structure in every case under every change of the calibration, and in scans of another kind.

    Raises:
        Unavailable: the weights have no calibration.
    """
    folder = folders.weights
    entry = card(plan.name, folder=folder)
    made = calibration_of(entry, folder)
    if made is None:
        raise Unavailable(
            f"'{plan.name}' is not calibrated. Run `ostensor eval {plan.name.removeprefix('sat-mini-')} --calibrate` first."
        )
    predictor = load_predictor(plan.name, threads=threads, folder=folder)
    assert isinstance(predictor, SatMiniPredictor)
    dataset = plan.tests[0]
    _mine, theirs = halves(dataset.cases(folders.data, "test"))
    truths = {name: values for name, values in dataset.structures.items() if name in entry.claimed}
    found: list[Ranked] = []
    for case in track(spread(theirs, most), description="ranking", disable=not sys.stderr.isatty(), transient=True):
        for change, apply in CHANGES.items():
            found += ranked(predictor, made, apply(case, np.random.default_rng(0)), truths, change)
    for case in wrong_scans(folders.data, dataset.name, part="report"):
        found += ranked(predictor, made, case, dict.fromkeys(truths, ()), "wrong kind")
    return found


def ranked(
    predictor: SatMiniPredictor,
    made: Calibration,
    case: Case,
    truths: Mapping[str, tuple[int, ...]],
    change: str,
) -> Iterator[Ranked]:
    """One row per structure that the scan as it is got a mask of."""
    assert case.volume is not None
    first = _decoded(predictor, case.volume, list(truths))
    marked = [one for one in first if one.signs]
    if not marked:
        return
    masks: dict[str, list[BoolArray]] = {one.structure: [one.array] for one in marked}
    for view in VIEWS[1:]:
        for one in _decoded(predictor, seen_as(view, case.volume), list(masks)):
            masks[one.structure].append(view.back(one.array))
    for one in marked:
        agreed = agreement(masks[one.structure])
        said = {
            "expected Dice": made.expected_dice(one.structure, one.signs),
            "mean sigmoid": one.signs[SIGNS.index("mean sigmoid")],
            "agreement": agreed.dice,
            "minus entropy": -entropy_per_voxel(agreed),
        }
        truth = np.isin(case.labels, truths[one.structure])
        yield Ranked(case.patient, one.structure, change, said, dice(one.array, truth))


def entropy_per_voxel(agreed: Agreement) -> float:
    """Entropy of the views' votes in nats, summed over the scan, per marked voxel of a mean view."""
    return float(agreed.entropy.sum() / max(np.mean(agreed.voxels), 1.0))


def _decoded(predictor: SatMiniPredictor, volume: Volume, names: Sequence[str]) -> list[Decoded]:
    return predictor.decode(predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False), list(names))


def table(rows: Sequence[Ranked]) -> str:
    """Markdown: rank correlation with true Dice per change and sign, and what was said beside what was true."""
    lines = [
        "| scan | masks | true Dice | expected | agreement | Spearman: " + " | Spearman: ".join(KINDS) + " |",
        f"|{'---|' * (5 + len(KINDS))}",
    ]
    for change in ("all", *CHANGES, "wrong kind"):
        some = [row for row in rows if change in (row.change, "all")]
        if not some:
            continue
        true = [row.dice for row in some]
        ranks = [spearman([row.said[kind] for row in some], true) for kind in KINDS]
        means = [
            float(np.mean(v)) for v in (true, *([row.said[kind] for row in some] for kind in (KINDS[0], KINDS[2])))
        ]
        cells = ["-" if value is None else f"{value:.2f}" for value in ranks]
        lines.append(f"| {change} | {len(some)} | {' | '.join(f'{m:.2f}' for m in means)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(name: str, rows: Sequence[Ranked], path: Path) -> None:
    """Put a model's table into the report."""
    write_section(f"ranking by {name}", table(rows), path)
