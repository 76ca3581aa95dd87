"""Networks for made bodies: each answers a word with the body of that name, as surely as the bundled one does on good scans.

They stand in for the bundled networks under their cards and calibrations, so that only planning and answering are tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import numpy as np

from ...imaging.volume import Volume
from ...models import catalogue
from ...models.card import Card
from ...models.interface import Decoded
from ...retrieval.anatomy.structures import StructureTable
from .bodies import ABDOMEN, EMPTY, FULL, GROWN, HEAD, HIPPOCAMPUS, THIGH, Bodies, mask_of

FACTORY = "ostensor.benchmarks.questions.networks:load"
SIGNS = (0.97, 0.98, 1.0, 2.4, 0.1, 1.0)  # of a good mask, in the order of `models.inference.calibration.SIGNS`
MORE = {
    "sat-mini-abdomen-2d": ("right adrenal gland", "adrenal glands")
}  # asked for, and claimed by no bundled network


@dataclass(frozen=True)
class Seen:
    """The scan as it is, and the masks that were asked for so far."""

    volume: Volume
    bodies: Bodies
    masks: dict[str, Decoded] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of its voxels."""
        return int(np.asarray(self.volume.array).nbytes)


class Knowing:
    """A network that knows its bodies."""

    engine = "made bodies"

    def __init__(self, name: str) -> None:
        """Take the card of the bundled network of this name."""
        self.card = next(card for card in catalogue.catalogue() if card.name == name)

    def encode(self, volume: Volume, *, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Seen:
        """The scan."""
        del progress, cancelled
        return Seen(volume, _bodies_in(volume))

    def decode(self, features: Seen, structures: Sequence[str]) -> list[Decoded]:
        """One mask per word, empty where the scan holds no such body."""
        bodies, table = features.bodies, StructureTable.bundled()
        for name in structures:
            if name not in features.masks:
                parts = (name,) if name in bodies else table.expand(name)
                features.masks[name] = _decoded(name, parts, bodies, features.volume)
        return [features.masks[name] for name in structures]


def _decoded(name: str, parts: Sequence[str], bodies: Bodies, volume: Volume) -> Decoded:
    masks = [mask_of(part, bodies, volume.grid) for part in parts if part in bodies]
    mask = np.logical_or.reduce(masks) if masks else np.zeros(volume.grid.shape, bool)
    if not mask.any():
        return Decoded(name, mask, 0.0, 0.01)
    return Decoded(name, mask, 0.97, 0.99, signs=SIGNS)


def _bodies_in(volume: Volume) -> Bodies:
    """Which recipe a scan was drawn from, told by its grey values where two phases differ."""
    if volume.modality == "ct":
        return GROWN if _shows(volume, GROWN, ABDOMEN, "spleen", 80) else ABDOMEN
    if volume.modality == "pet":
        return THIGH
    if volume.grid.spacing_mm[2] == 1.0:
        return HIPPOCAMPUS
    if volume.grid.spacing_mm[2] == 2.0:
        return HEAD
    return FULL if _shows(volume, FULL, EMPTY, "left ventricle", 700) else EMPTY


def _shows(volume: Volume, larger: Bodies, smaller: Bodies, name: str, above: float) -> bool:
    rim = mask_of(name, larger, volume.grid) & ~mask_of(name, smaller, volume.grid)
    return float(np.median(np.asarray(volume.array)[rim])) > above


def load(name: str, *, device: str, threads: int | None) -> Knowing:
    """The network of a name, as the worker asks for it."""
    del device, threads
    return Knowing(name)


def knowing_catalogue() -> AbstractContextManager[None]:
    """The catalogue with cards that claim every structure of the bodies, while the block runs."""
    return catalogue.replace_entries(tuple(_claiming(card) for card in catalogue.catalogue()))


def _claiming(card: Card) -> Card:
    more = MORE.get(card.name, ())
    claimed = (*card.claimed, *(name for name in more if name not in card.claimed))
    return replace(card, claimed=claimed, vocabulary=(*card.vocabulary, *(n for n in more if n not in card.vocabulary)))
