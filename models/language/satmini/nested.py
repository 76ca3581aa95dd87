"""A fine network in the boxes that a coarse one finds: structures too small for the coarse, in scans too wide for the fine.

The coarse look is at the whole scan; the fine network then sees what it was taught to see, a crop around the structure,
and nothing else of the scan is computed at its resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....imaging.errors import BadCall
from ....imaging.geometry import Box, crop
from ....imaging.volume import Volume
from ...card import Card
from ...interface import Decoded, Features, Progress
from .predictor import SatMiniFeatures, SatMiniPredictor

_COARSE = 0.7  # share of the work that the look at the whole scan is


@dataclass(frozen=True)
class Nesting:
    """Which boxes, and whose answers.

    Attributes:
        coarse: name of the network that looks at the whole scan.
        sha256: of its weights' file.
        boxes: name of a box -> the coarse network's structure it is drawn around.
        margin_mm: added on every side.
        answers: structure -> names of boxes and what the fine network is asked in them.
    """

    coarse: str
    sha256: str
    boxes: Mapping[str, str]
    margin_mm: float
    answers: Mapping[str, tuple[tuple[str, ...], str]]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Nesting:
        """Of the file beside the weights."""
        answers = {name: (tuple(boxes), asked) for name, (boxes, asked) in values["answers"].items()}
        return cls(values["coarse"], values["sha256"], dict(values["boxes"]), float(values["margin_mm"]), answers)


@dataclass(frozen=True)
class NestedFeatures:
    """What the fine network saw in each box that was found, and where in the scan (`shape`) that lies."""

    shape: tuple[int, int, int]
    boxes: Mapping[str, tuple[Box, SatMiniFeatures]]

    @property
    def nbytes(self) -> int:
        """Bytes of all boxes."""
        return sum(features.nbytes for _box, features in self.boxes.values())


class NestedPredictor:
    """Two bundled networks as one."""

    def __init__(self, coarse: SatMiniPredictor, fine: SatMiniPredictor, card: Card, nesting: Nesting) -> None:
        self.coarse, self.fine, self.card, self.nesting = coarse, fine, card, nesting
        self.engine = fine.engine

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> NestedFeatures:
        """Find the boxes, and run the fine network in each."""
        seen = self.coarse.encode(volume, progress=lambda share: progress(share * _COARSE), cancelled=cancelled)
        found = self.coarse.decode(seen, list(self.nesting.boxes.values()))
        kept: dict[str, tuple[Box, SatMiniFeatures]] = {}
        margin = [int(np.ceil(self.nesting.margin_mm / side)) for side in volume.grid.spacing_mm]
        for number, (name, one) in enumerate(zip(self.nesting.boxes, found, strict=True)):
            box = Box.of(one.array, margin=margin)
            if box is not None:
                array, grid = crop(volume.array, volume.grid, box)
                part = replace(volume, array=np.ascontiguousarray(array), grid=grid)
                kept[name] = (box, self.fine.encode(part, progress=lambda share: None, cancelled=cancelled))
            progress(_COARSE + (number + 1) / len(found) * (1 - _COARSE))
        return NestedFeatures(volume.grid.shape, kept)

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per structure on the scan's own grid; empty where the coarse network found no place for it."""
        if not isinstance(features, NestedFeatures):
            raise TypeError(f"features of another model: {type(features).__name__}")
        return [self._decoded(features, name) for name in structures]

    def _decoded(self, features: NestedFeatures, name: str) -> Decoded:
        if name not in self.nesting.answers:
            raise BadCall(f"'{self.card.name}' was not taught '{name}'. It knows: {', '.join(self.nesting.answers)}.")
        boxes, asked = self.nesting.answers[name]
        mask = np.zeros(features.shape, dtype=np.bool_)
        sure, peak = 0.0, 0.0
        for box, seen in (features.boxes[one] for one in boxes if one in features.boxes):
            found = self.fine.decode(seen, [asked])[0]
            mask[box.slices] |= found.array
            sure += (found.confidence or 0.0) * int(np.count_nonzero(found.array))
            peak = max(peak, found.peak or 0.0)
        count = int(np.count_nonzero(mask))
        return Decoded(name, mask, sure / count if count else 0.0, peak)
