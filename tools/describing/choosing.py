"""Who looks for what a sentence describes, and why."""

from __future__ import annotations

from dataclasses import dataclass

from ...imaging.errors import BadCall, Unavailable
from ...models import catalogue
from ...models.card import Card
from ...retrieval.descriptions.description import Description
from ..desk.desk import allowed_use
from ..segmenting.able import extent_mm, usable
from .candidates import candidates
from .finding import Finder, Found, Nothing
from .referring import refer, untaught

OURS = ("sat", "flans", "lsms")


@dataclass(frozen=True)
class Choice:
    """The engine that is asked.

    Attributes:
        reason: why this one, one or two sentences.
        card: of a network that reads sentences; None for "sat".
    """

    engine: str
    reason: str
    card: Card | None = None


def choose(finder: Finder, description: Description, asked: str) -> Choice:
    """The engine the caller named, or the one that can answer.

    Raises:
        BadCall: no such network, or it does not take this kind of image.
        Unavailable: its weights are missing or may not be used for this purpose.
    """
    if asked == "sat":
        return Choice("sat", "Asked for: named structures and areas in them, claims computed on masks.")
    if asked in ("flans", "lsms"):
        return Choice(asked, "Asked for.", _ready(finder, asked))
    if asked != "auto":
        return Choice(asked, "Asked for.", _reader(finder, asked))
    tried: list[str] = []
    for preferred in (card for card in readers() if card.is_preferred("*")):
        try:
            return Choice(preferred.name, "The user prefers it for whatever it reads.", _reader(finder, preferred.name))
        except (BadCall, Unavailable) as error:  # not for this image, slice or purpose; others may be
            tried.append(str(error))
    known = _known(finder, description)
    if known:
        return Choice("sat", f"A model here outlines {known}; claims were computed on masks.")
    for name in ("lsms", "flans") if description.kind == "region" else ("flans", "lsms"):
        try:
            card = _ready(finder, name)
        except (BadCall, Unavailable) as error:
            tried.append(str(error))
            continue
        unknown = untaught(card, finder, description)
        if unknown:
            tried.append(f"'{card.name}' was never taught the {unknown}.")
            continue
        return Choice(name, f"No model here outlines what is named; '{name}' reads the sentence itself.", card)
    for card in (one for one in readers() if not one.is_preferred("*")):
        try:
            return Choice(
                card.name,
                f"No other network here can; '{card.name}' is an engine of the user's that reads text.",
                _reader(finder, card.name),
            )
        except (BadCall, Unavailable) as error:
            tried.append(str(error))
    return Choice("sat", f"No network that reads sentences can help: {' '.join(tried)}"[:600])


def find(finder: Finder, description: Description, choice: Choice) -> list[Found] | Nothing:
    """Candidates from the chosen engine."""
    if choice.card is None:
        return candidates(finder, description)
    return refer(finder, description, choice.card)


def _known(finder: Finder, description: Description) -> str:
    """What of the target a model for named structures knows; "" when nothing."""
    if description.kind == "any":
        pool = finder.pool()
        return f"{len(pool)} structures of this scan" if pool else ""
    hosts = [one.structure for c in description.claims if c.kind == "relation" and c.value == "in" for one in c.of]
    name = description.structure or (hosts[0] if hosts else "")
    if not name:
        return "the structures areas are looked for in" if finder.pool() else ""
    wanted = [one for one in (name, _without_last(name)) if one and finder.desk.table.get(one) is not None]
    able = (one for one in wanted if any(row.verdict != "unsupported" for row in finder.rows(one)))
    return next((f"the {one}" for one in able), "")


def _without_last(name: str) -> str:
    """ "liver tumour" -> "liver"."""
    return name.rpartition(" ")[0]


def readers() -> list[Card]:
    """Engines of the user's that read text."""
    return [card for card in catalogue.segmenters() if card.fidelity == "external" and card.open_text and card.is_ready]


def _reader(finder: Finder, name: str) -> Card:
    """An engine of the user's that reads text and takes the image."""
    if name not in {card.name for card in readers()}:
        others = "".join(f", '{card.name}'" for card in readers())
        raise BadCall(
            f"'model' is '{name[:60]}', which does not read sentences. Use 'auto', 'sat', 'flans', 'lsms'{others}."
        )
    if finder.slice_index is not None:
        raise BadCall(f"'{name}' looks at whole scans. Leave scope and slice out.")
    return usable(finder.desk, name, finder.desk.store.image(finder.image_id))


def _ready(finder: Finder, name: str) -> Card:
    image = finder.desk.store.image(finder.image_id)
    cards = {entry.name: entry for entry in catalogue.catalogue() if entry.name in (name, f"{name}-mini")}
    card = next((cards[key] for key in (name, f"{name}-mini") if key in cards and cards[key].is_ready), None)
    if card is None:
        raise Unavailable(
            f"The weights of '{name}' are not here. Train them with `ostensor fit {name}` or bring the published ones "
            f"with `ostensor models import {name}`."
        )
    if card.purpose == "research-only" and allowed_use(finder.desk) == "any":
        raise Unavailable(
            f"The weights of '{name}' are for research only ({card.licence}), but this server runs with purpose "
            "'commercial'."
        )
    dims = 2 if image.grid.is_2d else 3
    if dims not in card.dimensions and not (2 in card.dimensions and finder.slice_index is not None):
        raise BadCall(f"'{name}' takes single slices. Call again with scope='slice' and a slice.")
    if image.modality not in ("unknown", *card.modalities):
        raise BadCall(
            f"'{name}' takes {', '.join(card.modalities)} images; this one is {image.modality}. Use model='auto'."
        )
    extent = extent_mm(image)
    if not card.takes_extent(extent):
        raise BadCall(f"'{name}' does not take scans of {extent:.0f} mm. {card.notes}")
    return card
