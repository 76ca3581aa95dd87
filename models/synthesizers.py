"""The synthesis networks that are here, and which of them to ask. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..imaging.errors import BadCall
from .catalogue import WEIGHTS_FOLDER, catalogue
from .synthesis.available import TASKS, SynthesisNetwork, of_card
from .synthesis.scales import Made


def synthesis_networks(folder: Path = WEIGHTS_FOLDER) -> Mapping[str, SynthesisNetwork]:
    """Every synthesis network whose weights are here, by name."""
    return {card.name: of_card(card, folder) for card in catalogue(folder) if card.task in TASKS and card.is_ready}


def synthesis_network(name: str) -> SynthesisNetwork:
    """The synthesis network of this name.

    Raises:
        BadCall: there is none.
    """
    known = synthesis_networks()
    if name not in known:
        raise BadCall(f"Unknown synthesis model '{name}'. Known: {', '.join(('classical', *known))}.")
    return known[name]


def best_synthesis_network(structures: set[str], modality: Made, *, purpose: str) -> SynthesisNetwork | None:
    """The synthesis network of this modality that was taught most of the structures; None when none was taught half.

    One whose images do not follow their masks is only used when it is asked for by name.
    """
    fitting = [
        one
        for one in synthesis_networks().values()
        if one.task == "synthesize"
        and one.follows_masks
        and modality in one.makes
        and (purpose == "research" or one.purpose == "any")
    ]
    best = max(fitting, key=lambda one: len(structures & set(one.vocabulary)), default=None)
    return best if best and 2 * len(structures & set(best.vocabulary)) >= len(structures) else None


def translator(*, purpose: str) -> SynthesisNetwork | None:
    """The bundled CT and MR translator."""
    return next(
        (
            one
            for one in synthesis_networks().values()
            if one.task == "translate" and (purpose == "research" or one.purpose == "any")
        ),
        None,
    )
