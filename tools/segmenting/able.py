"""Which models may look at an image, and why this one or none of them does."""

from __future__ import annotations

from collections.abc import Sequence

from ...imaging.errors import BadCall, Unavailable
from ...imaging.hounsfield import bears_hu
from ...imaging.masks import measures
from ...models import catalogue
from ...models.card import Card
from ...store.records import ImageRecord
from ..desk.desk import Desk, allowed_use

NEEDS_HU = "ct-hu"  # intensity of cards whose networks read Hounsfield units


def extent_mm(image: ImageRecord) -> float | None:
    """Longest side of the scan's field of view; None without a voxel size."""
    return max(measures.covered_mm(image.grid)) if image.grid.spacing_known else None


def usable(desk: Desk, model: str, image: ImageRecord) -> Card:
    """The card of a model that takes an image, for this server's purpose.

    Raises:
        BadCall: no such model, or it does not take the image.
        Unavailable: its weights are missing or may not be used.
    """
    card = catalogue.card(model)
    if card.task in ("refine", "prompt"):
        raise BadCall(
            f"'{model}' draws from clicks, not from names. Use model='auto', or one that list_models shows for task 'segment'."
        )
    if card.task not in ("segment", "refer"):
        raise BadCall(f"'{model}' makes images; it does not segment. Use model='auto', or one that list_models shows.")
    return taking(desk, card, image)


def taking(desk: Desk, card: Card, image: ImageRecord) -> Card:
    """The card, when its model takes an image and may be used here; refusals as of `usable`."""
    model = card.name
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


def check_channels(desk: Desk, image: ImageRecord, chosen: Card | None, channels: Sequence[str]) -> None:
    """Refuse channels nobody takes, too few or many of them, and those on another grid.

    Raises:
        BadCall: one of these.
    """
    if chosen is None or not chosen.channels[1:]:
        if channels:
            raise BadCall(
                "Only engines of several channels take `channels`; choose one as model. list_models tells which."
            )
        return
    if len(channels) != len(chosen.channels) - 1:
        raise BadCall(
            f"'{chosen.name}' takes {len(chosen.channels)} images on one grid: {', '.join(chosen.channels)}. Give the first as "
            f"image_id and the other {len(chosen.channels) - 1} in this order in channels; {len(channels)} came."
        )
    for one in channels:
        if not desk.store.image(one).grid.same_as(image.grid):
            raise BadCall(
                f"'{one}' does not lie on the grid of '{image.image_id}'. Resample it first, then open it again."
            )


def able_models(desk: Desk, name: str, image: ImageRecord) -> tuple[Card, ...]:
    """Models of one channel that look for a structure on an image, in the order `auto` takes them."""
    dims = 2 if image.grid.is_2d else 3
    models = catalogue.models_for(name, image.modality, dims, extent_mm=extent_mm(image), purpose=allowed_use(desk))
    models = tuple(card for card in models if image.grid.spacing_known or card.spacing_mm is None)
    if any(card.intensity == NEEDS_HU for card in models) and not reads_as_hu(desk, image):
        models = tuple(card for card in models if card.intensity != NEEDS_HU)
    return tuple(card for card in models if not card.channels[1:])


def reads_as_hu(desk: Desk, image: ImageRecord) -> bool:
    """Whether models that read Hounsfield units take the scan; its voxels are looked at once."""
    known = desk.seen.bears_hu(image.image_id)
    if known is None:
        known = bears_hu(desk.store.volume(image.image_id))
        desk.seen.keep_bears_hu(image.image_id, known)
    return known


def why_chosen(desk: Desk, name: str, card: Card, image: ImageRecord) -> str:
    """Why `auto` takes a model; "" where no engine of the user's could look."""
    able = able_models(desk, name, image)
    if not any(one.fidelity == "external" for one in able):
        return ""
    if card.is_preferred(name):
        return f"the user prefers '{card.name}' for the {name}"
    if len(able) == 1:
        return f"no other model here looks for the {name} in such scans"
    dice = [
        f"{one.name} {one.measured[name].dice:.2f}" if name in one.measured else f"{one.name} never measured"
        for one in able[:3]
    ]
    return f"best Dice measured by ostensor or here: {', '.join(dice)}"


def why_nobody(desk: Desk, name: str, chosen: Card | None, image: ImageRecord) -> str:
    """Why no model looks for a structure in an image, or the chosen one does not."""
    if chosen is not None:
        return f"'{chosen.name}' does not claim the {name}; it knows: {', '.join(chosen.claimed[:12])}."
    able = [card for card in catalogue.segmenters() if card.is_ready and name in card.claimed]
    if not able:
        return f"No model here segments the {name}. list_models shows what can be segmented."
    if all(card.intensity == NEEDS_HU for card in able) and not reads_as_hu(desk, image):
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
