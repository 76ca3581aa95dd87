"""SAM-Med3D in a view: bright voxels normalised, clicks, and the last answer as a mask prompt, empty at first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...blocks.sam.sam import Given, Sam
from ..deep import DeepMarks, DeepSketch


@dataclass(frozen=True)
class Embedded:
    """The embedding of a view."""

    embedding: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return self.embedding.numel() * self.embedding.element_size()


class MedHand:
    """The network; see `deep.DeepHand`."""

    takes = frozenset({"point", "-point", "mask"})
    spacing_mm: float | None = 1.5  # Source: uni-medical/SAM-Med3D, Apache-2.0

    def __init__(self, net: Sam, device: str = "cpu") -> None:
        self._net, self.device = net.to(device), torch.device(device)
        self.size = net.encoder.size

    def embed(self, view: torch.Tensor) -> Embedded:
        """Mean 0 and standard deviation 1 over voxels above 0, as the authors' (torchio's) normalisation; of all where none is."""
        bright = view[view > 0] if bool((view > 0).sum() > 1) else view.flatten()
        scaled = (view - bright.mean()) / bright.std().clamp(min=1e-6)
        return Embedded(self._net.encode(scaled[None, None]))

    def draw(self, features: Embedded, marks: DeepMarks, previous: torch.Tensor | None) -> DeepSketch:
        """The single mask. Without an answer yet it goes on from an empty map, as it was taught, never from "no mask"."""
        side = 4 * self._net.encoder.grid
        last = torch.zeros(1, 1, side, side, side, device=self.device)
        if previous is not None:
            last = previous.to(self.device)[None, None]
            if last.shape[-1] != side:
                last = F.interpolate(last, size=[side] * 3, mode="trilinear")
        points, labels = marks.points[None].to(self.device), marks.labels[None].to(self.device)
        given = Given(points, labels, mask=last) if points.shape[1] else Given(mask=last)
        logits, iou = self._net.decode(features.embedding, given)
        return DeepSketch(logits[0, 0], float(iou[0, 0]))
