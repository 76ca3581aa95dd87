"""`segment`: from words to masks, each with a verdict before any number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ... import __version__
from ...imaging.volume import Mask, Volume
from ...models import catalogue
from ...models.card import Card
from ...models.inference.calibration import METHOD, Calibration, calibration_of
from ...models.memory import request_mb
from ...retrieval.anatomy.structures import StructureTable
from ...workers.local import Segmented, SegmentedMask
from ...workers.protocol import SegmentRequest
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..desk.results import CUT, MaskRow, Provenance, SegmentResult, receipt
from ..reuse.answers import About, kept_or_made
from .landmarks import company_of, placed_by
from .missing import Missed, judge_missing
from .objections import objections
from .pairs import facts_of, halves_of, pair_of, with_halves
from .planning import Wish, plan
from .together import ask_all
from .verdicts import Chance, Judged, Sureness, View, judge, knows

_LANDMARKS = 12  # other structures asked for when one is missing, to see what the scan shows


def segment(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="From open_image.")],
    structures: Annotated[list[str], Field(description="Names: liver, left kidney, femora; at most 100.")],
    model: Annotated[
        str, Field(description="'auto'; 'all': every able model, with their `agreement`; or a name from list_models.")
    ] = "auto",
    context: Annotated[
        str, Field(description="For models that take one: modality and region in words.", max_length=300)
    ] = "",
    channels: Annotated[list[str] | None, Field(description="For models of several: the other images.")] = None,
    wait_s: Annotated[float, Field(description="Seconds; then job_id: call get_job.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Segment structures by name in a 3-D scan or slice; a verdict and mask for each.

    Verdicts: present; unsure (do not rely on it, mask or not); absent (looked for, not there); outside_view (the scan seems
    to show another region); unsupported (no model here).
    truncated_at: the scan cuts it, volume_ml is of the part inside. volume_90_ml holds nine of ten true volumes.
    Left and right are the patient's. Not for lesions or free descriptions.
    Example: segment(image_id="img_...", structures=["liver", "spleen"])
    """
    further = tuple(channels or ())
    wishes = plan(desk, image_id, structures, model, context=context, channels=further)
    arguments = {
        "image_id": image_id,
        "structures": [wish.structure for wish in wishes],
        "model": model,
        "context": context,
        **({"channels": list(further)} if further else {}),
    }

    def work(job: Job) -> SegmentResult:
        return look_as_planned(job, image_id, wishes, context=context, channels=further)

    record = run_job(desk, call, "segment", arguments, work, wait_s=wait_s)
    return answer_job(record, SegmentResult, say_result, {"image_id": image_id})


def look_as_planned(
    job: Job, image_id: str, wishes: Sequence[Wish], *, context: str = "", channels: Sequence[str] = ()
) -> SegmentResult:
    """What the planned models find, beside what every other able model finds where the plan says so."""
    if any(wish.others is not None for wish in wishes):
        return ask_all(job, image_id, wishes, look)
    return look(job, image_id, wishes, context=context, channels=channels)


def look(
    job: Job, image_id: str, wishes: Sequence[Wish], *, context: str = "", channels: Sequence[str] = ()
) -> SegmentResult:
    """What the wishes' models find in an image; from the store where the same weights were asked the same of it before."""
    about = _about(job.desk, wishes, context, channels)
    return kept_or_made(job.desk, image_id, about, lambda: _looked(job, image_id, wishes, context, channels))


def _about(desk: Desk, wishes: Sequence[Wish], context: str, channels: Sequence[str]) -> About | None:
    """All that an answer depends on beside the image and the program; None where it must not be reused.

    Engines of the user's are asked each time: what they run is theirs to change. Our own networks all count, because
    they place the scan in the body.
    """
    asked = {wish.card for wish in wishes if wish.card is not None}
    if any(card.weights == "engine" or not card.sha256 for card in asked):
        return None
    ours = {card for card in catalogue.segmenters() if card.weights == "bundled"}
    words = [
        [wish.asked_as, wish.structure, wish.card and wish.card.name, wish.reason, wish.nearest, wish.choice]
        for wish in wishes
    ]
    further = [desk.store.image(one).content_hash for one in channels]
    return About([words, context, further], {card.name: card.sha256 for card in asked | ours})


def _looked(job: Job, image_id: str, wishes: Sequence[Wish], context: str, channels: Sequence[str]) -> SegmentResult:
    """Ask the worker, one model after the other, and judge what comes back."""
    desk, rows, drawn = job.desk, dict[str, MaskRow](), dict[str, _Drawn]()
    image = desk.store.volume(image_id)
    cards = list(dict.fromkeys(wish.card for wish in wishes if wish.card is not None))

    def looking(card: Card, names: Sequence[str]) -> Segmented:
        return ask_model(job.quiet(), image_id, card, names)

    placed = placed_by(desk, desk.store.image(image_id), cards, looking)
    for number, card in enumerate(cards):
        mine = with_halves(desk.table, [wish for wish in wishes if wish.card is card])
        part = job.part(number / len(cards), (number + 1) / len(cards))
        found = ask_model(part, image_id, card, [wish.structure for wish in mine], context, channels)
        seen = [mask.structure for mask in found.masks if mask.array.any()]
        if len(seen) < len(mine):
            asked = {wish.structure for wish in mine} | {wish.structure for wish in wishes}
            others = [name for name in card.claimed if name not in asked][:_LANDMARKS]
            if others:
                more = ask_model(job.quiet(), image_id, card, others, context, channels)
                seen += [mask.structure for mask in more.masks if mask.array.any()]
        known = calibration_of(card, catalogue.WEIGHTS_FOLDER)
        view = View(tuple(seen), placed, company_of(card, desk.store.image(image_id), looking))
        for wish, mask in zip(mine, found.masks, strict=True):
            made = _row(desk.table, image, image_id, wish, mask, found, view, known, channels)
            if isinstance(made, _Drawn):
                drawn[wish.structure] = made
            else:
                rows[wish.structure] = made
    rows |= _kept(desk, image, image_id, drawn)
    masks = {name: one.mask for name, one in drawn.items()}
    for wish in wishes:
        if halves_of(desk.table, wish):
            rows[wish.structure] = pair_of(desk, image, image_id, wish, rows, masks)
    for wish in wishes:
        if wish.card is None:
            rows[wish.structure] = MaskRow(
                structure=wish.structure,
                asked_as=wish.asked_as,
                verdict="unsupported",
                reason=wish.reason,
                nearest=list(wish.nearest),
                provenance=Provenance(tool="segment", version=__version__, inputs=[image_id]),
            )
    return SegmentResult(image_id=image_id, masks=[rows[wish.structure] for wish in wishes])


def ask_model(
    job: Job, image_id: str, card: Card, names: Sequence[str], context: str = "", channels: Sequence[str] = ()
) -> Segmented:
    """What a network finds of these structures in an image, once it is its turn."""
    image = job.desk.store.image(image_id)
    request = SegmentRequest(
        request_id=job.id,
        array_path=str(job.desk.store.array_path(image_id)),
        grid=image.grid,
        modality=image.modality,
        synthetic=image.synthetic,
        image_key=" ".join([image.content_hash, *(job.desk.store.image(one).content_hash for one in channels)]),
        model=card.name,
        structures=tuple(names),
        context=context,
        channel_paths=tuple(str(job.desk.store.array_path(one)) for one in channels),
        is_batch=job.is_batch,
    )
    needed = request_mb(card, image.grid, len(names))
    return job.desk.workers.run(request, on_progress=job.report, cancelled=job.cancelled, memory_mb=needed)


@dataclass(frozen=True)
class _Drawn:
    """A mask that stands for something, before our own checks have looked at it beside the others."""

    mask: Mask
    row: MaskRow
    side_checked: bool
    made_by: str


def _kept(desk: Desk, image: Volume, image_id: str, drawn: Mapping[str, _Drawn]) -> dict[str, MaskRow]:
    """Put masks into the store; one that our checks object to is not called present."""
    against = objections(desk.table, image, {name: one.mask for name, one in drawn.items()})
    rows = {}
    for name, one in drawn.items():
        row = one.row
        if name in against and against[name].vetoes:
            said = against[name].reasons[:3]
            reason = f"{row.reason} Our own checks object: {' '.join(said)}".strip()
            further = [warning for warning in row.warnings if warning not in said]
            row = row.model_copy(
                update={"verdict": "unsure", "reason": reason, "warnings": further, "volume_90_ml": None}
            )
        elif name in against:
            row = row.model_copy(update={"warnings": list(dict.fromkeys([*row.warnings, *against[name].reasons]))})
        record = desk.store.add_mask(
            one.mask, image_id=image_id, structure=name, made_by=one.made_by, facts=facts_of(row)
        )
        geometry = receipt(one.mask.grid, image.grid, side_checked=one.side_checked)
        rows[name] = row.model_copy(update={"mask_id": record.mask_id, "geometry": geometry})
    return rows


def _row(
    table: StructureTable,
    image: Volume,
    image_id: str,
    wish: Wish,
    mask: SegmentedMask,
    found: Segmented,
    view: View,
    known: Calibration | None,
    channels: Sequence[str] = (),
) -> MaskRow | _Drawn:
    card = wish.card
    assert card is not None
    provenance = Provenance(
        tool="segment",
        version=__version__,
        inputs=[image_id, *channels],
        model=card.name,
        weights_sha256=found.weights_sha256,
        licence=card.licence,
        purpose=card.purpose,
        engine=found.engine,
        choice=wish.choice or None,
    )
    row = MaskRow(structure=wish.structure, asked_as=wish.asked_as, verdict="absent", provenance=provenance)
    if not mask.array.any():
        missed = Missed(mask.peak, chance_of(known, wish.structure, mask), knows(card, wish.structure))
        verdict, reason = judge_missing(wish.structure, missed, view, image, table)
        return row.model_copy(update={"verdict": verdict, "reason": reason})
    placed = Mask(mask.array, image.grid)
    sure = sureness(known, wish.structure, mask)
    judged = judge(wish.structure, placed, image, sure, card, table, view)
    row = row.model_copy(update={"verdict": judged.verdict, "reason": judged.reason})
    if judged.verdict in ("outside_view", "absent"):
        return row
    made_by = hashlib.sha256(f"segment {card.name} {found.weights_sha256}".encode()).hexdigest()
    row = row.model_copy(
        update={
            "confidence": round(sure.value, 4) if sure.calibrated and sure.value is not None else None,
            "confidence_is": METHOD if sure.calibrated else "",
            "mean_sigmoid": None if mask.confidence is None else round(mask.confidence, 4),
            "volume_ml": None if judged.volume_ml is None else round(judged.volume_ml, 2),
            "volume_is": "not given"
            if judged.volume_ml is None
            else "complete"
            if judged.complete
            else "cut by the edge",
            "volume_90_ml": interval_of(known, sure, judged),
            "truncated_at": list(judged.truncated_at),
            "side": judged.side,
            "warnings": list(judged.warnings),
        }
    )
    return _Drawn(placed, row, judged.side_checked, made_by)


def sureness(known: Calibration | None, structure: str, mask: SegmentedMask) -> Sureness:
    """How good a mask is thought to be: calibrated where the model's weights are, else its mean sigmoid."""
    if known is None or not mask.signs:
        return Sureness(mask.confidence)
    value = known.expected_dice(structure, mask.signs)
    return Sureness(value, known.sure_from, calibrated=True, chance=chance_of(known, structure, mask))


def chance_of(known: Calibration | None, structure: str, mask: SegmentedMask) -> Chance | None:
    """The chance that a structure is in the scan; None where the model's weights are not calibrated for that."""
    if known is None or known.presence is None or not mask.traces:
        return None
    presence = known.presence
    return Chance(presence.chance(structure, mask.traces), presence.absent_below, presence.present_from)


def interval_of(known: Calibration | None, sure: Sureness, judged: Judged) -> list[float] | None:
    """Volumes in ml between which nine of ten true ones lie; None for masks that are not present, and where it is not known."""
    if known is None or sure.value is None or judged.volume_ml is None or judged.verdict != "present":
        return None
    ends = known.interval(judged.volume_ml, sure.value)
    return None if ends is None else [round(end, 2) for end in ends]


def say_result(result: SegmentResult) -> str:
    """The answer in a few words: present structures with volumes and handles, then the rest by verdict."""
    groups: dict[str, list[str]] = {}
    for row in result.masks:
        extra = ""
        if row.volume_ml is not None:
            extra = f" {row.volume_ml:g} ml{CUT if row.volume_is == 'cut by the edge' else ''}"
        if row.mask_id is not None:
            extra += f" ({row.mask_id})"
        if row.nearest:
            extra += f" (unknown word; closest: {', '.join(row.nearest)})"
        groups.setdefault(row.verdict, []).append(row.structure + extra)
    parts = [
        f"{verdict.replace('_', ' ').capitalize()}: {', '.join(names[:20])}{' and more' if len(names) > 20 else ''}."
        for verdict, names in groups.items()
    ]
    return " ".join(parts)[:1500]
