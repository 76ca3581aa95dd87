"""Networks of SAM's kind on a slice: it is coloured and laid into their square, marks become their prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F

from ...imaging.errors import BadCall
from ..blocks.sam.sam import Given
from .flat import Marks, Sketch, resize_logits
from .places import Placing

MEAN = (123.675, 116.28, 103.53)  # of colours from 0 to 255. Source: facebookresearch/segment-anything, Apache-2.0
SPREAD = (58.395, 57.12, 57.375)
STROKE = 0.25  # of a pixel that a scribble must cover to become a click; ours


class PictureNet(Protocol):
    """A network that encodes pictures (1 3 size size) and decodes prompts."""

    def encode(self, picture: torch.Tensor) -> Any:
        """Features, a tensor or something that knows its `nbytes`."""

    def decode(self, features: Any, given: Given, *, ambiguous: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (1 m h w) and guessed IoU (1 m)."""


@dataclass(frozen=True)
class Habits:
    """How a network was taught to see and to be asked.

    Attributes:
        size: pixels per side of its square.
        tokens: tokens per side; a mask prompt has four times as many pixels.
        place: where a slice lies in the square.
        takes: see `Promptable.takes`.
        values: "normalised" takes SAM's mean off colours from 0 to 255; "unit" leaves them from 0 to 1, stretched to fill that range.
        nearest: the slice is brought to size without smoothing.
        feedback: what the last answer is handed back as.
        strokes: pixels per side at which every pixel of a scribble becomes a click; 0 where scribbles are not taken.
        masks: "ambiguous" asks for three masks where one click begins, and takes the best; "three" always does; "one" never does.
    """

    size: int
    tokens: int
    place: Callable[[tuple[int, int], int], Placing]
    takes: frozenset[str]
    values: Literal["normalised", "unit"] = "normalised"
    nearest: bool = False
    feedback: Literal["logits", "probabilities"] = "logits"
    strokes: int = 0
    masks: Literal["ambiguous", "three", "one"] = "ambiguous"


@dataclass(frozen=True)
class Embedded:
    """Features of one slice."""

    features: Any

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return int(self.features.nbytes)


class ColourHand:
    """A network with its habits; see `flat.Hand`."""

    def __init__(self, net: PictureNet, habits: Habits, device: str = "cpu") -> None:
        self._net, self._habits, self.device = net, habits, torch.device(device)
        self.size, self.takes = habits.size, habits.takes

    def place(self, shape: tuple[int, int]) -> Placing:
        """As the network was taught."""
        return self._habits.place(shape, self.size)

    def embed(self, picture: torch.Tensor, placing: Placing) -> Embedded:
        """Three equal colours, normalised, black around them."""
        if self._habits.values == "unit":
            low, high = picture.amin(), picture.amax()
            colours = ((picture - low) / (high - low).clamp(min=1e-8)).expand(3, -1, -1)
        else:
            mean, spread = (torch.tensor(one, device=picture.device).view(3, 1, 1) for one in (MEAN, SPREAD))
            colours = (255 * picture - mean) / spread
        return Embedded(self._net.encode(placing.lay(colours, nearest=self._habits.nearest)[None]))

    def draw(self, features: Embedded, marks: Marks, previous: torch.Tensor | None) -> Sketch:
        """The mask of these marks, or of three the one of the greatest guessed IoU."""
        given = self.given(marks, previous)
        begins = given.points is not None and given.points.shape[1] == 1 and given.boxes is None and given.mask is None
        ambiguous = self._habits.masks == "three" or (self._habits.masks == "ambiguous" and begins)
        logits, iou = self.ask(features.features, given, marks, ambiguous=ambiguous)
        best = int(iou[0].argmax())
        return Sketch(logits[0, best], float(iou[0, best]))

    def ask(self, features: Any, given: Given, marks: Marks, *, ambiguous: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (1 m h w) and guessed IoU (1 m); where a network takes names, it reads `marks.words` here."""
        return self._net.decode(features, given, ambiguous=ambiguous)

    def given(self, marks: Marks, previous: torch.Tensor | None) -> Given:
        """Marks as the network's prompts: column before row, a box from the middle of its first pixel to that of its last.

        Raises:
            BadCall: more than one box on a slice.
        """
        if len(marks.boxes) > 1:
            raise BadCall(
                f"This network takes one box for each slice; {len(marks.boxes)} lie on one. Give one of them."
            )
        boxes = None
        if len(marks.boxes):
            low, high = marks.boxes[0] + torch.tensor([[0.5], [-0.5]])
            boxes = torch.cat([low.flip(0), high.flip(0)])[None].to(self.device)
        goes_on = previous is not None and "mask" in self.takes  # others were never taught to go on from an answer
        mask = (
            None
            if previous is None or not goes_on
            else resize_logits(previous.to(self.device), 4 * self._habits.tokens)
        )
        if mask is not None and self._habits.feedback == "probabilities":
            mask = mask.sigmoid()
        points, labels = self._clicks(marks)
        if not len(points):
            return Given(boxes=boxes, mask=mask)
        return Given(points.flip(-1)[None].to(self.device), labels[None].to(self.device), boxes, mask)

    def _clicks(self, marks: Marks) -> tuple[torch.Tensor, torch.Tensor]:
        """Clicks, then the pixels of scribbles at their own size."""
        places, labels = [marks.points], [marks.labels]
        if marks.scribbles is not None:
            side = self._habits.strokes
            small = F.interpolate(marks.scribbles[None], size=(side, side), mode="area")[0]
            for row, label in ((0, 1), (1, 0)):
                at = (small[row] >= STROKE).nonzero()
                places.append((at + 0.5) * self.size / side - 0.5)
                labels.append(torch.full((len(at),), label))
        return torch.cat(places), torch.cat(labels)
