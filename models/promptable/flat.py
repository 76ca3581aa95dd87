"""Networks that draw in one picture, on whole scans: every slice that was pointed at, masks on the scan's own grid.

Slices are axial ones as displayed (patient's right on the left, front on top), with intensities in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ...imaging.errors import BadCall
from ...imaging.volume import Grid, Volume
from ..card import Card
from ..inference.pictures import Float, displayed, displayed_labels, shown_place, undisplayed
from ..inference.prompts import check_prompts
from ..interface import Cancelled, Drawing, Features, Progress, Prompt
from .places import Placing

KEPT = 64  # pictures whose features are kept at once; ours
SURE = 10.0  # logit of a mask to start from, whose voxels are certain; ours


@dataclass(frozen=True)
class Marks:
    """What was drawn on one picture, in the network's pixels: rows, columns; whole numbers are the middles of pixels.

    Attributes:
        points: (n 2), in the order they were made.
        labels: (n): 1 meant, 0 not.
        boxes: (m 2 2): the corner with the smaller places, then the other; edges of what is covered, so a pixel i is i - 0.5 to i + 0.5.
        scribbles: (2 size size): what is meant, what is not; None without.
        words: the name of what is meant; "" without.
    """

    points: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor
    scribbles: torch.Tensor | None = None
    words: str = ""


@dataclass(frozen=True)
class Sketch:
    """A network's answer in its own square: logits (side side), and the IoU it expects."""

    logits: torch.Tensor
    iou: float | None = None


class Sized(Protocol):
    """Features of one picture; opaque."""

    @property
    def nbytes(self) -> int:
        """Memory it holds."""


class Hand(Protocol):
    """A network that draws in square pictures."""

    size: int
    takes: frozenset[str]
    device: torch.device

    def place(self, shape: tuple[int, int]) -> Placing:
        """Where a slice of these rows and columns lies in the square."""

    def embed(self, picture: torch.Tensor, placing: Placing) -> Sized:
        """Features of a slice (rows columns) in [0, 1]."""

    def draw(self, features: Any, marks: Marks, previous: torch.Tensor | None) -> Sketch:
        """The mask of these marks; `previous` are logits (side side), of its own answer or of `size`."""


@dataclass
class FlatScan:
    """A scan as slices, and a network's features of those that were pointed at, the newest last.

    Attributes:
        pictures: (slices rows columns) in [0, 1].
    """

    pictures: Float
    grid: Grid
    kept: dict[int, Sized] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of pictures and features."""
        return self.pictures.nbytes + sum(one.nbytes for one in self.kept.values())


class FlatPredictor:
    """A loaded network that draws in pictures; see `interface.Promptable`."""

    by_slices = True  # what it draws in a slice says nothing of the next one

    def __init__(self, hand: Hand, card: Card) -> None:
        self.card, self._hand, self.takes = card, hand, hand.takes
        self.engine = f"torch {hand.device.type} fp32"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> FlatScan:
        """Slices as displayed; the network looks at those that are pointed at."""
        if cancelled():
            raise Cancelled
        scan = FlatScan(displayed(volume), volume.grid)
        progress(1.0)
        return scan

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        """See `interface.Promptable`. Slices without a prompt stay empty."""
        if not isinstance(features, FlatScan):
            raise TypeError(f"features of another model: {type(features).__name__}")
        check_prompts(prompts, features.grid, self.takes, self.card.name)
        pages = Pages(prompts, features)
        before = previous if isinstance(previous, dict) else {}
        slices, rows, columns = features.pictures.shape
        shown = np.zeros((slices, rows, columns), np.bool_)
        logits: dict[int, torch.Tensor] = {}
        sure = []
        placing = self._hand.place((rows, columns))
        with torch.inference_mode():
            for number in pages.numbers:
                seen = self._seen(features, number, placing)
                start = pages.start(number, placing)
                found = self._hand.draw(seen, pages.marks(number, placing), before.get(number, start))
                logits[number] = found.logits
                shown[number] = placing.lift(found.logits).cpu().numpy() > 0
                sure += [found.iou] if found.iou is not None else []
        return Drawing(undisplayed(shown, features.grid), logits, float(np.mean(sure)) if sure else None)

    def _seen(self, scan: FlatScan, number: int, placing: Placing) -> Sized:
        found = scan.kept.pop(number, None)
        if found is None:
            picture = torch.from_numpy(scan.pictures[number]).to(self._hand.device)
            found = self._hand.embed(picture, placing)
        scan.kept[number] = found
        while len(scan.kept) > KEPT:
            del scan.kept[next(iter(scan.kept))]
        return found


class Pages:
    """Prompts by displayed slice; a name alone speaks of every slice, beside others of theirs.

    Raises:
        BadCall: there is more than one name.
    """

    def __init__(self, prompts: Sequence[Prompt], scan: FlatScan) -> None:
        self._points: list[tuple[tuple[float, float, float], int]] = []
        self._boxes: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        self._areas: list[tuple[npt.NDArray[np.uint8], Prompt]] = []
        touched: set[int] = set()
        names = [prompt.words for prompt in prompts if prompt.kind == "text"]
        if len(names) > 1:
            raise BadCall(f"One structure has one name, here are {len(names)}. Give one text.")
        self._words = names[0] if names else ""
        for prompt in prompts:
            if prompt.kind == "text":
                continue
            if prompt.kind == "point":
                at = shown_place(scan.grid, prompt.at)
                self._points.append((at, int(prompt.positive)))
                touched.add(int(at[0]))
            elif prompt.kind == "box":
                ends = [shown_place(scan.grid, [one[n] - n for one in prompt.box]) for n in (0, 1)]
                low, high = np.min(ends, axis=0), np.max(ends, axis=0)
                self._boxes.append((low, high))
                touched |= set(range(int(low[0]), int(high[0]) + 1))
            else:
                assert prompt.array is not None
                area = displayed_labels(prompt.array.astype(np.uint8), scan.grid)
                self._areas.append((area, prompt))
                touched |= set(np.flatnonzero(area.any(axis=(1, 2))).tolist())
        self.numbers = sorted(touched) if touched else list(range(len(scan.pictures)))

    def marks(self, number: int, placing: Placing) -> Marks:
        """What was drawn on a slice, in the network's pixels."""
        points = [(at[1:], label) for at, label in self._points if at[0] == number]
        places = torch.tensor([at for at, _ in points], dtype=torch.float32).reshape(-1, 2)
        boxes = [np.stack([low[1:] - 0.5, high[1:] + 0.5]) for low, high in self._boxes if low[0] <= number <= high[0]]
        corners = torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 2, 2))
        return Marks(
            placing.move(places),
            torch.tensor([label for _, label in points], dtype=torch.int64),
            placing.move(corners),
            self._scribbles(number, placing),
            self._words,
        )

    def start(self, number: int, placing: Placing) -> torch.Tensor | None:
        """Logits (size size) of the newest mask to start from that has something on a slice."""
        for area, prompt in reversed(self._areas):
            if prompt.kind == "mask" and area[number].any():
                return SURE * (2 * placing.lay(torch.from_numpy(area[number]).float(), nearest=True) - 1)
        return None

    def _scribbles(self, number: int, placing: Placing) -> torch.Tensor | None:
        drawn = [(area[number], prompt.positive) for area, prompt in self._areas if prompt.kind == "scribble"]
        if not any(area.any() for area, _ in drawn):
            return None
        both = torch.zeros(2, placing.size, placing.size)
        for area, positive in drawn:
            one = placing.lay(torch.from_numpy(area).float())
            row = 0 if positive else 1
            both[row] = torch.maximum(both[row], one)
        return both


def resize_logits(logits: torch.Tensor, side: int) -> torch.Tensor:
    """Logits (1 1 side side) of logits (n n)."""
    found = logits[None, None]
    if found.shape[-1] == side:
        return found
    return F.interpolate(found, size=(side, side), mode="bilinear", align_corners=False)
