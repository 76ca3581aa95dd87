"""Whom to ask for a second opinion on a mask, and what they say: models that had no part in it.

A calibrated network foretells how good its own mask is, so a mask that agrees less can fail (`opinion_of_another`). Any other
model says what it finds (`engine_opinions`); it judges only where it was measured here.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...imaging.errors import OstensorError
from ...imaging.masks.dice import dice_of_regions
from ...imaging.plausibility.checks import Check, unknown
from ...imaging.plausibility.difference import Surplus, surplus
from ...imaging.plausibility.second_opinion import LEAST_SURE, MARGIN, NAME, Opinion, second_opinion
from ...imaging.region import Region
from ...imaging.volume import Mask
from ...models import catalogue
from ...models.card import Card
from ...models.inference.calibration import calibration_of
from ...store.records import ImageRecord, MaskRecord
from ..desk.desk import Call, Desk, allowed_use
from ..desk.job import Job
from .able import able_models, extent_mm
from .segmentation import ask_model
from .sizes import Sizes

ENGINE = "second engine"


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


def engine_opinions(desk: Desk, call: Call, record: MaskRecord, structure: str) -> list[Check]:
    """What every other ready model finds of the structure: agreement, both sizes, and where they differ."""
    image, made_by = desk.store.image(record.image_id), makers(desk, record)
    able = able_models(desk, structure, image)
    asked = [card for card in able if card.name not in made_by]
    if not asked:
        whose = f"The mask comes from {', '.join(sorted(made_by))}, and no" if made_by else "No"
        return [unknown(ENGINE, f"{whose} other model that is ready here looks for the {structure} in such scans.")]
    return [_engine_opinion(desk, call, record, structure, card) for card in asked]


def _engine_opinion(desk: Desk, call: Call, record: MaskRecord, structure: str, card: Card) -> Check:
    name = f"{ENGINE} {card.name}"
    image, region = desk.store.image(record.image_id), desk.store.region(record.mask_id)
    try:
        found = ask_model(Job.of_call(desk, call, "engine"), record.image_id, card, [structure]).masks[0]
    except OstensorError as error:
        return unknown(name, f"{card.name} could not be asked: {error}")
    theirs, sizes = Region.of(Mask(found.array, image.grid)), Sizes(image.grid, image.synthetic)
    measured = card.measured.get(structure)
    weak = (
        f" {card.name} was never measured on it here, so this is weak evidence either way."
        if measured is None
        else f" Its own Dice on held-out scans is {measured.dice:.2f}, too low to judge by."
        if measured.dice < LEAST_SURE
        else ""
    )
    if not theirs.voxels or not region.voxels:
        marks = (
            f"The mask is empty; {card.name} marks {sizes.say(theirs.voxels)}"
            if theirs.voxels
            else f"{card.name} marks nothing"
        )
        return Check(name, None, 0.0 if theirs.voxels or region.voxels else None, None, None, f"{marks} here.{weak}")
    agreed = dice_of_regions(region, theirs)
    told = (
        f"{card.name} agrees with a Dice of {agreed:.2f}: the mask has {sizes.say(region.voxels)}, its own "
        f"{sizes.say(theirs.voxels)}.{_alone('The mask holds', surplus(region, theirs), sizes)}"
        f"{_alone(f'{card.name} marks', surplus(theirs, region), sizes)}{weak}"
    )
    if measured is None or weak:
        return Check(name, None, round(agreed, 4), None, None, told)
    limit = round(measured.dice - MARGIN, 4)
    source = f"Dice of {card.name} on held-out scans less {MARGIN:g}; our choice"
    return Check(name, agreed >= limit, round(agreed, 4), limit, None, told, source)


def _alone(who: str, more: Surplus, sizes: Sizes) -> str:
    if not more.voxels:
        return ""
    reach = f", up to {more.reach_mm:.0f} mm beyond the other" if more.reach_mm is not None else ""
    side = "" if not more.side else f", {more.side}" if more.side == "all around" else f", mostly {more.side}"
    return f" {who} {sizes.say(more.voxels)} alone{reach}{side}."


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
