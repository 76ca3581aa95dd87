"""The toys of `desk_toy` beside engines of the user's, loaded as the real loader loads them."""

from pathlib import Path
from typing import Any

import desk_toy

from ostensor.models.external import shelf
from ostensor.models.external.card import card_of
from ostensor.models.external.predictor import load as load_engine
from ostensor.models.interface import Running


def load(name: str, *, device: str, threads: int | None) -> Any:
    if any(card.name == name for card in desk_toy.CARDS):
        return desk_toy.load(name, device=device, threads=threads)
    card = card_of(shelf.engine_of(name))
    return load_engine(card, Path(card.weights_file), Running(device=device, threads=threads))
