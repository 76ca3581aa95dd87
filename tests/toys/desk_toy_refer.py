"""A toy that reads sentences: every word that names a grey value marks it, whether it was taught or not."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from desk_toy import CARDS as SEGMENT
from desk_toy import Toy, card

from ostensor.models.interface import Decoded, Pointing, Referred

CARDS = (
    *SEGMENT,
    card("lsms-mini", task="refer", dimensions=(2, 3), claimed=(), vocabulary=("liver", "pancreas"), open_text=True),
)
GREY = {"pancreas": 700, "brain": 800, "blood": 900}


class Reads(Toy):
    """Marks what is named, over the whole scan."""

    def __init__(self, name: str) -> None:
        self.card = next(entry for entry in CARDS if entry.name == name)

    def refer(self, features: Any, sentences: Sequence[str], how: Pointing) -> list[Referred]:
        del how
        found = []
        for text in sentences:
            marked = np.isin(features.array, [grey for word, grey in GREY.items() if word in text])
            sure = 0.9 if marked.any() else 0.0
            found.append(Referred(text, marked, sure, sure or 0.02))
        return found


class Hesitates(Toy):
    """Marks a spleen it hardly believes in."""

    def _one(self, features: Any, name: str) -> Decoded:
        found = super()._one(features, name)
        return dataclasses.replace(found, confidence=0.12) if name == "spleen" and found.array.any() else found


def load(name: str, *, device: str, threads: int | None) -> Toy:
    return Reads(name) if name == "lsms-mini" else Hesitates(name)
