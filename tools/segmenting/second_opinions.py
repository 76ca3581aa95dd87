"""Whom to ask for a second opinion on a mask, and what they say: calibrated networks that had no part in it."""

from __future__ import annotations

from collections.abc import Mapping

from ...imaging.plausibility.checks import Check, unknown
from ...imaging.plausibility.second_opinion import NAME, Opinion, second_opinion
from ...imaging.region import Region
from ...imaging.volume import Mask
from ...models import catalogue
from ...models.card import Card
from ...models.inference.calibration import calibration_of
from ...store.records import ImageRecord, MaskRecord
from ..desk.desk import Call, Desk, allowed_use
from ..desk.job import Job
from .planning import extent_mm
from .segmentation import ask_model


def opinion_of_another(desk: Desk, call: Call, record: MaskRecord, structure: str) -> Check:
    """The best measured calibrated network that claims the structure and did not make the mask looks for itself."""
    image = desk.store.image(record.image_id)
    able, made_by = advisers(desk, image, structure), makers(desk, record)
    asked = next((card for card in able if card.name not in made_by), None)
    if asked is None and able:
        return unknown(NAME, f"The mask comes from {able[0].name} itself, and no other calibrated model knows it.")
    if asked is None:
        return unknown(NAME, f"No calibrated model looks for '{structure}' in such scans.")
    return second_opinion(desk.store.region(record.mask_id), structure, opinions(desk, call, image, asked))


def advisers(desk: Desk, image: ImageRecord, structure: str) -> list[Card]:
    """Calibrated networks that look for a structure in such scans, the best measured first."""
    dims = 2 if image.grid.is_2d else 3
    found = catalogue.models_for(structure, image.modality, dims, extent_mm=extent_mm(image), purpose=allowed_use(desk))
    return [
        card
        for card in found
        if (image.grid.spacing_known or card.spacing_mm is None) and calibration_of(card, catalogue.WEIGHTS_FOLDER)
    ]


def makers(desk: Desk, record: MaskRecord) -> set[str]:
    """Models that had a part in a mask: its own, and those of the masks it was edited from."""
    found: set[str] = set()
    fresh, known = [record], {record.mask_id}
    while fresh:
        made = fresh.pop().facts.get("provenance", {})
        found |= {made["model"]} if made.get("model") else set()
        before = {one for one in made.get("inputs", []) if one.startswith("msk_")} - known
        known |= before
        fresh += [desk.store.mask_record(one) for one in before]
    return found


def opinions(desk: Desk, call: Call, image: ImageRecord, card: Card) -> Mapping[str, Opinion]:
    """What a calibrated network finds of everything it claims, by structure."""
    sure = calibration_of(card, catalogue.WEIGHTS_FOLDER)
    assert sure is not None
    found = ask_model(Job.of_call(desk, call, "second"), image.image_id, card, card.claimed)
    return {
        one.structure: Opinion(
            Region.of(Mask(one.array, image.grid)), round(sure.expected_dice(one.structure, one.signs), 4), card.name
        )
        for one in found.masks
    }
