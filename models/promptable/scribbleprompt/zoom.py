"""The network taught here on a slice: it looks at the whole square, and after some marks closer at what it found and at them.

A click is a disc (canvas.py). The answer lies on a grid finer than the square, so that small structures keep their rim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..deep import DeepMarks
from ..flat import Marks, Sketch, resize_logits
from ..places import Placing, stretch
from .canvas import Canvas
from .guides import guides_of
from .network import ScribbleUnet

FINE = 4  # pixels of the answer's grid per pixel of the square; ours
ROOM = 2.5  # of the found structure's extent that the closer look shows; chosen on kept-out patients of sets trained on
ENOUGH = 6  # marks before it looks closer: before, the answer may be a part, which the closer look would take for all; chosen likewise
CLOSEST = 6.0  # enlargement at most, as in training (pictures.py)
WORTH = 0.75  # of the square: a window no smaller than that is not looked at again
STROKE = 0.25  # of a pixel that a scribble must cover to be seen; ours


@dataclass(frozen=True)
class Slice:
    """A slice (1 1 rows columns) as it is, and the square (1 1 size size) it was stretch to."""

    whole: torch.Tensor
    square: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return sum(one.numel() * one.element_size() for one in (self.whole, self.square))


@dataclass(frozen=True)
class Window:
    """A square part of the square: its lower corner's edge and its side, in pixels of the square."""

    low: tuple[float, float]
    side: float


class ZoomHand:
    """The network and the size of the square it was taught at."""

    takes = frozenset({"point", "-point", "box", "scribble", "-scribble", "mask"})

    def __init__(self, net: ScribbleUnet, size: int, device: str = "cpu") -> None:
        self._net, self.size, self.device = net.to(device), size, torch.device(device)

    def place(self, shape: tuple[int, int]) -> Placing:
        """Stretched."""
        return stretch(shape, self.size)

    def embed(self, picture: torch.Tensor, placing: Placing) -> Slice:
        """The slice and its square."""
        return Slice(picture[None, None], placing.lay(picture)[None, None])

    def draw(self, features: Slice, marks: Marks, previous: torch.Tensor | None) -> Sketch:
        """One pass over the whole, one over the window where that is smaller."""
        first = self._pass(features.square, marks, None if previous is None else resize_logits(previous, self.size))
        fine = FINE * self.size
        answer = resize_logits(first, fine)[0, 0]
        window = self._window(first, marks)
        if window is None:
            return Sketch(answer)
        closer = window_of(features.whole, window, self.size, self.size)
        before = window_of(
            (answer if previous is None else resize_logits(previous, fine)[0, 0])[None, None],
            window,
            self.size,
            self.size,
        )
        second = self._pass(closer, _seen_in(marks, window, self.size), before)
        return Sketch(_pasted(answer, second, window, FINE))

    def _pass(self, picture: torch.Tensor, marks: Marks, previous: torch.Tensor | None) -> torch.Tensor:
        """Logits (size size)."""
        low, high = picture.amin(), picture.amax()
        picture = (picture - low) / (high - low).clamp(min=1e-6)
        drawn = shown_marks(picture, drawn_marks(marks, self.size), self._net.config.guided)
        before = torch.zeros_like(picture) if previous is None else previous.to(picture)
        logits: torch.Tensor = self._net(torch.cat([picture, drawn, before], dim=1))[0, 0]
        return logits

    def _window(self, logits: torch.Tensor, marks: Marks) -> Window | None:
        """Around the answer and everything that is meant; None where that is most of the square, or few marks were made."""
        if len(marks.points) + len(marks.boxes) + (marks.scribbles is not None) < ENOUGH:
            return None
        found = (logits > 0).nonzero().float()
        ends = [found.amin(0) - 0.5, found.amax(0) + 0.5] if len(found) else []
        for place in marks.points[marks.labels == 1]:
            ends += [place - 3, place + 3]
        ends += list(marks.boxes.reshape(-1, 2))
        if marks.scribbles is not None and (drawn := (marks.scribbles[0] >= STROKE).nonzero()).numel():
            ends += [drawn.amin(0) - 0.5, drawn.amax(0) + 0.5]
        if not ends:
            return None
        all_ends = torch.stack([one.to("cpu") for one in ends])
        low, high = all_ends.amin(0), all_ends.amax(0)
        side = max(ROOM * float((high - low).max()), self.size / CLOSEST)
        if side > WORTH * self.size:
            return None
        start = ((low + high) / 2 - side / 2).clamp(-0.5, self.size - 0.5 - side)
        return Window((float(start[0]), float(start[1])), side)


def drawn_marks(marks: Marks | DeepMarks, size: int) -> Canvas:
    """Marks as channels."""
    canvas = Canvas.blank((size,) * marks.points.shape[1])
    for low, high in marks.boxes.tolist():
        canvas.box_(low, high)
    if marks.scribbles is not None:
        for covered, positive in zip(marks.scribbles.cpu().numpy(), (True, False), strict=True):
            canvas.stroke_((covered >= STROKE).astype(np.float32), positive)
    for place, label in zip(marks.points.tolist(), marks.labels.tolist(), strict=True):
        canvas.point_(place, label == 1)
    return canvas


def shown_marks(picture: torch.Tensor, canvas: Canvas, guided: bool) -> torch.Tensor:
    """Marks, and for a guided network their guides, as channels (1 c ...) beside a picture (1 1 ...) in [0, 1]."""
    channels = canvas.channels
    if guided:
        channels = np.concatenate([channels, guides_of(picture[0, 0].float().cpu().numpy(), canvas)])
    return torch.from_numpy(channels)[None].to(picture)


def window_of(picture: torch.Tensor, window: Window, square: int, size: int) -> torch.Tensor:
    """What a window of the square shows of a picture (1 c rows columns) that fills the square, as (1 c size size), linear between pixels."""
    at = (torch.arange(size, device=picture.device) + 0.5) / size * window.side
    rows, columns = ((at + low + 0.5) / square * 2 - 1 for low in window.low)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flip(-1)[None].to(picture)
    rows_per, columns_per = (side * window.side / square / size for side in picture.shape[2:])
    if max(rows_per, columns_per) > 1.5:  # smoothed where it shrinks
        sides = [
            max(1, round(side / max(1.0, per)))
            for side, per in zip(picture.shape[2:], (rows_per, columns_per), strict=True)
        ]
        picture = F.interpolate(picture, size=sides, mode="bilinear", align_corners=False, antialias=True)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _seen_in(marks: Marks, window: Window, size: int) -> Marks:
    """Marks in the pixels of a window of `size`; those outside it are left out."""
    low, share = torch.tensor(window.low), size / window.side
    places = (marks.points - low) * share - 0.5
    inside = ((places > -0.5) & (places < size - 0.5)).all(1)
    scribbles = None
    if marks.scribbles is not None:
        scribbles = window_of(marks.scribbles[None].float(), window, size, size)[0]
    return Marks(places[inside], marks.labels[inside], (marks.boxes - low) * share - 0.5, scribbles)


def _pasted(answer: torch.Tensor, closer: torch.Tensor, window: Window, fine: int) -> torch.Tensor:
    """The answer (n n) with the window's logits (size size) in their place."""
    size = answer.shape[0]
    at = (torch.arange(size, device=answer.device) + 0.5) / fine - 0.5
    rows, columns = ((at - low) / window.side * 2 - 1 for low in window.low)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flip(-1)[None].to(answer)
    inside = ((rows.abs() <= 1)[:, None]) & ((columns.abs() <= 1)[None])
    moved = F.grid_sample(closer[None, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0, 0]
    return torch.where(inside, moved, answer)
