"""A scan as the referring networks see it, and their answer to a sentence put back on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ....imaging.volume import Grid, Modality
from ...blocks.square import ELEMENTS
from ...inference.pictures import Float, Frame, undisplayed, unframed
from ...interface import Referred
from ...text.sentences import family_of, names_a_side

TURNED_BACK = "The picture was found {what} and was set upright before looking; the mask is on the picture as given."
UNSURE_SIDE = "The file tells no orientation, so left and right rest on how the picture looks."
CUT = "Only the first words of this long sentence were read."


class Sized(Protocol):
    """Features of one picture; opaque."""

    @property
    def nbytes(self) -> int:
        """Memory it holds."""


@dataclass(frozen=True)
class Pointed:
    """What a network marked: logits (n size size), and the symmetry each picture was found under."""

    logits: Float
    elements: Sequence[int]


@dataclass
class ReferringScan:
    """A scan as square pictures, and a network's features of those that were asked about.

    Attributes:
        pictures: (slices size size) in [0, 1].
        kept: (slice, group of symmetries) -> features.
    """

    pictures: Float
    frames: tuple[Frame, ...]
    grid: Grid
    modality: Modality
    kept: dict[tuple[int, str], Sized] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of pictures and features."""
        return self.pictures.nbytes + sum(one.nbytes for one in self.kept.values())

    def tensor(self, slices: Sequence[int], device: torch.device) -> torch.Tensor:
        """Some of the pictures as (n 3 size size), three equal colours."""
        return torch.from_numpy(self.pictures[list(slices)])[:, None].expand(-1, 3, -1, -1).to(device)


class Answer:
    """The answer to one sentence, slice by slice."""

    def __init__(self, scan: ReferringScan) -> None:
        self._scan = scan
        self._shown = np.zeros((len(scan.pictures), *scan.frames[0].shape), dtype=np.bool_)
        self._inside: list[Float] = []
        self._peak, self._elements = -30.0, list[int]()

    def add(self, number: int, logits: Float, element: int) -> None:
        """What the network says of a slice."""
        found = unframed(logits, self._scan.frames[number])
        self._shown[number] = found > 0
        self._inside.append(found[found > 0])
        self._peak = max(self._peak, float(logits.max()))
        self._elements.append(element)

    def referred(self, text: str, allowed: tuple[int, ...] | None, *, cut: bool) -> Referred:
        """All of it; see `_notes`."""
        sure = np.concatenate(self._inside)
        usual = max(set(self._elements), key=self._elements.count) if allowed is not None else None
        return Referred(
            text,
            undisplayed(self._shown, self._scan.grid),
            float(_sigmoid(sure).mean()) if sure.size else 0.0,
            float(_sigmoid(np.float32(self._peak))),
            family=family_of(text),
            element=usual,
            notes=tuple(_notes(self._scan, text, usual, allowed, cut)),
        )


def _notes(
    scan: ReferringScan, text: str, element: int | None, allowed: tuple[int, ...] | None, cut: bool
) -> Iterator[str]:
    if element:
        turned = f"turned by {90 * (element % 4)} degrees" if element % 4 else ""
        what = " and ".join(part for part in ("mirrored" if element >= 4 else "", turned) if part)
        yield TURNED_BACK.format(what=what)
    if names_a_side(text) and not scan.grid.spacing_known and (allowed is None or len(allowed) == ELEMENTS):
        yield UNSURE_SIDE
    if cut:
        yield CUT


def _sigmoid(logit: npt.NDArray[np.float32] | np.float32) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))), dtype=np.float32)
