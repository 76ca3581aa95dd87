"""The toys of `desk_toy`, and one more that knows how good it is."""

from collections.abc import Sequence
from dataclasses import replace

import desk_toy

from ostensor.models.interface import Decoded

SIGNS = (1.0, 1.0, 1.0, 3.0, 0.0, 1.0)
CARDS = (
    *desk_toy.CARDS,
    desk_toy.card("toy-second", memory_mb=200, claimed=("liver", "spleen", "right kidney"), sha256="2" * 64),
)


class Second(desk_toy.Toy):
    def __init__(self) -> None:
        self.card = CARDS[-1]

    def decode(self, features: desk_toy.Seen, structures: Sequence[str]) -> list[Decoded]:
        found = super().decode(features, structures)
        return [replace(one, signs=SIGNS if one.array.any() else ()) for one in found]


def load(name: str, *, device: str, threads: int | None) -> desk_toy.Toy:
    return Second() if name == "toy-second" else desk_toy.load(name, device=device, threads=threads)
