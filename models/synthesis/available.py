"""What is known of a synthesis network before it is loaded. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from ..card import Card
from .conditions import ConditionPlan
from .scales import Made

TASKS = ("synthesize", "translate")
FOLLOWS = 0.8  # share of the real images' mask Dice that synthetic ones must keep; our choice


@dataclass(frozen=True)
class SynthesisNetwork:
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


def of_card(card: Card, folder: Path) -> SynthesisNetwork:
    """The network a card means, with what its run left beside the weights."""
    facts = card.facts
    return SynthesisNetwork(
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
