"""`run_batch`: segment and measure many scans as one job that goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ...imaging.errors import BadCall
from ...imaging.volume import MODALITIES
from ...models import catalogue
from ...models.interface import Cancelled
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..scans.measuring import USUAL, What
from ..segmenting.planning import AUTOMATIC, EVERY
from .finding import find_scans, shown_paths
from .looking import Line, Looked, Order, look_at
from .results import BatchResult, Cohort, FailedRow, FlaggedRow
from .sheet import write_sheets
from .standing_out import counted, flagged_rows, scored, spreads
from .table import check_formats, installed_formats, write_tables

TableFormat = Literal["csv", "parquet", "xlsx"]
_MOST_FLAGGED, _MOST_FAILED, _MOST_STRUCTURES, _MOST_WARNINGS, _MOST_FILES = (
    8,
    4,
    12,
    3,
    12,
)  # in the answer; the table has all
_LINE_BYTES, _TILE_BYTES = 2_000, 60_000  # of the files, rounded up; what they really take is counted anew
_LOOKING = 0.95  # of the work; the rest writes tables and sheets


def run_batch(
    desk: Desk,
    call: Call,
    paths: Annotated[
        list[str],
        Field(description="Files, folders or patterns.", min_length=1, max_length=5000),
    ],
    structures: Annotated[list[str], Field(description="As in segment.", min_length=1, max_length=100)],
    what: Annotated[list[What] | None, Field(description="As in measure.")] = None,
    folder: Annotated[str, Field(description="Existing, for the files.")] = ".",
    modality: Annotated[str, Field(description="As in open_image.")] = "auto",
    model: Annotated[str, Field(description="As in segment.")] = "auto",
    formats: Annotated[list[TableFormat] | None, Field(description="Default: as installed.")] = None,
    allow_synthetic: Annotated[bool, Field(description="As in measure.")] = False,
    wait_s: Annotated[float, Field(description="As in segment, seconds.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Segment and measure many scans: one table, outliers first, and contact sheets.

    The same call again goes on where it stopped. Outlier: robust score above 3.5. Scans are
    numbered; the table has their paths.
    Example: run_batch(paths=["cohort/*.nii.gz"], structures=["liver", "spleen"])
    """
    target = desk.roots.inside(folder)
    if not target.is_dir():
        raise BadCall(f"'{target.name}' is a file. A folder is needed. Give an existing folder inside a root.")
    wanted = list(dict.fromkeys(formats or installed_formats()))
    check_formats(wanted)
    if model not in (AUTOMATIC, EVERY):
        catalogue.card(model)
    if modality != "auto" and modality not in MODALITIES:
        raise BadCall(f"Unknown modality '{modality[:40]}'. Allowed: auto, {', '.join(MODALITIES)}.")
    find_scans(desk.roots, paths)
    order = Order(tuple(structures), tuple(what or USUAL), modality, model, allow_synthetic)
    arguments = {
        "paths": paths,
        "structures": structures,
        "what": what,
        "folder": folder,
        "modality": modality,
        "model": model,
        "formats": formats,
        "allow_synthetic": allow_synthetic,
    }
    asked = [shown_paths(desk.roots, paths), desk.roots.shown(target), asdict(order), wanted]
    stem = f"batch_{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"

    def work(job: Job) -> BatchResult:
        looked = _look_at_all(job, find_scans(desk.roots, paths), order)
        lines = scored(looked)
        job.report(_LOOKING, "writing the table")
        room = _LINE_BYTES * len(lines) * len(wanted) + _TILE_BYTES * len(looked)
        with desk.store.room(room), desk.roots.held(target) as place:
            names = write_tables(place, stem, lines, wanted)
            for name in write_sheets(desk, place, stem, looked, lines):
                names.append(name)
                job.report(min(0.99, _LOOKING + 0.01 * len(names)), f"wrote {name}")
        return _result(looked, lines, [desk.roots.shown(target / name) for name in names])

    record = run_job(desk, call, "run_batch", arguments, work, wait_s=wait_s)
    return answer_job(record, BatchResult, lambda result: result.summary, {})


def _look_at_all(job: Job, scans: Sequence[Path], order: Order) -> list[Looked]:
    """Every scan in turn.

    Raises:
        Cancelled: asked to stop; what is done is kept.
    """
    looked = []
    for n, path in enumerate(scans):
        if job.cancelled.is_set():
            raise Cancelled
        part = job.part(_LOOKING * n / len(scans), _LOOKING * (n + 1) / len(scans))
        looked.append(look_at(_of_scan(part, f"scan {n + 1} of {len(scans)}"), n + 1, path, order))
    return looked


def _of_scan(job: Job, scan: str) -> Job:
    """A part of the work as work of its own, so that its looks on the side count within it; it says which scan it is at."""
    job.report(0.0, scan)
    mine = Job.begun(job.desk, job.id, lambda share, said: job.report(share, f"{scan}: {said}"), job.cancelled)
    return replace(mine, is_batch=True)


def _result(looked: Sequence[Looked], lines: Sequence[Line], files: list[str]) -> BatchResult:
    flagged, failed = flagged_rows(lines), [one for one in looked if one.error]
    warnings = Counter(warning[:160] for one in looked for warning in one.warnings)
    cohort = Cohort(
        scans=len(looked),
        done=len(looked) - len(failed),
        failed=len(failed),
        reused=sum(one.reused for one in looked),
        verdicts=counted(lines),
        structures=spreads(lines)[:_MOST_STRUCTURES],
        flagged_in_all=len(flagged),
        image_warnings=dict(warnings.most_common(_MOST_WARNINGS)),
    )
    errors = [FailedRow(scan=one.number, error=one.error[:160]) for one in failed[:_MOST_FAILED]]
    summary = _said(cohort, flagged, errors, files)
    return BatchResult(
        summary=summary, cohort=cohort, flagged=flagged[:_MOST_FLAGGED], errors=errors, files=files[:_MOST_FILES]
    )


def _said(cohort: Cohort, flagged: Sequence[FlaggedRow], errors: Sequence[FailedRow], files: Sequence[str]) -> str:
    verdicts = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in cohort.verdicts.items())
    reused = f" ({cohort.reused} of them before)" if cohort.reused else ""
    scans = "1 scan" if cohort.scans == 1 else f"{cohort.scans} scans"
    text = [f"{scans}: {cohort.done} done{reused}, {cohort.failed} failed. Masks: {verdicts or 'none'}."]
    if flagged:
        first = [f"scan {row.scan} {row.structure} ({', '.join(row.flags)})" for row in flagged[:5]]
        text.append(f"{len(flagged)} flagged, first: {'; '.join(first)}.")
    if errors:
        text.append(f"Scan {errors[0].scan} failed: {errors[0].error}")
    if cohort.image_warnings:
        text.append(f"Of images: {'; '.join(f'{told} ({n} scans)' for told, n in cohort.image_warnings.items())}")
    text.append(f"Files: {', '.join(files[:6])}{' and more' if len(files) > 6 else ''}.")
    return " ".join(text)[:1500]
