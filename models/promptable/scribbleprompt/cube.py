"""The network taught here in volumes: one pass over a cube around what was pointed at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..deep import DeepMarks, DeepSketch
from .network import ScribbleUnet
from .zoom import drawn_marks, shown_marks


@dataclass(frozen=True)
class Cube:
    """A view (1 1 x y z) in [0, 1]."""

    view: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory it holds."""
        return self.view.numel() * self.view.element_size()


class CubeHand:
    """The network and the size of its view, in the scan's own voxels."""

    takes = frozenset({"point", "-point", "box", "scribble", "-scribble", "mask"})
    spacing_mm: float | None = None

    def __init__(self, net: ScribbleUnet, size: int, device: str = "cpu", *, bf16: bool = False) -> None:
        self._net, self.size, self.device, self._bf16 = net.to(device), size, torch.device(device), bf16

    def embed(self, view: torch.Tensor) -> Cube:
        """Values between their 0.5 and 99.5 percentiles, as from 0 to 1."""
        some = view.flatten()[:: max(1, view.numel() // 100_000)]
        low, high = torch.quantile(some, torch.tensor([0.005, 0.995], device=view.device))
        return Cube(((view - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)[None, None])

    def draw(self, features: Cube, marks: DeepMarks, previous: torch.Tensor | None) -> DeepSketch:
        """One pass; the last logits go in as they are."""
        drawn = shown_marks(features.view, drawn_marks(marks, self.size), self._net.config.guided)
        before = torch.zeros_like(features.view)
        if previous is not None:
            before = previous[None, None].to(before)
            if before.shape != features.view.shape:
                before = F.interpolate(before, size=[self.size] * 3, mode="trilinear", align_corners=False)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            logits = self._net(torch.cat([features.view, drawn, before], dim=1))
        return DeepSketch(logits[0, 0].float())
