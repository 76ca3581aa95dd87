"""`ostensor eval CONFIG --groups COLUMN --table FILE.csv`: is every group of patients served alike?

Dice of a patient is that of all its held-out scans or slices that show the structure, averaged over scans. Groups come from the
table alone; those of few patients are named with their reason and not shown.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from ...imaging.errors import BadCall
from ...imaging.masks.dice import Counts, counts_of, dice_of_counts
from ...models.interface import Predictor
from ..cases import Dataset
from ..folders import Folders
from ..regimes.fair.groups import read_groups
from ..report_sections import write_section
from ..segmenting.config import RunConfig
from ..segmenting.evaluate import add_counts, complete_region, predictor_of
from .gaps import Equity, Gap, compare_groups, enough

LEAST = 20  # patients of a group that is shown; our choice


@dataclass(frozen=True)
class Served:
    """What groups of patients were given.

    Attributes:
        column: that told the groups.
        least: patients a group needed.
        found: one for each structure.
        few: groups that were too small.
        unknown: held-out patients of no known group.
    """

    column: str
    least: int
    found: tuple[Equity, ...]
    few: tuple[str, ...]
    unknown: int


def measure(
    plan: RunConfig, folders: Folders, table: Path, column: str, *, least: int = LEAST, threads: int | None = None
) -> Served:
    """Dice of a run, or of the bundled weights where there is none, over the groups of its held-out patients.

    Raises:
        BadCall: the table says too little of the held-out patients.
    """
    told = read_groups(table, column)
    patients = {case.patient for dataset in plan.tests for case in dataset.cases(folders.data, "test")}
    known = {one: told[one] for one in sorted(patients) if one in told}
    if not known:
        raise BadCall(
            f"The table '{table.name}' names none of the {len(patients)} held-out patients. Its column 'patient' must name "
            f"them as the data set does, e.g. '{min(patients)}'."
        )
    shown, few = enough(known, least)
    predictor = predictor_of(plan, folders, threads)
    scores: dict[str, dict[str, float]] = {}
    for dataset in plan.tests:
        for structure, each in dice_of_patients(dataset, plan, predictor, folders.data, set(shown)).items():
            scores.setdefault(structure, {}).update(each)
    return Served(column, least, tuple(compare_groups(scores, shown)), tuple(few), len(patients) - len(known))


def dice_of_patients(
    dataset: Dataset, plan: RunConfig, predictor: Predictor, data: Path, patients: set[str]
) -> dict[str, dict[str, float]]:
    """Structure -> patient -> mean Dice over the patient's scans that show it; slices of a patient count together."""
    structures = [name for name in dataset.structures if name in plan.structures]
    counts: dict[str, dict[tuple[str, str], Counts]] = defaultdict(dict)
    cases = [case for case in dataset.cases(data, "test") if case.patient in patients]
    for case in track(cases, description="fairness", disable=not sys.stderr.isatty(), transient=True):
        assert case.volume is not None
        key, where = (case.patient, "" if case.grid.is_2d else case.name), complete_region(case.grid, dataset)
        features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
        for one in predictor.decode(features, structures):
            truth = np.isin(case.labels, dataset.structures[one.structure])
            add_counts(counts[one.structure], key, counts_of(one.array & where, truth))
    return {name: means for name, some in counts.items() if (means := _means(some))}


def _means(counts: Mapping[tuple[str, str], Counts]) -> dict[str, float]:
    each: dict[str, list[float]] = defaultdict(list)
    for (patient, _scan), one in counts.items():
        if one[2]:
            each[patient].append(dice_of_counts(one))
    return {patient: float(np.mean(values)) for patient, values in each.items()}


def write_table(served: Served) -> str:
    """Markdown: Dice of every group, then how far the groups are apart."""
    lines = [f"| structure | {served.column} | patients | Dice | 95 % interval |", "|---|---|---|---|---|"]
    for one in served.found:
        lines += [
            f"| {one.name} | {g.group} | {g.patients} | {g.mean:.3f} | {g.low:.3f} to {g.high:.3f} |"
            for g in one.groups
        ]
    lines += ["", "| structure | Dice | equity-scaled | by spread | widest gap | p | p, Holm |", f"|{'---|' * 7}"]
    lines += [
        f"| {one.name} | {one.mean:.3f} | {one.scaled:.3f} | {one.scaled_by_spread:.3f} | {_told(one.widest)} |"
        for one in served.found
    ]
    if any(len(one.pairs) > 1 for one in served.found):
        lines += ["", "| structure | gap | p | p, Holm |", "|---|---|---|---|"]
        lines += [f"| {one.name} | {_told(pair)} |" for one in served.found for pair in one.pairs]
    return "\n".join([*lines, "", *_remarks(served)])


def _told(gap: Gap) -> str:
    return f"{gap.above} above {gap.below} by {gap.size:.3f} | {gap.p:.4f} | {gap.corrected:.4f}"


def _remarks(served: Served) -> Sequence[str]:
    said = [
        "Equity-scaled scores depend on the number of groups; never compare them between columns. "
        "P values are of permutations of patients, corrected by Holm over all structures, widest gaps and pairs each for themselves."
    ]
    if served.few:
        said.append(f"Not shown, as of fewer than {served.least} patients: {', '.join(served.few)}.")
    if served.unknown:
        said.append(f"Held-out patients of unknown group: {served.unknown}.")
    return [" ".join(said)]


def write(name: str, served: Served, path: Path) -> None:
    """Put a run's section into the report."""
    write_section(f"{name} by {served.column}", write_table(served), path)
