"""Which part of the body a CT shows, told from everything the bundled networks find in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...imaging.plausibility.levels import PAIRS, Heights, Placed, place_scan
from ...imaging.region import Region
from ...imaging.volume import Mask
from ...models import catalogue
from ...models.card import Card
from ...store.records import ImageRecord
from ...workers.local import Segmented
from ..desk.desk import Desk, allowed_use
from .able import extent_mm

TORSO = {"thorax", "abdomen", "pelvis"}
_HALVES = {half for halves in PAIRS.values() for half in halves}


def landmarks_of(card: Card) -> tuple[str, ...]:
    """Structures of a network whose heights in the body are known; pairs instead of their halves."""
    known = {name for body in Heights.bundled() for name in body.profiles}
    return tuple(name for name in card.claimed if name in known and name not in _HALVES)


def is_of_torso(card: Card) -> bool:
    """Whether a network's findings can place a scan along the trunk."""
    takes = card.weights == "bundled" and "ct" in card.modalities and 3 in card.dimensions
    return takes and bool(TORSO & set(card.region)) and bool(landmarks_of(card))


def placing_cards(desk: Desk, image: ImageRecord) -> tuple[Card, ...]:
    """Networks that may look at this image to place it; none for slices and scans of unknown voxel size."""
    if image.grid.is_2d or not image.grid.spacing_known or image.modality not in ("ct", "unknown"):
        return ()
    allowed = ("any", "research-only") if allowed_use(desk) == "research-only" else ("any",)
    return tuple(
        card
        for card in catalogue.segmenters()
        if is_of_torso(card) and card.purpose in allowed and card.takes_extent(extent_mm(image))
    )


def placed_by(
    desk: Desk, image: ImageRecord, used: Sequence[Card], ask: Callable[[Card, Sequence[str]], Segmented]
) -> Placed | None:
    """Where the scan lies in the body; None when no network of the trunk is used or the scan cannot be placed.

    Args:
        used: networks the request needs anyway.
        ask: looks for names with a network.
    """
    if not any(is_of_torso(card) for card in used):
        return None
    found = [
        (mask.structure, Region.of(Mask(mask.array, image.grid)))
        for card in placing_cards(desk, image)
        for mask in ask(card, landmarks_of(card)).masks
    ]
    return place_scan(found) if found else None


LEAST_COMPANY = 8  # structures with a known size that a network of the head must claim to be judged by them


def company_of(card: Card, image: ImageRecord, ask: Callable[[Card, Sequence[str]], Segmented]) -> float | None:
    """Share of a head network's structures that come out in a plausible size; None for other networks.

    In a head most do; in a scan of another part nearly none does, whatever the network marks.
    """
    known = [name for name in card.claimed if name in card.plausible_ml]
    if card.region != ("head",) or len(known) < LEAST_COMPANY or not image.grid.spacing_known:
        return None
    fine = 0
    for mask in ask(card, known).masks:
        low, high = card.plausible_ml[mask.structure]
        fine += low / ROOM <= float(mask.array.sum()) * image.grid.voxel_ml <= high * ROOM
    return fine / len(known)


ROOM = 1.5  # one head's sizes, widened; our choice
