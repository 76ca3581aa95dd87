"""Networks that draw in a cube, on whole scans: a view around what was pointed at, the mask on the scan's own grid.

Scans are turned to RAS and, where the network was taught one voxel size, brought to it. The view is centred on the first mark that is meant,
or, where another mark lies outside it then, on the middle of all that are meant; so it depends on the prompts alone.
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
from ...imaging.geometry import Box, crop, reorient_array, resample, respaced_grid
from ...imaging.volume import Grid, Volume
from ..card import Card
from ..inference.preprocess import Prepared, restore
from ..inference.prompts import check_prompts
from ..interface import Cancelled, Drawing, Features, Progress, Prompt

KEPT = 2  # views whose features are kept at once; ours
SURE = 10.0  # logit of a mask to start from, whose voxels are certain; ours
OUTSIDE = "Marks further apart than the network's view of {size} voxels were made; those outside it were not seen."
MOVED = "The view moved to hold a new mark, so the last answer was not gone on from."
Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DeepMarks:
    """What was drawn in a view, in its voxels (x y z); whole numbers are the middles of voxels.

    Attributes:
        points: (n 3), in the order they were made.
        labels: (n): 1 meant, 0 not.
        boxes: (m 2 3): the corner with the smaller places, then the other; edges of what is covered.
        scribbles: (2 size size size): what is meant, what is not; None without.
    """

    points: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor
    scribbles: torch.Tensor | None = None


@dataclass(frozen=True)
class DeepSketch:
    """A network's answer in its own cube: logits (side side side), and the IoU it expects."""

    logits: torch.Tensor
    iou: float | None = None


class DeepHand(Protocol):
    """A network that draws in cubes.

    Attributes:
        size: voxels per side of its view.
        spacing_mm: voxel size it was taught; None takes the scan's own.
    """

    size: int
    spacing_mm: float | None
    takes: frozenset[str]
    device: torch.device

    def embed(self, view: torch.Tensor) -> Any:
        """Features of a view (x y z) of the scan's own intensities, 0 outside it; they know their `nbytes`."""

    def draw(self, features: Any, marks: DeepMarks, previous: torch.Tensor | None) -> DeepSketch:
        """The mask of these marks; `previous` are logits (side side side), of its own answer or of `size`."""


@dataclass(frozen=True)
class _Last:
    """An answer to go on from: where the view was, and its logits."""

    start: tuple[int, int, int]
    logits: torch.Tensor


@dataclass
class DeepScan:
    """A scan as the network wants it, and the network's features of views into it, the newest last."""

    prepared: Prepared
    turned: Grid
    kept: dict[tuple[int, int, int], Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the scan and of features."""
        return self.prepared.array.nbytes + sum(int(one.nbytes) for one in self.kept.values())


class DeepPredictor:
    """A loaded network that draws in cubes; see `interface.Promptable`."""

    def __init__(self, hand: DeepHand, card: Card) -> None:
        self.card, self._hand, self.takes = card, hand, hand.takes
        self.engine = f"torch {hand.device.type} fp32"

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> DeepScan:
        """The scan turned and brought to the network's voxel size; the network looks where one points."""
        if volume.grid.is_2d:
            raise BadCall(f"'{self.card.name}' needs a 3-D scan, and this is one slice. Open the whole series.")
        spacing = self._hand.spacing_mm
        if spacing is not None and not volume.grid.spacing_known:
            raise BadCall(
                f"'{self.card.name}' works at {spacing:g} mm, but the file tells no voxel size. Open one that does."
            )
        if cancelled():
            raise Cancelled
        array, turned = reorient_array(np.asarray(volume.array), volume.grid, "RAS")
        target = turned if spacing is None else respaced_grid(turned, (spacing, spacing, spacing))
        values = array.astype(np.float32)
        values = values if spacing is None else resample(values, turned, target).astype(np.float32)
        progress(1.0)
        return DeepScan(Prepared(values, target, volume.grid, True), turned)

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        """See `interface.Promptable`."""
        if not isinstance(features, DeepScan):
            raise TypeError(f"features of another model: {type(features).__name__}")
        check_prompts(prompts, features.prepared.source, self.takes, self.card.name)
        marks = _Marks(prompts, features)
        box, holds_all = marks.view(self._hand.size)
        notes = [] if holds_all else [OUTSIDE.format(size=self._hand.size)]
        start = marks.start(box)
        if isinstance(previous, _Last):
            start = previous.logits if previous.start == box.start else start
            notes += [MOVED] if previous.start != box.start else []
        with torch.inference_mode():
            found = self._hand.draw(self._seen(features, box), marks.inside(box), start)
            whole = F.interpolate(found.logits[None, None].float(), size=[self._hand.size] * 3, mode="trilinear")[0, 0]
        array = restore(whole.cpu().numpy(), features.prepared, box)
        return Drawing(array, _Last(box.start, found.logits), found.iou, tuple(notes), _seen(box, features.prepared))

    def _seen(self, scan: DeepScan, box: Box) -> Any:
        found = scan.kept.pop(box.start, None)
        if found is None:
            view, _ = crop(scan.prepared.array, scan.prepared.grid, box)
            found = self._hand.embed(torch.from_numpy(view).to(self._hand.device))
        scan.kept[box.start] = found
        while len(scan.kept) > KEPT:
            del scan.kept[next(iter(scan.kept))]
        return found


def _seen(box: Box, prepared: Prepared) -> tuple[tuple[int, int], ...]:
    """The scan's voxels that a view holds."""
    to = np.linalg.inv(prepared.source.affine) @ prepared.grid.affine
    ends = np.array([[box.start[n], box.stop[n]] for n in range(3)], dtype=float) - 0.5
    corners = np.stack([to[:3, :3] @ ends[:, n] + to[:3, 3] for n in (0, 1)])
    low, high = np.ceil(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    return tuple(
        (max(0, int(a)), max(0, min(int(b), n))) for a, b, n in zip(low, high, prepared.source.shape, strict=True)
    )


class _Marks:
    """Prompts in the voxels of the prepared scan."""

    def __init__(self, prompts: Sequence[Prompt], scan: DeepScan) -> None:
        self._scan = scan
        self._to = np.linalg.inv(scan.prepared.grid.affine) @ scan.prepared.source.affine
        self._points: list[tuple[Float, int]] = []
        self._boxes: list[Float] = []
        self._areas: list[tuple[Float, Prompt]] = []
        self._meant: list[Float] = []
        for prompt in prompts:
            place = self._add(prompt)
            if prompt.positive:
                self._meant.append(place)

    def _add(self, prompt: Prompt) -> Float:
        """Where its middle is, once it is noted."""
        if prompt.kind == "point":
            at = self._moved(np.array(prompt.at))
            self._points.append((at, int(prompt.positive)))
            return at
        if prompt.kind == "box":
            ends = np.stack([self._moved(np.array([one[n] - 0.5 for one in prompt.box])) for n in (0, 1)])
            self._boxes.append(np.stack([ends.min(0), ends.max(0)]))
            return np.asarray(ends.mean(0), dtype=np.float32)
        assert prompt.array is not None
        turned, _ = reorient_array(prompt.array.astype(np.float32), self._scan.prepared.source, "RAS")
        area = resample(turned, self._scan.turned, self._scan.prepared.grid).astype(np.float32)
        self._areas.append((area, prompt))
        return np.asarray(np.argwhere(area >= area.max() / 2).mean(0), dtype=np.float32)

    def view(self, size: int) -> tuple[Box, bool]:
        """The cube to look at, and whether it holds every point and every middle of what is meant."""
        places = [at for at, _ in self._points] + self._meant
        meant = self._meant or places
        for middle in (meant[0], np.mean(meant, axis=0)):
            x, y, z = (round(float(one)) - size // 2 for one in middle)
            box = Box((x, y, z), (x + size, y + size, z + size))
            if all(((np.round(at) >= box.start) & (np.round(at) < box.stop)).all() for at in places):
                return box, True
        return box, False

    def inside(self, box: Box) -> DeepMarks:
        """Those inside a cube, in its voxels."""
        points = [
            (at - np.array(box.start), label)
            for at, label in self._points
            if ((np.round(at) >= box.start) & (np.round(at) < box.stop)).all()
        ]
        places = torch.tensor(np.array([at for at, _ in points], dtype=np.float32).reshape(-1, 3))
        corners = np.array([one - np.array(box.start) for one in self._boxes], dtype=np.float32).reshape(-1, 2, 3)
        labels = torch.tensor([label for _, label in points], dtype=torch.int64)
        return DeepMarks(places, labels, torch.from_numpy(corners), self._scribbles(box))

    def start(self, box: Box) -> torch.Tensor | None:
        """Logits of the newest mask to start from, in a cube."""
        for area, prompt in reversed(self._areas):
            if prompt.kind == "mask":
                inside, _ = crop(area, self._scan.prepared.grid, box)
                return torch.from_numpy(np.where(inside >= 0.5, SURE, -SURE).astype(np.float32))
        return None

    def _scribbles(self, box: Box) -> torch.Tensor | None:
        drawn = [(area, prompt.positive) for area, prompt in self._areas if prompt.kind == "scribble"]
        if not drawn:
            return None
        both = np.zeros((2, *box.shape), np.float32)
        for area, positive in drawn:
            inside, _ = crop(area, self._scan.prepared.grid, box)
            row = 0 if positive else 1
            both[row] = np.maximum(both[row], inside)
        return torch.from_numpy(both)

    def _moved(self, at: npt.NDArray[Any]) -> Float:
        moved = self._to[:3, :3] @ at + self._to[:3, 3]
        return np.asarray(moved, dtype=np.float32)
