"""Which model looks for which structure, and why nobody does when nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...imaging.errors import BadCall, Unavailable
from ...imaging.hounsfield import bears_hu
from ...imaging.masks import measures
from ...models import catalogue
from ...models.card import Card
from ...retrieval.anatomy.lesions import is_generic_lesion, lesion_rows
from ...retrieval.anatomy.structures import Structure, UnknownStructure
from ...store.records import ImageRecord
from ..desk.desk import Desk, allowed_use
from ..desk.settings import MAX_STRUCTURES

AUTOMATIC = "auto"
EVERY = "all"  # instead of a model's name: whoever knows a structure is asked
NEEDS_HU = "ct-hu"  # intensity of cards whose networks read Hounsfield units
MAX_WORDS = 80  # of an unknown word that is repeated in the answer


@dataclass(frozen=True)
class Wish:
    """A structure, the words that asked for it, and the model that will look (None: nobody can).

    Attributes:
        nearest: names the table has, where it does not know the words.
        others: further models that know the structure, the best measured first; None where they are not to be asked.
    """

    asked_as: str
    structure: str
    card: Card | None
    reason: str
    nearest: tuple[str, ...] = ()
    others: tuple[Card, ...] | None = None


def plan(desk: Desk, image_id: str, structures: Sequence[str], model: str, *, context: str = "") -> list[Wish]:
    """Which model looks for which structure; a model of open text also takes words the table does not know.

    Another word that the table does not know is a wish nobody can fulfil, with the nearest names; it sinks no other.

    Args:
        context: sentence on modality and region; only for a chosen model that takes one.

    Raises:
        BadCall: nothing asked, too much asked, or a model that cannot take the image.
        Unavailable: the model's weights are missing or may not be used for this purpose.
    """
    image = desk.store.image(image_id)
    if not structures:
        raise BadCall(
            "The list of structures is empty. Name at least one, e.g. ['liver']. find_structures knows the names."
        )
    if len(structures) > MAX_STRUCTURES:
        raise BadCall(
            f"{len(structures)} structures were asked for. At most {MAX_STRUCTURES} fit in one call. Split the list."
        )
    chosen = None if model in (AUTOMATIC, EVERY) else _usable(desk, model, image)
    if context and not (chosen is not None and chosen.takes_context):
        able = ", ".join(card.name for card in catalogue.segmenters() if card.takes_context)
        raise BadCall(f"'{model}' takes no context. Leave it out, or choose model: {able}.")
    wishes: dict[str, Wish] = {}
    for asked in structures:
        if chosen is not None and chosen.takes_context:
            words = " ".join(asked.split())
            if not words:
                raise BadCall("One of the structures is empty. Give a name or a sentence for each.")
            wishes.setdefault(words, Wish(asked, words, chosen, ""))
            continue
        try:
            row = desk.table.resolve(asked)
        except UnknownStructure as error:
            words = " ".join(asked.split())[:MAX_WORDS] or "(nothing)"
            found = _lesions(desk, asked, chosen, image) if is_generic_lesion(asked) else ()
            for wish in found or (Wish(asked, words, None, str(error), error.nearest),):
                wishes.setdefault(wish.structure, wish)
            continue
        for wish in _wishes(desk, asked, row, chosen, image):
            wishes.setdefault(wish.structure, wish)
    if model == EVERY:
        return [replace(one, others=able_models(desk, one.structure, image)[1:]) for one in wishes.values()]
    return list(wishes.values())


def extent_mm(image: ImageRecord) -> float | None:
    """Longest side of the scan's field of view; None without a voxel size."""
    return max(measures.covered_mm(image.grid)) if image.grid.spacing_known else None


def _usable(desk: Desk, model: str, image: ImageRecord) -> Card:
    card = catalogue.card(model)
    if card.task not in ("segment", "refer"):
        raise BadCall(f"'{model}' makes images; it does not segment. Use model='auto', or one that list_models shows.")
    dims = 2 if image.grid.is_2d else 3
    if dims not in card.dimensions:
        kind = "a 2-D image (one slice)" if dims == 2 else "a 3-D scan"
        raise BadCall(
            f"'{model}' takes {'3-D scans' if dims == 2 else '2-D images'}, but {image.image_id} is {kind}. Use model='auto'."
        )
    if image.modality not in ("unknown", *card.modalities):
        raise BadCall(
            f"'{model}' takes {', '.join(card.modalities)} images, but {image.image_id} is {image.modality}. Use model='auto'."
        )
    extent = extent_mm(image)
    if not card.takes_extent(extent):
        low, high = card.field_mm
        raise BadCall(
            f"'{model}' takes scans of {low:g} to {high:g} mm, but {image.image_id} is {extent:.0f} mm long. {card.notes}"
        )
    if card.purpose == "research-only" and allowed_use(desk) == "any":
        raise Unavailable(
            f"The weights of '{model}' are for research only ({card.licence}), but this server runs with purpose 'commercial'."
        )
    if not card.is_ready:
        how = (
            "are not here; list_models shows which are"
            if card.weights == "none"
            else f"must be imported with `ostensor models import {model}`"
        )
        raise Unavailable(f"The weights of '{model}' {how}.")
    return card


def _wishes(desk: Desk, asked: str, row: Structure, chosen: Card | None, image: ImageRecord) -> list[Wish]:
    """The structure itself if a model knows it, else its parts, else nobody can."""
    for names in ((row.name,), desk.table.expand(row.name)):
        found = [(name, _model_for(desk, name, chosen, image)) for name in names]
        if any(card is not None for _name, card in found):
            return [
                Wish(asked, name, card, "" if card else _why_not(desk, name, chosen, image)) for name, card in found
            ]
    return [Wish(asked, row.name, None, _why_not(desk, row.name, chosen, image))]


def _lesions(desk: Desk, asked: str, chosen: Card | None, image: ImageRecord) -> tuple[Wish, ...]:
    """Every lesion that a model here looks for on this image; words that say no more than "tumour" mean them all."""
    found = tuple(Wish(asked, name, card, "") for name, card in _lesion_models(desk, chosen, image))
    if found:
        return found
    claimed = {name for card in catalogue.segmenters() if card.is_ready for name in card.claimed}
    known = [row.name for row in lesion_rows(desk.table) if row.name in claimed]
    why = f"No model here looks for lesions on this kind of image ({image.modality})."
    told = f" On other images: {', '.join(known)}." if known else ""
    return (
        Wish(
            asked,
            asked,
            None,
            f"{why}{told} Say which lesion, or call segment_described with the organ it lies in.",
            tuple(known),
        ),
    )


def lesions_here(desk: Desk, image_id: str) -> tuple[str, ...]:
    """Lesions that a model here looks for on this image."""
    return tuple(name for name, _card in _lesion_models(desk, None, desk.store.image(image_id)))


def _lesion_models(desk: Desk, chosen: Card | None, image: ImageRecord) -> list[tuple[str, Card]]:
    """Lesions that a model looks for on an image, and the model."""
    able = [(row.name, _model_for(desk, row.name, chosen, image)) for row in lesion_rows(desk.table)]
    return [(name, card) for name, card in able if card is not None]


def _model_for(desk: Desk, name: str, chosen: Card | None, image: ImageRecord) -> Card | None:
    if chosen is not None:
        return chosen if chosen.open_text or name in chosen.claimed else None
    models = able_models(desk, name, image)
    return models[0] if models else None


def able_models(desk: Desk, name: str, image: ImageRecord) -> tuple[Card, ...]:
    """Models that look for a structure on an image, the best measured first."""
    dims = 2 if image.grid.is_2d else 3
    models = catalogue.models_for(name, image.modality, dims, extent_mm=extent_mm(image), purpose=allowed_use(desk))
    models = tuple(card for card in models if image.grid.spacing_known or card.spacing_mm is None)
    if any(card.intensity == NEEDS_HU for card in models) and not _bears_hu(desk, image):
        models = tuple(card for card in models if card.intensity != NEEDS_HU)
    return models


def _bears_hu(desk: Desk, image: ImageRecord) -> bool:
    """Whether models that read Hounsfield units take the scan; its voxels are looked at once."""
    known = desk.seen.bears_hu(image.image_id)
    if known is None:
        known = bears_hu(desk.store.volume(image.image_id))
        desk.seen.keep_bears_hu(image.image_id, known)
    return known


def _why_not(desk: Desk, name: str, chosen: Card | None, image: ImageRecord) -> str:
    if chosen is not None:
        return f"'{chosen.name}' does not claim the {name}; it knows: {', '.join(chosen.claimed[:12])}."
    able = [card for card in catalogue.segmenters() if card.is_ready and name in card.claimed]
    if not able:
        return f"No model here segments the {name}. list_models shows what can be segmented."
    if all(card.intensity == NEEDS_HU for card in able) and not _bears_hu(desk, image):
        return f"The values of this scan are no Hounsfield units, which models of the {name} read. Open the CT as it was written."
    needs = "; ".join(
        f"{card.name} takes {'/'.join(card.modalities)}, {'/'.join(f'{d}-D' for d in card.dimensions)}, {card.purpose}"
        + (f", {card.field_mm[0]:g} to {card.field_mm[1]:g} mm long" if card.field_mm[0] else "")
        for card in able[:2]
    )
    kind = "2-D" if image.grid.is_2d else "3-D"
    extent = extent_mm(image)
    size = f" of {extent:.0f} mm" if extent is not None else ""
    return f"This is a {kind} {image.modality} image{size}; for the {name}: {needs}."
