"""Networks that give every pixel of a picture a class, on whole scans: every axial slice as displayed, stretched to a square."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from ...imaging.volume import Volume
from ..card import Card
from ..inference.pictures import Float, displayed, undisplayed
from ..interface import Cancelled, Decoded, Features, Progress
from .classes import Labelled, decode

AT_ONCE = 4  # slices in one batch; ours


class ClassNet(Protocol):
    """A network from pictures (b 1 size size) in [0, 1] to logits (b classes n n), the first of what is nothing."""

    size: int

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """The logits."""


def lay_out(pictures: Float, size: int) -> torch.Tensor:
    """Slices (n rows columns) as squares (n 1 size size), smoothed where they shrink; the ratio of the sides is lost."""
    whole = torch.from_numpy(np.ascontiguousarray(pictures))[:, None]
    return F.interpolate(whole, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


class SlicePredictor:
    """A loaded network of pictures with a fixed list of classes. Labels everything at once; words only pick classes.

    Args:
        structures: in the order of the classes, from the second on.
    """

    def __init__(self, net: ClassNet, card: Card, structures: Sequence[str], device: str = "cpu") -> None:
        self.card, self._net, self._device, self.engine = card, net, device, f"torch {device} fp32"
        self._known = {name: (number,) for number, name in enumerate(structures, start=1)}

    def encode(self, volume: Volume, *, progress: Progress, cancelled: Callable[[], bool]) -> Labelled:
        """Label every slice."""
        pictures = displayed(volume)
        classes = np.zeros(pictures.shape, np.uint8)
        probability = np.zeros(pictures.shape, np.float16)
        with torch.inference_mode():
            for start in range(0, len(pictures), AT_ONCE):
                if cancelled():
                    raise Cancelled
                part = slice(start, start + AT_ONCE)
                logits = self._net(lay_out(pictures[part], self._net.size).to(self._device)).float()
                whole = F.interpolate(logits, size=pictures.shape[1:], mode="bilinear", align_corners=False)
                best, found = whole.softmax(1).max(1)
                classes[part], probability[part] = found.cpu().numpy(), best.cpu().numpy()
                progress(min(1.0, (start + AT_ONCE) / len(pictures)))
        return Labelled(undisplayed(classes, volume.grid), undisplayed(probability, volume.grid))

    def decode(self, features: Features, structures: Sequence[str]) -> list[Decoded]:
        """One mask per structure."""
        return decode(self.card.name, features, structures, self._known)
