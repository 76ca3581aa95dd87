"""`segment_described`: from a sentence to ranked candidates, each with what of the sentence holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.masks import measures
from ...retrieval.descriptions.description import BadDescription, Description
from ...retrieval.descriptions.parser import parse
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..desk.results import Provenance, Verdict
from .choosing import Choice, choose, find
from .finding import Finder, Found, Nothing
from .matching import ranked
from .reasons import doubt, left_out, nothing_understood, say_result, undecided
from .results import Candidate, DescribedResult
from .things import Scene, Scored

LEAST_UNDERSTOOD = {
    "structure": 0.4,
    "part": 0.4,
    "region": 0.5,
    "any": 0.5,
}  # own choice, on tests/retrieval sentences
LEAST_SCORE = 0.15  # below, a candidate is not worth showing
CLOSE = 0.1  # two candidates whose fits differ by no more are told apart by nothing the sentence says


@dataclass(frozen=True)
class Wanted:
    """The checked arguments of one call."""

    image_id: str
    description: Description
    model: str
    slice_index: int | None
    max_candidates: int


def segment_described(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="From open_image.")],
    description: Annotated[str, Field(description="One English sentence about one target, at most 500 characters.")],
    model: Annotated[
        str,
        Field(
            description="'auto'; 'sat': named structures and areas in them; 'flans', 'lsms', an engine: read sentences."
        ),
    ] = "auto",
    scope: Annotated[
        Literal["volume", "slice"], Field(description="Compare in the whole scan or in one slice.")
    ] = "volume",
    slice: Annotated[int | None, Field(description="For scope='slice': axial, from the feet, from 0.", ge=0)] = None,
    max_candidates: Annotated[int, Field(description="At most so many candidates.", ge=1, le=10)] = 3,
    wait_s: Annotated[float, Field(description="Seconds; then job_id: call get_job.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Segment what a sentence points at by place, side, size, density, count, relation or function.

    E.g. 'the larger of two dark areas near the top of the liver' or 'the organ that stores bile'; for plain
    names use segment. Candidates list which claims hold. 'present' needs every word used and every claim true. Areas in organs are
    'unsure'. If `ambiguous`, ask which is meant. Left and right are the patient's unless 'in the picture'.
    Example: segment_described(image_id="img_...", description="the kidney on the left")
    """
    image = desk.store.image(image_id)
    wanted = Wanted(image_id, read(desk, description), model, _slice(image.grid.is_2d, scope, slice), max_candidates)
    arguments = {"image_id": image_id, "description": description, "model": model, "slice": wanted.slice_index}
    arguments["max_candidates"] = max_candidates

    def work(job: Job) -> DescribedResult:
        return describe(job, wanted)

    record = run_job(desk, call, "segment_described", arguments, work, wait_s=wait_s)
    return answer_job(record, DescribedResult, say_result, {"image_id": image_id})


def read(desk: Desk, description: str) -> Description:
    """The sentence, understood.

    Raises:
        BadCall: it is empty, too long, not English, contradictory, or only denies something.
    """
    try:
        return parse(description, desk.table)
    except BadDescription as error:
        raise BadCall(str(error)) from None


def _slice(is_2d: bool, scope: str, index: int | None) -> int | None:
    if scope == "volume" and index is not None:
        raise BadCall(
            f"slice={index} was given with scope='volume'. A slice belongs to scope='slice'. Set one of them."
        )
    if is_2d:
        if index not in (None, 0):
            raise BadCall(f"Slice {index} is outside the image. It is a single slice. Leave slice out.")
        return None
    if scope == "slice" and index is None:
        raise BadCall("scope='slice' came without a slice. Give the axial slice, counted from the feet, e.g. slice=40.")
    return index


def describe(job: Job, wanted: Wanted) -> DescribedResult:
    """Find candidates, judge every claim on masks, and keep the best."""
    description = wanted.description
    finder = Finder(job, wanted.image_id, wanted.slice_index)
    result = DescribedResult(
        image_id=wanted.image_id,
        target=description.target,
        claims=[str(claim) for claim in description.claims],
        unused_words=list(description.unused),
        assumed=list(description.assumed),
    )
    if not_understood(description):
        return result.model_copy(update={"verdict": "unsupported", "reason": nothing_understood(job.desk, description)})
    choice = choose(finder, description, wanted.model)
    result = result.model_copy(update={"engine": choice.engine, "engine_reason": choice.reason})
    if description.unused and choice.card is None:
        return result.model_copy(update={"verdict": "unsupported", "reason": left_out(description)})
    found = find(finder, description, choice)
    if isinstance(found, Nothing) or not found:
        nothing = found if isinstance(found, Nothing) else Nothing("unsure", "Nothing was found.")
        return result.model_copy(update={"verdict": nothing.verdict, "reason": nothing.reason})
    return result.model_copy(update=_judged(finder, wanted, choice, found))


def not_understood(description: Description) -> bool:
    """Too little of the sentence means anything here."""
    return description.kind == "none" or description.understood < LEAST_UNDERSTOOD[description.kind]


def scene_of(finder: Finder, description: Description) -> Scene:
    """The masks claims refer to."""
    wanted = {one for claim in description.claims for one in claim.of}
    masks = {one: finder.reference(one) for one in wanted}
    return Scene.of(finder.image, flat=finder.slice_index is not None, masks=masks)


def _judged(finder: Finder, wanted: Wanted, choice: Choice, found: list[Found]) -> dict[str, object]:
    description = wanted.description
    by_thing = {id(one.thing): one for one in found}
    order = ranked([one.thing for one in found], description.claims, scene_of(finder, description))
    judged = {key for key, one in by_thing.items() if one.row is not None}  # what `segment` shows is shown here, too
    shown = [one for one in order if one.score >= LEAST_SCORE or id(one.thing) in judged]
    kept = [one for one in shown if one.fit >= 0.5 or one.fits_all]
    if not kept:
        best = order[0]
        failed = "; ".join(f"{fit.claim}: {fit.reason}" for fit in best.fits if fit.state == "failed")
        reason = f"{len(order)} looked at, none fits. The nearest, {best.thing.name}, is not {failed}."
        if not failed:
            sure = f"{best.thing.certainty:.2f}, which is too little to show"
            reason = f"{len(order)} looked at. Something was marked as {best.thing.name}, with a certainty of {sure}."
        certain = description.kind != "region" and all(one.verdict == "present" for one in found)
        return {"verdict": "absent" if certain else "unsure", "reason": reason}
    decided = not any(fit.tied for one in kept if one.fits_all for fit in one.fits)
    rows = [
        _candidate(finder, wanted, choice, one, by_thing[id(one.thing)], decided=decided)
        for one in kept[: wanted.max_candidates]
    ]
    ambiguous = _ambiguous(kept, description)
    reason = doubt(kept[0], rows, description)
    if ambiguous:
        reason = undecided(kept)
    return {"verdict": rows[0].verdict, "reason": reason, "candidates": rows, "ambiguous": ambiguous}


def _ambiguous(kept: list[Scored], description: Description) -> bool:
    """Whether the two best fit the words almost equally; whoever asks for several means them all."""
    one_is_meant = any(claim.kind in ("rank", "extreme", "density_rank") for claim in description.claims)
    if len(kept) < 2 or (description.plural and not one_is_meant):
        return False
    first, second = sorted(kept, key=lambda one: -one.fit)[:2]
    return second.fits_all and first.fit - second.fit <= CLOSE


def _candidate(
    finder: Finder, wanted: Wanted, choice: Choice, scored: Scored, found: Found, *, decided: bool
) -> Candidate:
    """A candidate as it is shown; `decided` when no comparison that singles it out lies inside its error."""
    groups: dict[str, list[str]] = {"matched": [], "failed": [], "unchecked": []}
    for fit in scored.fits:
        groups[fit.state].append(f"{fit.claim} ({fit.reason})")
    is_read = scored.is_proven and decided and not wanted.description.unused
    verdict: Verdict = found.verdict if is_read else "unsure"
    reasons = [f"{found.how}; certainty {scored.thing.certainty:.2f}, fit {scored.fit:.2f}"]
    if found.row is not None and found.row.reason:
        reasons.append(found.row.reason)
    image = finder.image
    volume = None if image.synthetic else measures.volume_ml(scored.thing.mask)
    faces = measures.truncated_faces(scored.thing.mask, image)
    record = _stored(finder, wanted, choice, scored, found, verdict)
    return Candidate(
        mask_id=record[0],
        structure=scored.thing.name,
        score=round(scored.score, 4),
        verdict=verdict,
        reasons=reasons,
        **groups,
        found_by=choice.engine,
        volume_ml=None if volume is None else round(volume, 2),
        volume_is="not given"
        if volume is None
        else "cut by the edge"
        if faces or finder.slice_index is not None
        else "complete",
        side=scored.thing.side or None,
        max_affine_difference=float(np.abs(scored.thing.mask.grid.affine - image.grid.affine).max()),
        provenance=record[1],
    )


def _stored(
    finder: Finder, wanted: Wanted, choice: Choice, scored: Scored, found: Found, verdict: Verdict
) -> tuple[str, Provenance]:
    """The mask's handle and where it comes from; a mask of `segment` keeps its own."""
    base = found.row.provenance if found.row is not None else finder.made_by
    provenance = Provenance(tool="segment_described", version=__version__, inputs=[wanted.image_id])
    if base is not None:
        provenance = base.model_copy(update={"tool": "segment_described"})
    if found.row is not None and found.row.mask_id is not None:
        return found.row.mask_id, provenance
    made_by = hashlib.sha256(f"segment_described {choice.engine} {found.how}".encode()).hexdigest()
    facts = {
        "verdict": verdict,
        "confidence": round(scored.thing.certainty, 4),
        "description": wanted.description.text,
        "found_by": found.how,
        "slice": wanted.slice_index,
        "provenance": provenance.model_dump(mode="json"),
    }
    record = finder.desk.store.add_mask(
        scored.thing.mask, image_id=wanted.image_id, structure=scored.thing.name, made_by=made_by, facts=facts
    )
    return record.mask_id, provenance
