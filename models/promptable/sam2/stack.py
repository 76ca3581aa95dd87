"""SAM 2.1 on a scan: slices are the frames of a film, and what is drawn in one is followed through the others.

Each decoding begins with an empty memory: the prompts go to their slices, then the structure is followed to the head, and, with an empty memory
and the same prompts, to the feet. Source: bowang-lab/MedSAM2, Apache-2.0. It ends where the network saw nothing in `GONE` slices in a row; ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from ....imaging.errors import BadCall
from ....imaging.volume import BoolArray, Volume
from ...card import Card
from ...inference.pictures import displayed, undisplayed
from ...inference.prompts import check_prompts
from ...interface import Cancelled, Drawing, Features, Progress, Prompt
from ..colours import MEAN, SPREAD
from ..flat import FlatScan, Marks, Pages
from ..places import Placing, stretch

GONE = 2  # slices without the structure after which it is not followed further
ONE = 1  # number of the one structure
KEPT = 64  # slices whose features are kept at once


class _Frames(Mapping[int, torch.Tensor]):
    """Pictures (3 size size) of slices, made when they are asked for."""

    def __init__(self, scan: FlatScan, placing: Placing) -> None:
        self._scan, self._placing = scan, placing

    def __getitem__(self, number: int) -> torch.Tensor:
        colours = torch.from_numpy(self._scan.pictures[number]).expand(3, -1, -1) * 255
        mean, spread = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, SPREAD))
        return self._placing.lay((colours - mean) / spread)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._scan.pictures)))

    def __len__(self) -> int:
        return len(self._scan.pictures)


class _Kept:
    """transformers' cache of features, as something that knows its size."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        every = [one for kept in self.cache._vision_features.values() for part in kept.values() for one in part]
        return int(sum(one.numel() * one.element_size() for one in every))


class StackPredictor:
    """A loaded network that follows structures through slices; see `interface.Promptable`. `previous` is not needed: all prompts count."""

    takes = frozenset({"point", "-point", "box", "mask"})

    def __init__(self, net: Any, card: Card, device: str = "cpu", *, largest: bool = True) -> None:
        self.card, self._net, self._device, self._largest = card, net.to(device), device, largest
        self.engine = f"transformers {device} fp32"
        self.size = int(net.config.image_size)

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> FlatScan:
        """Slices as displayed; the network looks at those it comes to."""
        if cancelled():
            raise Cancelled
        scan = FlatScan(displayed(volume), volume.grid)
        scan.kept[0] = _Kept(self._session(scan).cache)
        progress(1.0)
        return scan

    def decode(self, features: Features, prompts: Sequence[Prompt], previous: object = None) -> Drawing:
        """See `interface.Promptable`; the answer reaches beyond the slices that were pointed at."""
        if not isinstance(features, FlatScan):
            raise TypeError(f"features of another model: {type(features).__name__}")
        check_prompts(prompts, features.grid, self.takes, self.card.name)
        pages, placing = Pages(prompts, features), self._placing(features)
        logits: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for reverse in (False, True):
                logits = self._followed(features, pages, reverse=reverse) | logits
        shown = np.zeros(features.pictures.shape, np.bool_)
        for number, found in logits.items():
            shown[number] = placing.lift(found).cpu().numpy() > 0
        return Drawing(undisplayed(_largest(shown) if self._largest else shown, features.grid), logits)

    def _placing(self, scan: FlatScan) -> Placing:
        _, rows, columns = scan.pictures.shape
        return stretch((rows, columns), self.size)

    def _session(self, scan: FlatScan) -> Any:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        session: Any = Sam2VideoInferenceSession(
            video_height=scan.pictures.shape[1],
            video_width=scan.pictures.shape[2],
            inference_device=self._device,
            dtype=torch.float32,
            max_vision_features_cache_size=KEPT,
        )
        session.processed_frames = _Frames(scan, self._placing(scan))
        return session

    def _followed(self, scan: FlatScan, pages: Pages, *, reverse: bool) -> dict[int, torch.Tensor]:
        """Logits (n n) of slices, with a memory of its own, to the head or, reverse, to the feet."""
        session = self._session(scan)
        kept = scan.kept[0]
        assert isinstance(kept, _Kept)
        session.cache = kept.cache
        found = {number: self._asked(session, pages, number) for number in pages.numbers}
        first, last = pages.numbers[0], pages.numbers[-1]
        gone = 0
        start = last if reverse else first
        for frame in self._net.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse):
            number = int(frame.frame_idx)
            found[number] = frame.pred_masks[0, 0]
            beyond = number < first if reverse else number > last
            gone = gone + 1 if beyond and not bool((found[number] > 0).any()) else 0
            if gone == GONE:
                break
        return found

    def _asked(self, session: Any, pages: Pages, number: int) -> torch.Tensor:
        """Logits of a slice that was pointed at, once its prompts are in the session."""
        placing = session.processed_frames._placing
        marks, start = pages.marks(number, placing), pages.start(number, placing)
        structure = session.obj_id_to_idx(ONE)
        points, labels = make_points(marks)
        if len(points):
            session.add_point_inputs(
                structure, number, {"point_coords": points[None, None], "point_labels": labels[None, None]}
            )
        elif start is not None:
            session.add_mask_inputs(structure, number, (start > 0).float()[None, None])
        session.obj_with_new_inputs = [ONE]
        logits: torch.Tensor = self._net(session, frame_idx=number).pred_masks[0, 0]
        return logits


def make_points(marks: Marks) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n 2), column before row, with labels (n): a box is two points labelled 2 and 3, before the others.

    Raises:
        BadCall: more than one box on a slice.
    """
    if len(marks.boxes) > 1:
        raise BadCall(f"This network takes one box for each slice; {len(marks.boxes)} lie on one. Give one of them.")
    corners = marks.boxes.reshape(-1, 2) + 0.5  # edges of pixels, as the network counts them
    points = torch.cat([corners.flip(-1), marks.points.flip(-1) + 0.5])
    labels = torch.cat([torch.tensor([2, 3] if len(corners) else [], dtype=torch.int64), marks.labels])
    return points, labels.to(torch.int32)


def _largest(shown: BoolArray) -> BoolArray:
    """The largest connected part."""
    parts, count = ndimage.label(shown)
    if count < 2:
        return shown
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    found: BoolArray = parts == int(sizes.argmax())
    return found
