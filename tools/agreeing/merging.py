"""`merge_masks`: one mask out of several, how far they agree, and where they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ...imaging.consensus.merge import Marked, Staple, by_staple, by_vote, by_weight, weights_by_agreement
from ...imaging.consensus.votes import NEIGHBOURHOOD, Votes, entropy, joint_box
from ...imaging.errors import BadCall
from ...imaging.guards.limits import BUDGET
from ...imaging.masks.dice import dice
from ...imaging.pictures.render import render
from ...imaging.volume import Mask, Volume
from ...store.records import ImageRecord, MaskRecord
from ..desk.desk import Answer, Call, Desk
from ..desk.results import combined_provenance, receipt
from ..segmenting.sizes import Sizes
from .results import MergedInput, MergeResult
from .trust import say_trust, warn_of

Method = Literal["staple", "vote", "weighted"]
_VOXEL_BYTES = 14  # of the image: the map and its copies, a mask
_NEAR_BYTES, _VOTE_BYTES = (
    24,
    4,
)  # of a voxel near the masks: probabilities and shares; votes and their copies, of each mask
_WINDOW = [math.log(2) / 2, math.log(2)]  # from where all agree to where half do
_PIXELS = 640


def merge_masks(
    desk: Desk,
    call: Call,
    mask_ids: Annotated[list[str], Field(description="One structure, one image.", min_length=2, max_length=50)],
    method: Annotated[Method | None, Field(description="Default: staple; of two, vote.")] = None,
    weights: Annotated[
        list[Annotated[float, Field(ge=0)]] | None,
        Field(description="For weighted, from 0; default: each one's Dice with the others."),
    ] = None,
) -> Answer:
    """Merge masks by several people or models into one; tell how far they agree.

    vote: more than half mark it. staple: estimates each mask's sensitivity and specificity (3+ masks). Read `trust`:
    agreement is no proof.
    Example: merge_masks(mask_ids=["msk_...", "msk_..."])
    """
    records = [desk.store.mask_record(mask_id) for mask_id in mask_ids]
    image = desk.store.image(_one_image(records))
    structure, notes = _one_structure(desk, records)
    chosen = _method(method, records, weights)
    regions = [desk.store.region(mask_id) for mask_id in mask_ids]
    box = joint_box(regions, margin=NEIGHBOURHOOD)
    near = math.prod(box.shape) * (_NEAR_BYTES + _VOTE_BYTES * len(records)) if box is not None else 0
    with BUDGET.reserved(f"{len(records)} masks", _VOXEL_BYTES * math.prod(image.grid.shape) + near):
        call.report(0.1, "counting votes")
        votes = Votes.of(regions)
        merged = _merged(votes, chosen, weights)
        call.report(0.7, "drawing")
        return _Case(desk, image, records, structure, votes, merged, notes).answer()


def _one_image(records: Sequence[MaskRecord]) -> str:
    twice = sorted({one.mask_id for one in records if sum(other.mask_id == one.mask_id for other in records) > 1})
    if twice:
        raise BadCall(
            f"{', '.join(twice)} was given twice. Give every mask once; to let one count for more use weights."
        )
    images = list(dict.fromkeys(record.image_id for record in records))
    if len(images) > 1:
        raise BadCall(
            f"The masks belong to {len(images)} images ({', '.join(images[:4])}). Only masks of one image can be merged. "
            "Import the others onto one of them with import_mask, or segment one image again."
        )
    return images[0]


def _one_structure(desk: Desk, records: Sequence[MaskRecord]) -> tuple[str | None, list[str]]:
    """The structure all masks are of, if they say so, and what to say where their names differ.

    Raises:
        BadCall: masks of several structures that the anatomy table knows.
    """
    names = list(dict.fromkeys(record.structure for record in records))
    if len(names) == 1:
        return names[0], []
    known = list(dict.fromkeys(row.name for name in names if name and (row := desk.table.get(name)) is not None))
    if len(known) > 1:
        raise BadCall(
            f"The masks are of {' and '.join(known[:4])}. Only masks of one structure can be merged. "
            "To join structures use edit_mask(operation='union')."
        )
    told = ", ".join(str(name or "no name") for name in names[:6])
    return (known[0] if known else None), [f"The masks bear different names ({told}) and are taken to mean one thing."]


def _method(method: Method | None, records: Sequence[MaskRecord], weights: Sequence[float] | None) -> Method:
    if weights is not None and method != "weighted":
        raise BadCall(
            f"Weights are for method='weighted', not for '{method or 'the default'}'. Say so, or leave them out."
        )
    return method or ("vote" if len(records) == 2 else "staple")


@dataclass(frozen=True)
class _Merged:
    """A way to merge, and what came of it.

    Attributes:
        staple: its estimates; None by another way, and where all masks are equal.
        weights: what every mask counted; None by STAPLE.
    """

    method: Method
    marked: Marked
    staple: Staple | None = None
    weights: tuple[float, ...] | None = None
    are_estimated: bool = False


def _merged(votes: Votes, method: Method, weights: Sequence[float] | None) -> _Merged:
    if method == "staple":
        found = by_staple(votes)
        return _Merged(method, found.marked if found else by_vote(votes), found)
    if method == "vote":
        return _Merged(method, by_vote(votes), weights=(1.0,) * len(votes.marks))
    used = tuple(weights) if weights is not None else weights_by_agreement(votes)
    return _Merged(method, by_weight(votes, used), weights=used, are_estimated=weights is None)


@dataclass(frozen=True)
class _Case:
    """Masks that were merged, to be kept and told of."""

    desk: Desk
    image: ImageRecord
    records: Sequence[MaskRecord]
    structure: str | None
    votes: Votes
    merged: _Merged
    notes: list[str]

    def answer(self) -> Answer:
        """The merged mask and the map in the store, and what to say of them."""
        votes, merged, image = self.votes, self.merged, self.image
        sizes = Sizes(image.grid, image.synthetic)
        vote = dice(merged.marked, by_vote(votes))
        apart = votes.stands_apart()
        voxels = int(np.count_nonzero(merged.marked))
        trust = say_trust(votes, voxels, sizes, staple_vote=vote if merged.staple else None)
        warnings = [*self.notes, *warn_of(self.desk, self.records, votes)]
        if merged.staple is not None and not merged.staple.has_settled:
            warnings.append("STAPLE had not settled when it was stopped: rather use the vote.")
        if merged.are_estimated:
            warnings.append("The weights are estimated from these masks alone: each one's Dice with the others.")
        mask = Mask(np.asarray(votes.on_grid(merged.marked), np.bool_), image.grid)
        spread = Volume(votes.on_grid(entropy(votes.share)), image.grid, "unknown", image.synthetic)
        mask_id = self._kept(mask, [trust, *warnings]) if voxels else None
        provenance = combined_provenance("merge_masks", self._provenances(), image.image_id)
        result = MergeResult(
            mask_id=mask_id,
            image_id=image.image_id,
            structure=self.structure,
            method=merged.method,
            voxels=voxels,
            volume_ml=sizes.ml(voxels),
            inputs=[self._input(number) for number in range(len(self.records))],
            dice_between=[round(min(votes.pairs.values()), 4), round(max(votes.pairs.values()), 4)],
            volume_between_ml=sizes.range_ml(votes.voxels),
            agreed_voxels=votes.voxels_of_all,
            agreed_ml=sizes.ml(votes.voxels_of_all),
            marked_voxels=votes.voxels_of_any,
            marked_ml=sizes.ml(votes.voxels_of_any),
            dice_to_vote=round(vote, 4),
            stands_apart=self.records[apart].mask_id if apart is not None else None,
            disagreement_image_id=self._kept_map(spread),
            trust=trust,
            warnings=warnings,
            geometry=receipt(mask.grid, image.grid, side_checked=False) if mask_id else None,
            provenance=provenance,
        )
        return Answer(_said(result, sizes), result, (_drawn(spread, mask if mask_id else None),))

    def _provenances(self) -> dict[str, dict[str, object]]:
        return {record.mask_id: record.facts.get("provenance", {}) for record in self.records}

    def _kept(self, mask: Mask, doubts: list[str]) -> str:
        """In the store; the same masks merged alike have one handle, in whatever order they were named."""
        counted = self.merged.weights or ("",) * len(self.records)
        named = sorted(f"{record.mask_id}={weight}" for record, weight in zip(self.records, counted, strict=True))
        provenance = combined_provenance("merge_masks", self._provenances(), self.image.image_id)
        facts = {
            "verdict": "merged",
            "method": self.merged.method,
            "warnings": doubts,
            "provenance": provenance.model_dump(mode="json"),
        }
        made_by = f"merge {self.merged.method} {' '.join(named)}"
        return self.desk.store.add_mask(
            mask, image_id=self.image.image_id, structure=self.structure, made_by=made_by, facts=facts
        ).mask_id

    def _kept_map(self, spread: Volume) -> str:
        ids = [record.mask_id for record in self.records]
        name = f"disagreement of {len(ids)} masks of {self.image.image_id}, nats"
        return self.desk.store.add_image(spread, source_name=name, facts={"derived_from": ids}).image_id

    def _input(self, number: int) -> MergedInput:
        votes, merged, record = self.votes, self.merged, self.records[number]
        made = record.facts.get("provenance", {})
        return MergedInput(
            mask_id=record.mask_id,
            source=str(made.get("model") or made.get("tool") or "not known"),
            voxels=votes.voxels[number],
            volume_ml=Sizes(self.image.grid, self.image.synthetic).ml(votes.voxels[number]),
            dice_to_merged=round(dice(votes.marks[number], merged.marked), 4) if merged.marked.any() else None,
            dice_to_others=round(votes.dice_to_others(number), 4),
            sensitivity=round(merged.staple.sensitivity[number], 4) if merged.staple else None,
            specificity=round(merged.staple.specificity[number], 4) if merged.staple else None,
            weight=round(merged.weights[number], 4) if merged.weights else None,
        )


def _drawn(spread: Volume, mask: Mask | None) -> bytes:
    """The map, bright where the masks differ, with the merged mask's outline."""
    masks = {"merged": mask} if mask is not None else {}
    zoom = mask is not None
    return render(spread, masks, window=_WINDOW, style="contour", zoom=zoom, width=_PIXELS).png


def _said(result: MergeResult, sizes: Sizes) -> str:
    what = f"{len(result.inputs)} masks of {result.structure or 'one structure'}"
    made = f"{result.mask_id}, {sizes.say(result.voxels)}" if result.mask_id else "no mask"
    low, high = result.dice_between
    between = f"Dice between them {low:.2f}" + (f" to {high:.2f}" if high > low else "")
    counts = [row.voxels for row in result.inputs]
    apart = f" {result.stands_apart} stands apart." if result.stands_apart else ""
    text = (
        f"Merged {what} ({result.method}): {made}. {between}; sizes {sizes.say(min(counts))} to {sizes.say(max(counts))}."
        f"{apart} {result.trust}"
    )
    hint = f"The picture shows where they differ ({result.disagreement_image_id})."
    return " ".join([text, *result.warnings[:4], hint])
