"""The toys of `desk_toy`, and three more that look for the same: one moves its masks, one was never measured, one is broken."""

from collections.abc import Sequence
from dataclasses import replace

import desk_toy
import numpy as np

from ostensor.imaging.errors import Failed, Unavailable
from ostensor.models.card import Measured
from ostensor.models.interface import Decoded

LESS = {name: Measured(0.85, 0.7, 0.9, 0.1, 5) for name in desk_toy.VALUES}
CARDS = (
    *desk_toy.CARDS,
    desk_toy.card("toy-moved", claimed=("liver", "spleen", "right kidney"), measured=LESS, sha256="3" * 64),
    desk_toy.card("toy-outside", claimed=("liver", "left kidney"), measured={}, sha256="4" * 64, licence="CC BY-NC"),
)
BROKEN = desk_toy.card("toy-broken", claimed=("liver",), measured={}, sha256="5" * 64)
CRASHING = desk_toy.card("toy-crashing", claimed=("liver",), measured={}, sha256="6" * 64)


class Moved(desk_toy.Toy):
    """One voxel to the patient's left of the truth; sees no spleen."""

    def __init__(self) -> None:
        self.card = CARDS[-2]

    def decode(self, features: desk_toy.Seen, structures: Sequence[str]) -> list[Decoded]:
        found = []
        for one in super().decode(features, structures):
            array = np.zeros_like(one.array) if one.structure == "spleen" else np.roll(one.array, 1, axis=0)
            sure = 0.9 if array.any() else 0.0
            found.append(replace(one, array=array, confidence=sure, peak=sure or 0.03))
        return found


class Outside(desk_toy.Toy):
    """The liver as `Moved` has it and one slice more; the left kidney in the wrong place."""

    def __init__(self) -> None:
        self.card = CARDS[-1]

    def decode(self, features: desk_toy.Seen, structures: Sequence[str]) -> list[Decoded]:
        found = []
        for one in super().decode(features, structures):
            array = np.roll(one.array, 1, axis=0)
            array = array | np.roll(array, 1, axis=2) if one.structure == "liver" else np.roll(array, 20, axis=1)
            found.append(replace(one, array=array))
        return found


def load(name: str, *, device: str, threads: int | None) -> desk_toy.Toy:
    if name == "toy-broken":
        raise Unavailable("toy-broken has lost its weights. Import them again.")
    if name == "toy-crashing":
        raise Failed("toy-crashing ended in the middle of its work.")
    return {"toy-moved": Moved, "toy-outside": Outside}.get(name, lambda: desk_toy.Toy(name))()
