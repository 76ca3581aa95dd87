"""ScribblePrompt on a slice: the slice is stretched to the network's square, and every mark becomes a channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..flat import Marks, Sketch, resize_logits
from ..places import Placing, stretch
from .network import Drawn, ScribbleUnet, channels_of


@dataclass(frozen=True)
class Square:
    """A slice (1 1 size size), lowest value 0 and highest 1."""

    picture: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return self.picture.numel() * self.picture.element_size()


class ScribbleHand:
    """The network and the size it was taught at."""

    takes = frozenset({"point", "-point", "box", "scribble", "-scribble", "mask"})

    def __init__(self, net: ScribbleUnet, size: int, device: str = "cpu") -> None:
        self._net, self.size, self.device = net.to(device), size, torch.device(device)

    def place(self, shape: tuple[int, int]) -> Placing:
        """Stretched, as the authors do."""
        return stretch(shape, self.size)

    def embed(self, picture: torch.Tensor, placing: Placing) -> Square:
        """The slice in the square, its values from 0 to 1."""
        square = placing.lay(picture)[None, None]
        low, high = square.amin(), square.amax()
        return Square((square - low) / (high - low).clamp(min=1e-6))

    def draw(self, features: Square, marks: Marks, previous: torch.Tensor | None) -> Sketch:
        """One pass; the last logits go in as they are."""
        last = self.size - 1
        drawn = Drawn(
            points=marks.points.round().clamp(0, last)[None].to(self.device),
            labels=marks.labels[None].to(self.device),
            boxes=(marks.boxes + 0.5).round().clamp(0, self.size)[None],
            scribbles=None if marks.scribbles is None else marks.scribbles[None].to(self.device),
            previous=None if previous is None else resize_logits(previous.to(self.device), self.size),
        )
        return Sketch(self._net(channels_of(features.picture, drawn))[0, 0])
