"""Who draws: the model that is asked, and what comes back from the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...imaging.errors import BadCall, Unavailable
from ...models import catalogue
from ...models.card import Card
from ...models.interface import NotUnderstood
from ...models.memory import request_mb
from ...models.promptable.seeds import CARD as SEEDS_CARD
from ...models.promptable.steps import SEEDS, Bits, Step
from ...store.records import ImageRecord
from ...workers.local import Segmented
from ...workers.protocol import PromptRequest
from ..desk.desk import Desk
from ..desk.job import Job
from ..segmenting.able import NEEDS_HU, reads_as_hu, taking


@dataclass(frozen=True)
class Sketched:
    """What a model drew; `notes` also say which models could not be asked."""

    card: Card
    found: Segmented
    notes: tuple[str, ...]


def drawers(desk: Desk, image: ImageRecord, model: str) -> tuple[Card, ...]:
    """The models to ask, best first: the named one, or for 'auto' those the user prefers, networks of volumes, networks of
    slices, and in the end grey values alone.

    Raises:
        BadCall: no such model, or it does not draw from marks, or not in such an image.
        Unavailable: its weights are missing or may not be used.
    """
    if model == SEEDS:
        return (SEEDS_CARD,)
    if model != "auto":
        card = catalogue.card(model)
        if card.task not in ("refine", "prompt"):
            raise BadCall(
                f"'{model}' does not draw from marks. Use model='auto', '{SEEDS}', or one that list_models shows for task 'refine'."
            )
        return (taking(desk, card, image),)
    fitting = [card for card in catalogue.catalogue() if card.task in ("refine", "prompt") and _fits(desk, card, image)]
    order = sorted(fitting, key=lambda card: (not card.is_preferred("*"), 2 in card.dimensions, card.memory_mb))
    return (*order, SEEDS_CARD)


def _fits(desk: Desk, card: Card, image: ImageRecord) -> bool:
    if not card.is_ready or (card.spacing_mm is not None and not image.grid.spacing_known):
        return False
    if card.intensity == NEEDS_HU and not reads_as_hu(desk, image):
        return False
    try:
        taking(desk, card, image)
    except (BadCall, Unavailable):
        return False
    return True


def sketch(
    job: Job, image: ImageRecord, cards: Sequence[Card], start: Bits | None, steps: tuple[Step, ...], replay: str = ""
) -> Sketched:
    """What the first model draws that understands the marks and can be asked.

    Args:
        replay: as of `PromptRequest`.

    Raises:
        BadCall, Unavailable, Failed: as the last one does.
    """
    passed: list[str] = []
    for number, card in enumerate(cards):
        request = PromptRequest(
            request_id=job.id,
            array_path=str(job.desk.store.array_path(image.image_id)),
            grid=image.grid,
            modality=image.modality,
            synthetic=image.synthetic,
            image_key=image.content_hash,
            model=card.name,
            structures=(),
            is_batch=job.is_batch,
            start=start,
            steps=steps,
            replay=replay,
        )
        try:
            found = job.desk.workers.run(
                request,
                on_progress=job.report,
                cancelled=job.cancelled,
                memory_mb=request_mb(card, image.grid),
            )
        except (NotUnderstood, Unavailable) as error:
            if number == len(cards) - 1:
                raise
            passed.append(f"'{card.name}' was passed over: {error}")
            continue
        return Sketched(card, found, tuple(passed))
    raise AssertionError("there is always one to ask")
