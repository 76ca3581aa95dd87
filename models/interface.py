"""What every segmenting model offers: encode a scan once, decode as many words as you like.

Torch-free, so that the server may name these types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..imaging.volume import BoolArray, Volume
from .card import Card

Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1."""

CONFIDENCE = "mean sigmoid inside the mask"


class Cancelled(Exception):
    """The caller asked to stop; nothing is wrong."""


class Features(Protocol):
    """A scan as a model sees it; opaque, and good for any number of queries."""

    @property
    def nbytes(self) -> int:
        """Memory it holds, for the cache's budget."""


@dataclass(frozen=True)
class Decoded:
    """The answer to one word.

    Attributes:
        structure: as asked.
        array: boolean on the scan's own grid.
        confidence: mean sigmoid inside the mask, 0 when the mask is empty.
        peak: greatest sigmoid anywhere in the scan; high with an empty mask never happens,
            low with an empty mask means clearly absent.
    """

    structure: str
    array: BoolArray
    confidence: float
    peak: float


class Predictor(Protocol):
    """A loaded model."""

    card: Card
    engine: str

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Features:
        """The expensive step, once per scan.

        Raises:
            BadCall: the scan is not of the kind the model takes.
            Cancelled: `cancelled` answered True between two windows.
        """

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """The cheap step: one mask per structure, each independent of the others.

        Raises:
            BadCall: the model was not taught one of them.
        """
