"""Every model that knows a structure is asked, and their answers are made one.

With two models a majority is not defined, so the better measured one's mask is the mask and the disagreement is said; from
three on the mask is what most of them mark. Agreement is no proof: it never makes a verdict better than the best measured
model's own. Disagreement makes it worse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...imaging.consensus.merge import by_vote
from ...imaging.consensus.votes import FEW_SHARED, Votes
from ...imaging.errors import OstensorError
from ...imaging.masks import measures
from ...imaging.region import Region
from ...imaging.volume import Mask, Volume
from ..desk.desk import Desk
from ..desk.job import Job
from ..desk.results import MaskRow, ModelAgreement, SegmentResult, combined_provenance, receipt
from .pairs import facts_of
from .planning import Wish
from .sizes import Sizes

DENIED = ("absent", "outside_view")  # verdicts that say it is not to be seen, and can be defended
Look = Callable[[Job, str, Sequence[Wish]], SegmentResult]


def ask_all(job: Job, image_id: str, wishes: Sequence[Wish], look: Look) -> SegmentResult:
    """One row per wish: what the model planned for it finds, beside what the wish's `others` find.

    Args:
        look: asks the models of some wishes.
    """
    others = list(dict.fromkeys(card for wish in wishes for card in wish.others or ()))
    steps = 1 + len(others)
    rows = [[row] for row in look(job.part(0, 1 / steps), image_id, wishes).masks]
    silent: list[list[str]] = [[] for _ in wishes]
    for number, card in enumerate(others, start=1):
        asked = {n: replace(wish, card=card) for n, wish in enumerate(wishes) if card in (wish.others or ())}
        part = job.part(number / steps, (number + 1) / steps)
        try:
            found = look(part, image_id, list(asked.values())).masks
        except OstensorError as error:  # one that cannot be asked, or fails, sinks none of the others
            for n in asked:
                silent[n].append(f"{card.name} could not be asked: {error}")
            continue
        for n, row in zip(asked, found, strict=True):
            rows[n].append(row)
    image = job.desk.store.volume(image_id)
    masks = [
        _together(job.desk, image, image_id, _ranked(wish, mine), lost)
        for wish, mine, lost in zip(wishes, rows, silent, strict=True)
    ]
    return SegmentResult(image_id=image_id, masks=masks)


def _ranked(wish: Wish, rows: Sequence[MaskRow]) -> list[MaskRow]:
    """The rows of one wish, the best measured model's first."""
    order = [card.name for card in (wish.others or ())]
    return [rows[0], *sorted(rows[1:], key=lambda row: order.index(_model(row)))]


def _together(desk: Desk, image: Volume, image_id: str, rows: Sequence[MaskRow], lost: Sequence[str]) -> MaskRow:
    """One answer out of several models', the best measured first.

    Args:
        lost: why models that know it could not be asked.
    """
    first = rows[0]
    if first.verdict == "unsupported":
        return first
    if len(rows) == 1:
        alone = [f"Only {_model(first)} looks for the {first.structure} in such scans: no second model could be asked."]
        return first.model_copy(update={"warnings": [*first.warnings, *(lost or alone)]})
    nothing = Region.of(Mask(np.zeros(image.grid.shape, np.bool_), image.grid))
    votes = Votes.of([desk.store.region(row.mask_id) if row.mask_id else nothing for row in rows])
    marked = votes.marks[0] if len(rows) == 2 else by_vote(votes)
    is_firsts = np.array_equal(marked, votes.marks[0])
    mask = Mask(np.asarray(votes.on_grid(marked), np.bool_), image.grid)
    row = first if is_firsts else _voted(rows, mask, image) if marked.any() else _blank(first)
    doubt = _doubt(rows, votes, Sizes(image.grid, image.synthetic), has_mask=bool(marked.any()))
    row = row.model_copy(
        update={
            "agreement": _agreement(rows, votes),
            "reason": f"{row.reason} {doubt}".strip(),
            "warnings": [*row.warnings, *lost],
        }
    )
    if doubt:
        row = row.model_copy(update={"verdict": "unsure", "volume_90_ml": None})
    return _kept(desk, mask, image_id, row, rows, is_firsts=is_firsts) if marked.any() else row


def _agreement(rows: Sequence[MaskRow], votes: Votes) -> ModelAgreement:
    """What every model's own mask is, and how far they agree; no Dice where none marks anything."""
    drawn = [row for row in rows if row.mask_id]
    volumes = [row.volume_ml for row in drawn if row.volume_ml is not None]
    return ModelAgreement(
        masks={_model(row): row.mask_id for row in rows},
        dice=round(min(votes.pairs.values()), 4) if drawn else None,
        volume_ml=[min(volumes), max(volumes)] if volumes and len(volumes) == len(drawn) else [],
    )


def _doubt(rows: Sequence[MaskRow], votes: Votes, sizes: Sizes, *, has_mask: bool) -> str:
    """Why models that disagree leave it open; "" where what they say goes together."""
    name = rows[0].structure
    marks = [n for n, row in enumerate(rows) if row.mask_id]
    denies = [row for row in rows if row.verdict in DENIED]
    silent = [row for row in rows if not row.mask_id and row.verdict not in DENIED]
    if not marks:
        return ""
    told = ", ".join(f"{_model(rows[n])} marks {sizes.say(votes.voxels[n])}" for n in marks)
    if denies:
        against = ", ".join(f"{_model(row)} says {row.verdict.replace('_', ' ')}" for row in denies)
        return f"Models disagree on whether the {name} is there: {told}; {against}."
    least = min((value for pair, value in votes.pairs.items() if set(pair) <= set(marks)), default=1.0)
    if least < FEW_SHARED:
        return f"Models mark different things: {told}, with a Dice of {least:.2f}."
    if silent and (not has_mask or rows[0] in silent):
        return f"Not every model finds the {name}: {told}; {', '.join(_model(row) for row in silent)} marks nothing."
    return ""


def _voted(rows: Sequence[MaskRow], mask: Mask, image: Volume) -> MaskRow:
    """The row of what most models mark: its numbers are made anew, and no confidence is known of it."""
    drawn = [row for row in rows if row.mask_id]
    faces = measures.truncated_faces(mask, image)
    volume = None if image.synthetic else measures.volume_ml(mask)
    shared = [warning for warning in drawn[0].warnings if all(warning in row.warnings for row in drawn)]
    told = f"Its mask is what more than half of {len(rows)} models mark; no confidence is known of it."
    return _blank(rows[0]).model_copy(
        update={
            "volume_ml": None if volume is None else round(volume, 2),
            "volume_is": "not given" if volume is None else "cut by the edge" if faces else "complete",
            "truncated_at": list(faces),
            "side": drawn[0].side,
            "geometry": receipt(mask.grid, image.grid, side_checked=False),
            "warnings": [*shared, told],
        }
    )


def _blank(row: MaskRow) -> MaskRow:
    """The row without its mask and all that is said of it."""
    return MaskRow(
        structure=row.structure,
        asked_as=row.asked_as,
        verdict=row.verdict,
        reason=row.reason,
        warnings=row.warnings,
        provenance=row.provenance,
    )


def _kept(desk: Desk, mask: Mask, image_id: str, row: MaskRow, rows: Sequence[MaskRow], *, is_firsts: bool) -> MaskRow:
    """The row with a handle of its own, whose record has the verdict that all models together allow."""
    parts = {one.mask_id: one.provenance.model_dump(mode="json") for one in rows if one.mask_id}
    provenance = (
        row.provenance.model_copy(update={"inputs": [str(row.mask_id), image_id]})
        if is_firsts
        else combined_provenance("segment", parts, image_id)
    )
    row = row.model_copy(update={"provenance": provenance})
    made_by = hashlib.sha256(f"models together {row.verdict} {' '.join(parts)}".encode()).hexdigest()
    record = desk.store.add_mask(mask, image_id=image_id, structure=row.structure, made_by=made_by, facts=facts_of(row))
    return row.model_copy(update={"mask_id": record.mask_id})


def _model(row: MaskRow) -> str:
    return row.provenance.model or row.provenance.tool
