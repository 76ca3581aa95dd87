"""A pair and its halves give one answer: where a model finds both halves, the pair is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...imaging.masks import measures
from ...imaging.volume import Mask, Volume
from ...retrieval.anatomy.structures import StructureTable
from ..desk.desk import Desk
from ..desk.results import MaskRow, Verdict, receipt
from .planning import Wish

_WORST_FIRST: tuple[Verdict, ...] = ("unsure", "absent", "outside_view", "unsupported")


def halves_of(table: StructureTable, wish: Wish) -> tuple[str, ...]:
    """The left and the right half of a pair that the wish's model finds one by one; () for everything else."""
    row = table.get(wish.structure)
    if row is None or row.side != "both" or wish.card is None:
        return ()
    halves = tuple(part for part in table.expand(row.name) if (half := table.get(part)) is not None and half.side)
    return halves if len(halves) == 2 and set(halves) <= set(wish.card.claimed) else ()


def with_halves(table: StructureTable, wishes: Sequence[Wish]) -> list[Wish]:
    """The wishes, every pair replaced by its halves; none twice, and what was asked for itself keeps its words."""
    asked, made = {wish.structure: wish for wish in wishes}, dict[str, Wish]()
    for wish in wishes:
        for name in halves_of(table, wish) or (wish.structure,):
            made.setdefault(name, asked.get(name) or replace(wish, structure=name))
    return list(made.values())


def pair_of(
    desk: Desk, image: Volume, image_id: str, wish: Wish, rows: Mapping[str, MaskRow], drawn_masks: Mapping[str, Mask]
) -> MaskRow:
    """The answer for a pair, made of its halves' answers.

    Present when both halves are, or one is and the other was looked for in vain; unsure when a half is.

    Args:
        rows, drawn_masks: of what was found, by structure; a row with a handle has its mask.
    """
    halves = [rows[name] for name in halves_of(desk.table, wish)]
    drawn = [row for row in halves if row.mask_id is not None]
    verdicts = {row.verdict for row in halves}
    first = drawn[0] if drawn else halves[0]
    reasons = dict.fromkeys(
        f"{row.structure}: {row.reason}" for row in halves if row.reason and row.mask_id is not None
    )
    base = first.model_copy(update={"structure": wish.structure, "asked_as": wish.asked_as, "side": None})
    if not drawn:
        worst = next(one for one in _WORST_FIRST if one in verdicts)
        reason = " ".join(dict.fromkeys(row.reason for row in halves))
        return base.model_copy(update={"verdict": worst, "reason": reason})
    masks = [drawn_masks[row.structure] for row in drawn]
    union = Mask(masks[0].array | masks[-1].array, image.grid)
    warnings = [warning for row in drawn for warning in row.warnings]
    warnings += [
        f"Only the {drawn[0].structure} was found; the {row.structure} is {row.verdict.replace('_', ' ')}."
        for row in halves
        if row.mask_id is None
    ]
    cut = [face for row in drawn for face in row.truncated_at]
    volume = measures.volume_ml(union) if all(row.volume_ml is not None for row in drawn) else None
    row = base.model_copy(
        update={
            "verdict": "unsure" if "unsure" in verdicts else "present",
            "reason": " ".join(reasons),
            "confidence": _least([row.confidence for row in drawn]),
            "mean_sigmoid": _least([row.mean_sigmoid for row in drawn]),
            "volume_ml": None if volume is None else round(volume, 2),
            "volume_90_ml": _summed([row.volume_90_ml for row in drawn]),
            "volume_is": "not given" if volume is None else "cut by the edge" if cut else "complete",
            "truncated_at": list(dict.fromkeys(cut)),
            "warnings": list(dict.fromkeys(warnings)),
        }
    )
    made_by = hashlib.sha256(f"pair of {' '.join(str(one.mask_id) for one in drawn)}".encode()).hexdigest()
    record = desk.store.add_mask(
        union, image_id=image_id, structure=wish.structure, made_by=made_by, facts=facts_of(row)
    )
    geometry = receipt(union.grid, image.grid, side_checked=False)
    return row.model_copy(update={"mask_id": record.mask_id, "geometry": geometry})


def facts_of(row: MaskRow) -> dict[str, object]:
    """What the store keeps of an answer beside its mask."""
    return {
        "verdict": row.verdict,
        "confidence": row.confidence,
        "confidence_is": row.confidence_is,
        "mean_sigmoid": row.mean_sigmoid,
        "volume_90_ml": row.volume_90_ml,
        "model": row.provenance.model,
        "provenance": row.provenance.model_dump(mode="json"),
        "warnings": list(row.warnings),
    }


def _summed(intervals: Sequence[list[float] | None]) -> list[float] | None:
    """Lower and upper ends together: no narrower than the pair's own interval would be."""
    known = [one for one in intervals if one is not None]
    return (
        [round(sum(ends), 2) for ends in zip(*known, strict=True)] if known and len(known) == len(intervals) else None
    )


def _least(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None
