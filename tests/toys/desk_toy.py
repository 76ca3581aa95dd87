"""Predictors for the tools' tests: a structure is a grey value, and a bright scan takes ten seconds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostensor.imaging.volume import Volume
from ostensor.models.card import Card, Measured
from ostensor.models.interface import Cancelled, Decoded

VALUES = {"liver": 100, "spleen": 130, "left kidney": 150, "right kidney": 170, "urinary bladder": 500, "heart": 600}
SLOW = 3000  # a scan that holds this value is looked at for ten seconds


def card(name: str, **facts: Any) -> Card:
    return Card(**{
        "name": name, "title": "toy", "system": "toy", "paper": "", "task": "segment", "modalities": ("ct",),
        "dimensions": (3,), "memory_mb": 100, "licence": "CC0", "purpose": "any", "weights": "bundled",
        "weights_file": "", "fidelity": "library", "text_encoder": "", "intensity": "ct-hu", "region": (),
        "vocabulary": tuple(VALUES), "claimed": tuple(VALUES)[:5], "sha256": "0" * 64,
        "measured": {name: Measured(0.9, 0.8, 1.0, 0.1, 5) for name in VALUES},
        "plausible_ml": {"spleen": (0.1, 4.0)}, **facts,
    })  # fmt: skip


CARDS = (
    card("toy-ct"),
    card("toy-heart", claimed=("heart",), purpose="research-only"),
    card("toy-mr", modalities=("mr",), dimensions=(2, 3), claimed=("liver",)),
    card("toy-missing", weights="user-file", sha256="", claimed=(), open_text=True),
)


@dataclass(frozen=True)
class Seen:
    array: np.ndarray

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes)


class Toy:
    engine = "toy"

    def __init__(self, name: str) -> None:
        self.card = next(entry for entry in CARDS if entry.name == name)

    def encode(self, volume: Volume, *, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Any:
        if volume.array.max() == SLOW:
            for window in range(1000):
                if cancelled():
                    raise Cancelled
                progress(window / 1000)
                time.sleep(0.01)
        progress(1.0)
        return Seen(np.array(volume.array))

    def decode(self, features: Seen, structures: Sequence[str]) -> list[Decoded]:
        return [self._one(features, name) for name in structures]

    def _one(self, features: Seen, name: str) -> Decoded:
        mask = np.abs(features.array.astype(float) - VALUES[name]) < 20
        faint = name == "right kidney"
        confidence = (0.5 if faint else 0.9) if mask.any() else 0.0
        return Decoded(name, mask, confidence, confidence or 0.03)


def load(name: str, *, device: str, threads: int | None) -> Toy:
    return Toy(name)
