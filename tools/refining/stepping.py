"""One step of a refinement: drawn, held against masks that are locked, kept, and told with what it did not do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.volume import BoolArray, Mask
from ...models.card import Card
from ...models.promptable.steps import Bits, settled
from ...store.records import ImageRecord, MaskRecord
from ..desk.job import Job
from ..desk.results import combined_provenance, receipt
from .asking import Sketched, sketch
from .log import Refinement
from .marking import Kept, mark_of, said, step_of
from .results import DrawnProvenance, RefineResult

MOST_STEPS = 500
_NAMED = 5  # marks named in one note


@dataclass(frozen=True)
class Wanted:
    """A step to take.

    Attributes:
        slab: axis, first and last + 1 of the slices that alone may change; None for the whole scan.
        locked: masks that are not drawn over; None for those of the step before.
    """

    marks: tuple[Kept, ...]
    slab: tuple[int, int, int] | None
    locked: tuple[str, ...] | None

    @property
    def facts(self) -> dict[str, Any]:
        """As the log keeps them."""
        slab = None if self.slab is None else list(self.slab)
        return {"marks": [dict(one) for one in self.marks], "slab": slab, "locked": list(self.locked or ())}


@dataclass(frozen=True)
class Taken:
    """A step once it is drawn: the mask's record, what to write into the log, what to tell."""

    record: MaskRecord | None
    facts: dict[str, Any]
    card: Card
    notes: tuple[str, ...]


def take(
    job: Job, image: ImageRecord, state: Refinement, wanted: Wanted, cards: Sequence[Card], replay: str = ""
) -> Taken:
    """Draw a step and keep its mask.

    Args:
        replay: names a run through steps that were drawn before; "" for a new one.

    Raises:
        BadCall: too many steps, or marks the model cannot use.
    """
    if len(state.steps) >= MOST_STEPS:
        raise BadCall(
            f"{state.refinement_id} has {MOST_STEPS} steps already. Begin a new one from its mask: mask_id='{state.mask_id}'."
        )
    store, start_id = job.desk.store, state.begin.get("start")
    start = store.mask(start_id).array if start_id else None
    kept = [step.facts for step in state.steps] + [wanted.facts]
    steps = tuple(step_of(one["marks"], one["slab"], image.grid) for one in kept)
    drawn = sketch(job, image, cards, None if start is None else Bits.of(start), steps, replay)
    array = drawn.found.masks[0].array.copy()
    shut = _locked(job, image, wanted.locked or ())
    array &= ~shut
    before = store.mask(state.mask_id).array if state.mask_id else np.zeros_like(array)
    notes = [*drawn.notes, *drawn.found.masks[0].notes, *_clashes(state, wanted, image)]
    notes += _shut_out(job, wanted, image, shut, start if not state.steps else None)
    notes += _not_followed(wanted, image, array, shut)
    if np.array_equal(before, array):
        notes.append("Nothing changed: the mask is as it was.")
    record = _kept(job, image, state, kept, drawn, array) if array.any() else None
    facts = {
        **wanted.facts,
        "model": drawn.card.name,
        "weights_sha256": drawn.found.weights_sha256,
        "engine": drawn.found.engine,
        "added": int((array & ~before).sum()),
        "removed": int((before & ~array).sum()),
        "notes": notes,
    }
    return Taken(record, facts, drawn.card, tuple(notes))


def result_of(
    job_or_desk: Any, image: ImageRecord, state: Refinement, facts: Mapping[str, Any] | None = None
) -> RefineResult:
    """Where a refinement stands, as it is told.

    Args:
        facts: of the step that led here; None where nothing was drawn.
    """
    store = job_or_desk.store
    told = facts or {}
    record = store.mask_record(state.mask_id) if state.mask_id else None
    voxel_ml = image.grid.voxel_ml if image.grid.volume_known and not image.synthetic else None

    def in_ml(voxels: int) -> float | None:
        return None if voxel_ml is None else round(voxels * voxel_ml, 3)

    changed = int(told.get("added", 0)), int(told.get("removed", 0))
    return RefineResult(
        image_id=state.image_id,
        refinement_id=state.refinement_id,
        step=state.number,
        steps=len(state.steps),
        mask_id=state.mask_id,
        structure=state.begin.get("structure"),
        voxels=record.voxels if record else 0,
        volume_ml=in_ml(record.voxels) if record else None,
        added_ml=in_ml(changed[0]),
        removed_ml=in_ml(changed[1]),
        changed_voxels=sum(changed),
        notes=list(told.get("notes", ())),
        geometry=receipt(image.grid, image.grid, side_checked=False) if record else None,
        provenance=_provenance_kept(record),
    )


def _provenance_kept(record: MaskRecord | None) -> DrawnProvenance | None:
    kept = (record.facts.get("provenance") or {}) if record else {}
    return DrawnProvenance.model_validate(kept) if kept.get("drawn_by") else None


def _locked(job: Job, image: ImageRecord, mask_ids: Sequence[str]) -> BoolArray:
    shut: BoolArray = np.zeros(image.grid.shape, np.bool_)
    for mask_id in mask_ids:
        shut |= job.desk.store.mask(mask_id).array
    return shut


def _kept(
    job: Job,
    image: ImageRecord,
    state: Refinement,
    kept: Sequence[Mapping[str, Any]],
    drawn: Sketched,
    array: BoolArray,
) -> MaskRecord:
    """The mask's record; the same marks, start, weights and locked masks have the same handle."""
    start_id = state.begin.get("start")
    asked = [[one["marks"], one["slab"], one["locked"]] for one in kept]
    made_of = [start_id, drawn.card.name, drawn.found.weights_sha256, asked]
    made_by = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    made = {start_id: job.desk.store.mask_record(start_id).facts.get("provenance", {})} if start_id else {}
    card, base = drawn.card, combined_provenance("refine_mask", made, image.image_id)
    licences = [one for one in (base.licence, card.licence if card.sha256 else None) if one]
    provenance = DrawnProvenance(
        **{
            **base.model_dump(),
            "version": __version__,
            "model": card.name,
            "weights_sha256": drawn.found.weights_sha256 or None,
            "engine": drawn.found.engine,
            "licence": "; ".join(dict.fromkeys(licences)) or None,
            "purpose": "research-only" if "research-only" in (base.purpose, card.purpose) else card.purpose,
        },
        marks=sum(len(one["marks"]) for one in kept),
        refinement_id=state.refinement_id,
    )
    facts = {"verdict": "drawn by a person", "confidence": None, "provenance": provenance.model_dump(mode="json")}
    return job.desk.store.add_mask(
        Mask(array, image.grid),
        image_id=image.image_id,
        structure=state.begin.get("structure"),
        made_by=f"refine {made_by}",
        facts=facts,
    )


def _clashes(state: Refinement, wanted: Wanted, image: ImageRecord) -> list[str]:
    """Marks of this step that say the opposite of earlier ones."""
    earlier = [(mark, step.number) for step in state.steps for mark in step.facts["marks"]]
    every = [mark for mark, _ in earlier] + list(wanted.marks)
    _, clashes = settled([mark_of(one, image.grid) for one in every])
    fresh = [one for one in clashes if one.later >= len(earlier) > one.earlier]
    return [
        f"Contradiction at voxel {list(one.at)}: {said(every[one.later])} says the opposite of {said(every[one.earlier])} of "
        f"step {earlier[one.earlier][1]}. The later one counts there."
        for one in fresh[:_NAMED]
    ]


def _shut_out(job: Job, wanted: Wanted, image: ImageRecord, shut: BoolArray, start: BoolArray | None) -> list[str]:
    """What locked masks kept from being drawn."""
    notes = []
    if start is not None and (both := int((start & shut).sum())):
        notes.append(f"{both} voxels of the mask it starts from lie in locked masks, and were left out.")
    for mark in wanted.marks:
        voxels = mark_of(mark, image.grid).voxels
        if not mark["positive"] or voxels is None or not (shut[voxels.slices] & voxels.array).any():
            continue
        names = [
            f"{job.desk.store.mask_record(one).structure or 'unnamed'} ({one})"
            for one in wanted.locked or ()
            if (job.desk.store.mask(one).array[voxels.slices] & voxels.array).any()
        ]
        notes.append(f"{_upper(said(mark))} lies inside the locked {', '.join(names)}, which stays as it is.")
    return notes[:_NAMED]


def _not_followed(wanted: Wanted, image: ImageRecord, array: BoolArray, shut: BoolArray) -> list[str]:
    """Points of this step that the mask does not obey."""
    notes = []
    for mark in wanted.marks:
        if mark["kind"] != "point":
            continue
        at = tuple(mark["at"][0])
        if bool(array[at]) != bool(mark["positive"]) and not shut[at]:
            where = "outside the mask still" if mark["positive"] else "inside the mask still"
            notes.append(f"The model did not follow: {said(mark)} is {where}.")
    return notes[:_NAMED]


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
