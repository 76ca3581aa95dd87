"""Evidence for a report's findings: which structures are segmented and measured, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...imaging.errors import OstensorError
from ...imaging.geometry import reorient_mask
from ...models import catalogue
from ...retrieval.anatomy.lesions import is_lesion
from ...retrieval.anatomy.structures import StructureTable
from ...retrieval.reports.findings import Finding
from ...retrieval.reports.mentions import whole
from ..describing.described import Wanted, describe, read
from ..describing.results import Candidate
from ..desk.desk import Call, Desk, allowed_use
from ..desk.job import Job
from ..desk.results import MaskRow, Measurement, MeasureResult
from ..desk.settings import MAX_STRUCTURES
from ..scans.measuring import What, measure
from ..segmenting.able import extent_mm
from ..segmenting.planning import plan
from ..segmenting.segmentation import look
from .results import Evidence

MOST_DESCRIBED = 8  # lesions of one report looked for by description
_MOST_CANDIDATES = 3  # of each
_TUMOURS = ("mass", "lesion", "metastasis", "nodule", "tumour", "neoplasm", "carcinoma", "adenocarcinoma", "malignancy",
            "renal cell carcinoma", "hepatocellular carcinoma")  # fmt: skip
_CRUMB = 0.1  # of an organ's mask: a smaller part is no second piece of it
_SAME_AS_HOST = 0.3  # overlap (IoU) from which a "lesion" is the organ itself


@dataclass(frozen=True)
class Grounds:
    """What was found.

    Attributes:
        rows: structure -> evidence, for everything that was looked at.
        masks: structure -> the row `segment` answered.
        described: number of a finding -> candidates for its lesion.
    """

    rows: dict[str, Evidence] = field(default_factory=dict)
    masks: dict[str, MaskRow] = field(default_factory=dict)
    described: dict[int, list[Evidence]] = field(default_factory=dict)


def ground(job: Job, image_id: str, findings: Sequence[Finding]) -> Grounds:
    """Segment what the findings name and what models know besides; measure what has a size; describe lesions."""
    desk = job.desk
    wanted = _wanted(desk, image_id, findings)
    if not wanted:
        return Grounds()
    found = look(job.part(0.0, 0.7), image_id, plan(desk, image_id, wanted, "auto"))
    masks = {row.structure: row for row in found.masks}
    sized = {
        name
        for f in findings
        if (f.sizes_mm or f.volume_ml is not None) and not f.lesion
        for name in parts(desk.table, f.structure)
    }
    sized |= {desk.table.partner(name) or name for name in sized}
    rows = {
        name: _evidence(desk, row, lengths=name in sized or is_lesion(desk.table, name)) for name, row in masks.items()
    }
    job.report(0.8, "measured")
    return Grounds(rows, masks, _described(job.part(0.8, 1.0), image_id, findings, masks))


def parts(table: StructureTable, name: str) -> tuple[str, ...]:
    """The halves of a pair, or the structure itself."""
    row = table.get(name)
    return table.expand(name) if row is not None and row.side == "both" else (name,)


def lesion_structure(table: StructureTable, finding: Finding) -> str | None:
    """The row of the table that stands for a lesion of its host: a mass of a kidney -> "kidney tumour"."""
    if finding.lesion not in _TUMOURS or not finding.structure:
        return None
    host = whole(table, finding.structure)
    for form in (host, host.removesuffix("s")):
        row = table.get(f"{form} tumour")
        if row is not None:
            return row.name
    return None


def _wanted(desk: Desk, image_id: str, findings: Sequence[Finding]) -> list[str]:
    named: list[str] = []
    for finding in findings:
        if not finding.structure:
            continue
        for name in parts(desk.table, finding.structure):
            named += [name, *filter(None, [desk.table.partner(name)])]
        named += filter(None, [lesion_structure(desk.table, finding)])
    return list(dict.fromkeys([*named, *known_here(desk, image_id)]))[:MAX_STRUCTURES]


def known_here(desk: Desk, image_id: str) -> Iterable[str]:
    """Structures that a ready model segments on this image."""
    image = desk.store.image(image_id)
    dims = 2 if image.grid.is_2d else 3
    for row in desk.table.rows:
        if row.side == "both":
            continue
        models = catalogue.models_for(
            row.name, image.modality, dims, extent_mm=extent_mm(image), purpose=allowed_use(desk)
        )
        if any(row.name in model.claimed for model in models):
            yield row.name


def _evidence(desk: Desk, row: MaskRow, *, lengths: bool) -> Evidence:
    facts: dict[str, object] = {}
    volume = row.volume_ml
    if lengths and row.mask_id is not None:
        found = _measured(desk, row.mask_id, ["volume", "diameters"])
        volume = volume if volume is not None else found.volume_ml
        facts = _lengths(desk, row.structure, found)
    return Evidence.model_validate({
        "tool": "segment", "structure": row.structure, "verdict": row.verdict, "mask_id": row.mask_id,
        "confidence": row.confidence, "side": row.side, "volume_ml": volume, "is_cut": bool(row.truncated_at),
        "slice_index": None if row.mask_id is None else _fullest_slice(desk, row.mask_id),
        "model": row.provenance.model, **facts,
    })  # fmt: skip


def _measured(desk: Desk, mask_id: str, what: list[What]) -> Measurement:
    """Whoever came here was allowed to judge synthetic images, for which `segment` gives no volume."""
    found = measure(desk, Call(), [mask_id], what, allow_synthetic=True).result
    assert isinstance(found, MeasureResult)
    return found.measurements[0]


def _lengths(desk: Desk, structure: str, found: Measurement) -> dict[str, object]:
    """Lengths as evidence; of several parts each one's, of an organ without its crumbs."""
    least = 0.0 if is_lesion(desk.table, structure) or desk.table.get(structure) is None else _CRUMB * found.voxels
    parts = [part.lengths for part in found.parts if part.lengths and part.voxels >= least]
    mine = {} if found.diameters is None else found.diameters.model_dump(exclude={"slice_index"})
    return {
        **mine,
        "parts": parts if len(parts) > 1 else [],
        "across": found.across,
        "is_tube": desk.table.is_tube(structure),
        "no_length": found.reasons,
    }


def _fullest_slice(desk: Desk, mask_id: str) -> int:
    """The axial slice with most of the mask, counted from the feet, as `render` counts."""
    array = reorient_mask(desk.store.mask(mask_id), "RAS").array
    return int(array.sum(axis=(0, 1)).argmax())


def _described(
    job: Job, image_id: str, findings: Sequence[Finding], masks: dict[str, MaskRow]
) -> dict[int, list[Evidence]]:
    """Candidates for lesions said to be there, as `segment_described` finds them."""
    desk = job.desk
    lesions = [n for n, f in enumerate(findings) if f.lesion and f.presence in ("present", "possible")]
    lesions = lesions[:MOST_DESCRIBED]
    found: dict[int, list[Evidence]] = {}
    for done, number in enumerate(lesions):
        finding = findings[number]
        words = f"{finding.lesion} in the {finding.structure}" if finding.structure else finding.lesion
        try:
            answer = describe(
                job.part(done / len(lesions), (done + 1) / len(lesions)),
                Wanted(image_id, read(desk, words), "auto", None, _MOST_CANDIDATES),
            )
        except OstensorError:
            continue  # no model for it: the finding stays without evidence
        hosts = [masks[name].mask_id for name in parts(desk.table, finding.structure) if name in masks]
        found[number] = [
            _candidate(desk, finding, row, [host for host in hosts if host], ambiguous=answer.ambiguous)
            for row in answer.candidates
        ]
    return found


def _candidate(desk: Desk, finding: Finding, row: Candidate, hosts: Sequence[str], *, ambiguous: bool) -> Evidence:
    mask_id = row.mask_id
    first = _measured(desk, mask_id, ["volume", "diameters", "shape"])
    verdict: str = row.verdict
    if ambiguous or any(_overlap(desk, mask_id, host) > _SAME_AS_HOST for host in hosts):
        verdict = "unsure"
    return Evidence.model_validate({
        "tool": "segment_described", "structure": finding.structure, "verdict": verdict, "mask_id": mask_id,
        "side": first.shape.side if first.shape else None, "volume_ml": first.volume_ml,
        "is_cut": bool(first.truncated_at), "slice_index": _fullest_slice(desk, mask_id),
        **_lengths(desk, finding.lesion, first),
    })  # fmt: skip


def _overlap(desk: Desk, mask_a: str, mask_b: str) -> float:
    a, b = desk.store.mask(mask_a).array, desk.store.mask(mask_b).array
    return float(np.logical_and(a, b).sum() / max(1, np.logical_or(a, b).sum()))
