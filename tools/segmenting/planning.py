"""Which model looks for which structure, and why nobody does when nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...imaging.errors import BadCall
from ...models import catalogue
from ...models.card import Card
from ...retrieval.anatomy.lesions import is_generic_lesion, lesion_rows
from ...retrieval.anatomy.structures import Structure, UnknownStructure
from ...store.records import ImageRecord
from ..desk.desk import Desk
from ..desk.settings import MAX_STRUCTURES
from .able import able_models, check_channels, usable, why_chosen, why_nobody

AUTOMATIC = "auto"
EVERY = "all"  # instead of a model's name: whoever knows a structure is asked
MAX_WORDS = 80  # of an unknown word that is repeated in the answer


@dataclass(frozen=True)
class Wish:
    """A structure, the words that asked for it, and the model that will look (None: nobody can).

    Attributes:
        nearest: names the table has, where it does not know the words.
        choice: why this model and no other, where an engine of the user's could have looked too; else "".
        others: further models that know the structure, the best measured first; None where they are not to be asked.
    """

    asked_as: str
    structure: str
    card: Card | None
    reason: str
    nearest: tuple[str, ...] = ()
    choice: str = ""
    others: tuple[Card, ...] | None = None


def plan(
    desk: Desk, image_id: str, structures: Sequence[str], model: str, *, context: str = "", channels: Sequence[str] = ()
) -> list[Wish]:
    """Which model looks for which structure; a model of open text also takes words the table does not know.

    Another word that the table does not know is a wish nobody can fulfil, with the nearest names; it sinks no other.

    Args:
        context: sentence on modality and region; only for a chosen model that takes one.
        channels: handles of further images on the image's grid; only for a chosen model of several channels.

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
    chosen = None if model in (AUTOMATIC, EVERY) else usable(desk, model, image)
    if context and not (chosen is not None and chosen.takes_context):
        able = ", ".join(card.name for card in catalogue.segmenters() if card.takes_context)
        raise BadCall(f"'{model}' takes no context. Leave it out, or choose model: {able}.")
    check_channels(desk, image, chosen, channels)
    wishes: dict[str, Wish] = {}
    for asked in structures:
        if chosen is not None and chosen.fidelity == "external" and asked.strip() in chosen.claimed:
            wishes.setdefault(asked.strip(), Wish(asked, asked.strip(), chosen, ""))  # a label of the engine's own
            continue
        if chosen is not None and (chosen.takes_context or (chosen.open_text and chosen.fidelity == "external")):
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


def _wishes(desk: Desk, asked: str, row: Structure, chosen: Card | None, image: ImageRecord) -> list[Wish]:
    """The structure itself if a model knows it, else its parts, else nobody can."""
    for names in ((row.name,), desk.table.expand(row.name)):
        found = [(name, _model_for(desk, name, chosen, image)) for name in names]
        if any(card is not None for _name, card in found):
            return [
                Wish(asked, name, card, "", choice="" if chosen else why_chosen(desk, name, card, image))
                if card
                else Wish(asked, name, card, why_nobody(desk, name, chosen, image))
                for name, card in found
            ]
    return [Wish(asked, row.name, None, why_nobody(desk, row.name, chosen, image))]


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
