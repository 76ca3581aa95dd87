"""The synthesis networks that are here, and which of them to ask. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from ...imaging.errors import BadCall
from ..card import Card
from ..catalogue import WEIGHTS_FOLDER, catalogue
from .conditions import ConditionPlan
from .scales import Made

TASKS = ("synthesize", "translate")
FOLLOWS = 0.8  # share of the real images' mask Dice that synthetic ones must keep; our choice


@dataclass(frozen=True)
class Painter:
    """A synthesis network.

    Attributes:
        task: "synthesize" (which inpaints, too) or "translate" (both ways).
        makes: modalities it can make.
        spacing_mm, longest, canonical: the grid it works on, as in training.
        facts: the whole JSON beside the weights.
    """

    name: str
    title: str
    task: Literal["synthesize", "translate"]
    makes: tuple[Made, ...]
    plan: ConditionPlan
    spacing_mm: float
    longest: int | None
    canonical: bool
    licence: str
    purpose: str
    sha256: str
    path: Path
    facts: Mapping[str, Any]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Structures it was taught."""
        return self.plan.vocabulary

    @property
    def follows_masks(self) -> bool:
        """Whether a segmenter found the masks again in its images almost as in real ones (held-out, as on its card)."""
        found = {one["maker"]: fmean(one["dice"].values()) for one in self.facts["measured"] if one["dice"]}
        return bool(found) and found["diffusion"] >= FOLLOWS * found["real image"]


def painters(folder: Path = WEIGHTS_FOLDER) -> Mapping[str, Painter]:
    """Every painter whose weights are here, by name."""
    return {card.name: of_card(card, folder) for card in catalogue(folder) if card.task in TASKS and card.is_ready}


def painter(name: str) -> Painter:
    """The painter of this name.

    Raises:
        BadCall: there is none.
    """
    known = painters()
    if name not in known:
        raise BadCall(f"Unknown synthesis model '{name}'. Known: {', '.join(('classical', *known))}.")
    return known[name]


def best_painter(structures: set[str], modality: Made, *, purpose: str) -> Painter | None:
    """The painter of this modality that was taught most of the structures; None when none was taught half.

    One whose images do not follow their masks is only used when it is asked for by name.
    """
    fitting = [
        one
        for one in painters().values()
        if one.task == "synthesize"
        and one.follows_masks
        and modality in one.makes
        and (purpose == "research" or one.purpose == "any")
    ]
    best = max(fitting, key=lambda one: len(structures & set(one.vocabulary)), default=None)
    return best if best and 2 * len(structures & set(best.vocabulary)) >= len(structures) else None


def translator(*, purpose: str) -> Painter | None:
    """The bundled CT and MR translator."""
    return next(
        (
            one
            for one in painters().values()
            if one.task == "translate" and (purpose == "research" or one.purpose == "any")
        ),
        None,
    )


def of_card(card: Card, folder: Path = WEIGHTS_FOLDER) -> Painter:
    """The network a card means, with what its run left beside the weights."""
    facts = card.facts
    return Painter(
        name=card.name,
        title=card.title,
        task="translate" if card.task == "translate" else "synthesize",
        makes=tuple(facts["makes"]),
        plan=ConditionPlan.from_json(facts["plan"]),
        spacing_mm=float(facts["spacing_mm"]),
        longest=facts["longest"],
        canonical=bool(facts["canonical"]),
        licence=card.licence,
        purpose=card.purpose,
        sha256=card.sha256,
        path=folder / card.weights_file,
        facts=facts,
    )
