"""How often `segment` says rightly whether a structure is there: `python -m ostensor.benchmarks.accuracy.verdicts DATA`.

Scans are those kept out of training, the same cut so that organs leave the view, and scans of other parts of the
body. Each is put to the tool itself, weights and all, and every verdict is compared with the labels.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...imaging.guards.atomic import write_atomically
from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray
from ...tools.desk.desk import Desk
from ...tools.desk.results import MaskRow, SegmentResult
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import commit
from .verdicts_changed import LEAST_PIXELS, LEAST_VOXELS, Question
from .verdicts_data import questions

SHOWN = 0.25  # share of a structure in the scan from which it must be found
WHOLE = 0.95
GOOD_DICE = 0.5  # a mask below it is rightly called unsure
MOST_ML = 5.0  # more than this called present where it cannot be is the fault to be rid of
VERDICTS = ("present", "unsure", "absent", "outside_view", "unsupported")


@dataclass(frozen=True)
class Outcome:
    """One verdict beside the truth.

    Attributes:
        shown: "whole", "partly", "sliver" or "not".
        dice: of the mask with the truth; None without either.
        right: None for slivers, which nobody must see, and where no model looks.
        fault: called present with more than 5 ml (or 500 voxels without a voxel size) where it cannot be.
        hidden: called absent or outside the view though more than 5 ml (or 400 voxels) of it are there.
    """

    scan: str
    kind: str
    structure: str
    model: str
    shown: str
    verdict: str
    confidence: float
    dice: float | None
    right: bool | None
    fault: bool
    hidden: bool = False


def outcomes(data: Path, *, seed: int = 0, threads: int = 1, every: int = 1) -> Iterator[Outcome]:
    """Ask the tool about every scan, or every so many."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Desk(Settings(store=Path(folder), roots=(data,), threads=threads)) as desk,
    ):
        for question in itertools.islice(questions(data, seed=seed), 0, None, every):
            yield from ask(desk, question)


def ask(desk: Desk, question: Question) -> Iterator[Outcome]:
    """Every verdict of one scan."""
    image = desk.store.add_image(question.volume, source_name="benchmark").image_id
    names = list(question.truth)
    result = use(desk, "segment", image_id=image, structures=names, wait_s=300).result
    assert isinstance(result, SegmentResult)
    if result.job_id is not None:
        raise RuntimeError(f"{question.name} took longer than five minutes")
    for row in result.masks:
        if row.structure in question.truth:
            mask = desk.store.mask(row.mask_id).array if row.mask_id else None
            yield _outcome(question, row, mask)


def _outcome(question: Question, row: MaskRow, mask: BoolArray | None) -> Outcome:
    truth, share = question.truth[row.structure], question.share[row.structure]
    voxels = 0 if truth is None else int(truth.sum())
    shown = "not" if not voxels else "whole" if share >= WHOLE else "partly" if share >= SHOWN else "sliver"
    if voxels and voxels < LEAST_VOXELS:
        shown = "sliver"
    alike = None
    if mask is not None and truth is not None and voxels:
        alike = dice(mask, truth)
    size = row.volume_ml if row.volume_ml is not None else float(mask.sum()) / 100 if mask is not None else 0.0
    return Outcome(
        scan=question.name,
        kind=question.kind,
        structure=row.structure,
        model=(row.provenance.model or "none").removeprefix("sat-mini-"),
        shown=shown,
        verdict=row.verdict,
        confidence=row.confidence or 0.0,
        dice=alike,
        right=is_right(shown, row.verdict, alike, told=question.volume.modality != "unknown"),
        fault=shown == "not" and row.verdict == "present" and size > MOST_ML,
        hidden=row.verdict in ("absent", "outside_view") and _is_much(voxels, question),
    )


def _is_much(voxels: int, question: Question) -> bool:
    grid = question.volume.grid
    return voxels * grid.voxel_ml > MOST_ML if grid.spacing_known else voxels >= LEAST_PIXELS


def is_right(shown: str, verdict: str, dice: float | None, *, told: bool = True) -> bool | None:
    """Whether a verdict is right; None where there is no right one.

    In view: present, or unsure of a mask that is indeed bad. Not in view: absent or outside the view; where the kind of
    scan was not told, unsure too.
    """
    if shown == "sliver" or verdict == "unsupported":
        return None
    if shown == "not":
        return verdict in ("absent", "outside_view") or (verdict == "unsure" and not told)
    return verdict == "present" or (verdict == "unsure" and dice is not None and dice < GOOD_DICE)


def table(found: Iterable[Outcome], *, seed: int = 0) -> str:
    """A Markdown table: by kind of scan and what it shows, and by model."""
    rows = list(found)
    lines = [
        f"| scans | structure in view | asked | right, % | {' | '.join(VERDICTS[:4])} | present > 5 ml in error | absent > 5 ml in error |",
        f"|{'---|' * 10}",
    ]
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for row in rows:
        if row.right is not None:
            groups[row.kind, row.shown].append(row)
    for (kind, shown), group in groups.items():
        lines.append(_line(f"{kind} | {shown}", group))
    judged = [row for row in rows if row.right is not None]
    lines.append(_line("**all** | ", judged))
    lines += ["", f"| model | structure in view | asked | right, % | {' | '.join(VERDICTS[:4])} | present > 5 ml in error | absent > 5 ml in error |"]  # fmt: skip
    lines.append(f"|{'---|' * 10}")
    for model in sorted({row.model for row in judged}):
        for label, seen in (("in view", ("whole", "partly")), ("not in view", ("not",))):
            group = [row for row in judged if row.model == model and row.shown in seen]
            if group:
                lines.append(_line(f"{model} | {label}", group))
    slivers = Counter(row.verdict for row in rows if row.shown == "sliver")
    told = ", ".join(f"{name} {count}" for name, count in slivers.most_common())
    bad = sum(row.verdict == "present" and row.dice is not None and row.dice < GOOD_DICE for row in judged)
    lines += [
        "",
        f"Slivers (less than {SHOWN:.0%} of a structure in the scan; not counted): {told or 'none'}. "
        f"Structures in view called present with a mask of Dice below {GOOD_DICE}: {bad}. Seed {seed}, commit {commit()}.",
    ]
    return "\n".join(lines)


def _line(head: str, group: list[Outcome]) -> str:
    counts = Counter(row.verdict for row in group)
    right = 100 * sum(bool(row.right) for row in group) / len(group)
    cells = " | ".join(str(counts[name]) for name in VERDICTS[:4])
    return f"| {head} | {len(group)} | {right:.1f} | {cells} | {sum(row.fault for row in group)} | {sum(row.hidden for row in group)} |"


def main(data: Path, seed: int = 0, every: int = 1, write: Path | None = None, details: bool = False) -> None:
    """Print the tables; `--write docs/verdicts.md` puts them into the report, `--details` names every wrong verdict."""
    found = []
    for one in outcomes(data, seed=seed, every=every):
        found.append(one)
        if details and one.right is False:
            print(
                f"{one.scan} | {one.structure} | {one.shown} | {one.verdict} {one.confidence:.2f} | {one.dice}",
                file=sys.stderr,
                flush=True,
            )
    made = table(found, seed=seed) + (f" Every {every} of the scans." if every > 1 else "")
    print(made)
    if write is not None:
        head = write.read_text(encoding="utf-8").split(MARK)[0]
        write_atomically(write, lambda file: file.write(f"{head}{MARK}\n\n{made}\n".encode()))


MARK = "<!-- measured -->"

if __name__ == "__main__":
    import typer

    typer.run(main)
