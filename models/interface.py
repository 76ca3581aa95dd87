"""What every segmenting model offers: encode a scan once, decode as many words as you like.

Torch-free, so that the server may name these types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from ..imaging.errors import BadCall
from ..imaging.volume import BoolArray, Volume
from .card import Card

Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1."""

Backend = Literal["auto", "openvino", "torch"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Running:
    """How a network is to be run.

    Attributes:
        device: "cpu" or "cuda".
        threads: of the CPU; None for all.
        backend, precision: "auto" takes the fastest that is right on this machine.
    """

    device: str = "cpu"
    threads: int | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"


class Cancelled(Exception):
    """The caller asked to stop; nothing is wrong."""


class NotUnderstood(BadCall):
    """The model was not taught this way of pointing; another one may be."""


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
        confidence: mean sigmoid inside the mask, 0 when the mask is empty; None where the model tells none.
        peak: greatest sigmoid anywhere in the scan; high with an empty mask never happens,
            low with an empty mask means clearly absent. None where the model tells none.
        signs: what `inference.calibration` makes an expected Dice of; () where the model gives none.
        traces: what `inference.presence` makes a chance of presence of, for empty masks too; () where the model gives none.
    """

    structure: str
    array: BoolArray
    confidence: float | None
    peak: float | None
    signs: tuple[float, ...] = field(default=(), kw_only=True)
    traces: tuple[float, ...] = field(default=(), kw_only=True)


Scope = Literal["slice", "volume"]
Orientation = Literal["auto", "header", "picture", "unknown"]


@dataclass(frozen=True)
class Referred(Decoded):
    """The answer to one sentence; `structure` is the sentence.

    Attributes:
        family: how the sentence points: "anatomy", "position" or "size".
        element: which of the eight symmetries the picture was found under and freed of; None when not looked for.
        notes: what the asker should know, one sentence each.
    """

    family: str = "anatomy"
    element: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pointing:
    """Where and how sentences are to be understood.

    Attributes:
        scope: "slice" answers one slice, "volume" every slice.
        index: of the slice along the file's own head-foot axis; None in a 2-D image.
        orientation: "header" trusts the header's axes; "picture" knows left from right, but the picture may be
            turned; "unknown" may be mirrored, too; "auto" is "header" where the voxel size is known, else "unknown".
    """

    scope: Scope = "slice"
    index: int | None = None
    orientation: Orientation = "auto"


@runtime_checkable
class Refers(Protocol):
    """A model that takes sentences."""

    def refer(self, features: Features, sentences: Sequence[str], how: Pointing) -> list[Referred]:
        """One mask per sentence, each independent of the others.

        Raises:
            BadCall: an empty or very long sentence, a slice that is not there, or wording about the place in a
                picture asked of a whole volume.
        """


@runtime_checkable
class Looks(Protocol):
    """A model that is asked about a scan as a whole, and keeps by itself what it found."""

    card: Card
    engine: str

    def look(
        self,
        volumes: Sequence[Volume],
        key: str,
        structures: Sequence[str],
        *,
        progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> tuple[list[Decoded], bool]:
        """One mask per structure, and whether it had to look again.

        Args:
            volumes: the scan, one for each channel, on one grid.
            key: of the scan, for what is kept; "" keeps nothing.

        Raises:
            BadCall: the scan is not of the kind the model takes.
            Cancelled: `cancelled` answered True.
        """

    def is_current(self) -> bool:
        """Whether it is still what it was loaded as; else it is let go and loaded again."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True)
class Prompt:
    """Something a person points at.

    Attributes:
        kind: "point" has `at`, "box" has `box`; "scribble", "lasso" and "mask" have `array`, "text" has `words`.
        positive: it belongs to the structure; False: it does not.
        at: voxel indices, one for each axis.
        box: (first, last + 1) for each axis.
        array: boolean on the scan's grid; a "mask" is where to start from.
        words: the name of what is meant.
    """

    kind: Literal["point", "box", "scribble", "lasso", "mask", "text"]
    positive: bool = True
    at: tuple[int, ...] = ()
    box: tuple[tuple[int, int], ...] = ()
    array: BoolArray | None = field(default=None, repr=False, compare=False)
    digest: str = field(default="", repr=False)
    words: str = ""

    def __post_init__(self) -> None:
        """Two prompts are equal when they point at the same voxels."""
        if self.array is not None:
            content = hashlib.sha256(repr(self.array.shape).encode() + np.packbits(self.array).tobytes()).hexdigest()
            object.__setattr__(self, "digest", content)


@dataclass(frozen=True)
class Drawing:
    """The answer to prompts.

    Attributes:
        array: boolean on the scan's own grid; False in slices a 2-D network was not asked about.
        logits: of the network, on a grid of its own; opaque, to be handed back as `previous`.
        iou: how much the network thinks its mask overlaps the truth, 0 to 1; None where it tells none.
        notes: what the asker should know, one sentence each.
        seen: (first, last + 1) for each axis of the scan: what the network looked at, where that is a part; () for all of it.
    """

    array: BoolArray
    logits: object = field(repr=False, compare=False)
    iou: float | None = None
    notes: tuple[str, ...] = ()
    seen: tuple[tuple[int, int], ...] = ()


@runtime_checkable
class Promptable(Protocol):
    """A network that draws one structure from what a person points at: encode a scan once, decode as many prompts as you like.

    Coordinates are voxel indices of the scan's own array, in its axis order (x y z of `Volume.array`, no turning, no spacing). Whole
    numbers are the middles of voxels, so voxel i covers i - 0.5 to i + 0.5; a box's (first, last + 1) covers whole voxels. Where a
    network was taught other conventions (column before row, corners of pixels, another grid), it changes them inside.

    Attributes:
        takes: kinds of prompts it understands; "-point" and the like mean that negative ones are understood, too.
    """

    card: Card
    engine: str
    takes: frozenset[str]

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Features:
        """The expensive step, once per scan; what depends on where one points is looked at on first use and kept in the features.

        Raises:
            BadCall: the scan is not of the kind the network takes.
            Cancelled: `cancelled` answered True.
        """

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        """One mask of all prompts so far, in their order; the same prompts give the same mask.

        Args:
            prompts: all of them, not only the new ones.
            previous: `logits` of the answer these prompts go on from; None to begin.

        Raises:
            BadCall: nothing was pointed at, a prompt lies outside the scan, or is of a kind the network does not take.
        """


@runtime_checkable
class Clicks(Protocol):
    """A model that draws one structure from what a person points at."""

    card: Card
    engine: str

    def click(
        self,
        volume: Volume,
        key: str,
        prompts: Sequence[Prompt],
        *,
        progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> BoolArray:
        """The mask after these prompts, in their order.

        Args:
            key: of the scan and the structure; prompts that go on from the last call's of the same key cost only the new ones.

        Raises:
            BadCall: a prompt outside the scan, or none at all.
            Cancelled: `cancelled` answered True.
        """

    def is_current(self) -> bool:
        """As of `Looks`."""

    def close(self) -> None:
        """As of `Looks`."""


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
