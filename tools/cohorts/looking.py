"""One scan of a batch: opened, segmented and measured, or the reason why not; what was done before is not done again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...imaging.errors import BadCall, OstensorError, as_one_of_ours, log_crash
from ...models import catalogue
from ...models.interface import Cancelled
from ...retrieval.anatomy.structures import UnknownStructure
from ..desk.desk import Call, Desk
from ..desk.job import Job
from ..desk.results import MaskRow, Measurement, MeasureResult
from ..scans.measuring import What, measure
from ..scans.opening import open_image
from ..segmenting.objections import objections
from ..segmenting.planning import plan
from ..segmenting.segmentation import look_as_planned
from .finding import fingerprint

log = logging.getLogger(__name__)

Line = dict[str, Any]  # one mask's row of the table: column -> number, text or None


@dataclass(frozen=True)
class Order:
    """What is wanted of every scan."""

    structures: tuple[str, ...]
    what: tuple[What, ...]
    modality: str
    model: str
    allow_synthetic: bool


@dataclass(frozen=True)
class Looked:
    """What one scan gave; with an error there are no lines.

    Attributes:
        warnings: of the image, as opening it left them.
        reused: it was done before, by this or an earlier process.
    """

    number: int
    path: str
    image_id: str | None = None
    lines: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    reused: bool = False


def look_at(job: Job, number: int, path: Path, order: Order) -> Looked:
    """One scan's lines: kept ones of an earlier time where file, order, models and version are the same.

    Raises:
        Cancelled: the batch is to stop.
    """
    desk, shown = job.desk, job.desk.roots.shown(path)
    try:
        key = _key(path, order)
        kept = desk.store.kept_result(key)
        if kept is not None and _is_there(desk, kept):
            return replace(Looked(**kept), number=number, path=shown, reused=True)
        looked = _looked(job, number, path, order, shown)
        desk.store.keep_result(key, asdict(looked))
        return looked
    except Cancelled:
        raise
    except (OstensorError, UnknownStructure) as error:
        if job.cancelled.is_set():
            raise Cancelled from None
        reason = str(error)
    except Exception as error:  # one scan must not sink the others, whatever a library makes of its file
        log_crash(log, "run_batch", error)
        reason = str(as_one_of_ours(error, "run_batch"))
    return Looked(number, shown, error=reason.replace(path.name, f"scan {number}"))


def _key(path: Path, order: Order) -> str:
    weights = sorted((card.name, card.sha256) for card in catalogue.segmenters() if card.is_ready)
    return hashlib.sha256(json.dumps([fingerprint(path), asdict(order), weights, __version__]).encode()).hexdigest()


def _is_there(desk: Desk, kept: dict[str, Any]) -> bool:
    """Whether the store still has the image and the masks of a kept scan."""
    try:
        desk.store.image(str(kept["image_id"]))
        for line in kept["lines"]:
            if line["mask_id"]:
                desk.store.mask_record(line["mask_id"])
    except BadCall:
        return False
    return True


def _looked(job: Job, number: int, path: Path, order: Order, shown: str) -> Looked:
    desk = job.desk
    call = Call(cancelled=job.cancelled)
    opened: Any = open_image(desk, call, str(path), order.modality).result  # type: ignore[arg-type]  # checked by the tool
    if opened.image_id is None:
        raise BadCall(f"'{path.name}' holds {len(opened.series)} series. Give the folder of one of them.")
    wishes = plan(desk, opened.image_id, order.structures, order.model)
    job.report(0.1, "segmenting")
    rows = look_as_planned(job.part(0.1, 0.8), opened.image_id, wishes).masks
    job.report(0.8, "measuring")
    ids = list(dict.fromkeys(row.mask_id for row in rows if row.mask_id is not None))
    measured: dict[str, Measurement] = {}
    if ids:
        found = measure(desk, call, ids, list(order.what), None, order.allow_synthetic).result
        assert isinstance(found, MeasureResult)
        measured = {row.mask_id: row for row in found.measurements}
    implausible = _implausible(desk, opened.image_id, rows)
    lines = [_line(row, measured.get(row.mask_id or ""), implausible) for row in rows]
    return Looked(number, shown, opened.image_id, lines, list(opened.warnings))


def _implausible(desk: Desk, image_id: str, rows: Sequence[MaskRow]) -> dict[str, tuple[str, ...]]:
    """Structure -> what our own checks hold against its mask."""
    masks = {row.structure: desk.store.mask(row.mask_id) for row in rows if row.mask_id is not None}
    against = objections(desk.table, desk.store.volume(image_id), masks)
    return {name: one.reasons for name, one in against.items()}


def _line(row: MaskRow, measured: Measurement | None, implausible: dict[str, tuple[str, ...]]) -> Line:
    low, high = row.volume_90_ml or (None, None)
    flags = ["unsure"] if row.verdict == "unsure" else []
    flags += ["cut by the edge"] if row.truncated_at else []
    flags += ["implausible"] if row.structure in implausible else []
    line: Line = {
        "structure": row.structure,
        "verdict": row.verdict,
        "mask_id": row.mask_id,
        "confidence": row.confidence,
        "volume_ml": row.volume_ml,
        "volume_low_90_ml": low,
        "volume_high_90_ml": high,
        "volume_is": row.volume_is,
        "truncated_at": " ".join(row.truncated_at),
        "side": row.side,
        "model": row.provenance.model,
        "flags": flags,
        "notes": " ".join(dict.fromkeys([row.reason, *row.warnings, *implausible.get(row.structure, ())])).strip(),
    }
    if measured is not None:
        if line["volume_ml"] is None and measured.volume_ml is not None:  # of a synthetic scan, where that was allowed
            line |= {"volume_ml": measured.volume_ml, "volume_is": measured.volume_is}
        line |= _numbers(measured)
    return line


def _numbers(measured: Measurement) -> Line:
    """Lengths, grey values, shape and features under their own names."""
    line: Line = {}
    if measured.diameters is not None:
        line |= measured.diameters.model_dump(exclude={"slice_index"})
    if measured.across is not None:
        line |= {"narrowest_mm": measured.across.narrowest_mm, "median_across_mm": measured.across.median_mm}
    if measured.intensity is not None:
        line |= {f"intensity_{name}": value for name, value in measured.intensity.model_dump().items()}
    if measured.shape is not None:
        kept = measured.shape.model_dump(include={"parts", "surface_cm2", "sphericity"})
        line |= kept
    line |= measured.radiomics or {}
    return line
