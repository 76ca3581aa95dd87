"""3DSAM-adapter in a view: the cube with its slices first, and clicks that carry no label."""

from __future__ import annotations

import torch

from ..deep import DeepMarks, DeepSketch
from .network import Adapter3d, Seen

SEEN = (0.5, 99.5)  # percentiles of the view that become its range; ours
MOST = 1_000_000  # voxels the percentiles are taken of


class AdapterHand:
    """The network; see `deep.DeepHand`."""

    takes = frozenset({"point"})
    spacing_mm: float | None = None

    def __init__(self, net: Adapter3d, device: str = "cpu") -> None:
        self._net, self.device = net.to(device), torch.device(device)
        self.size = net.config.encoder.crop

    def embed(self, view: torch.Tensor) -> Seen:
        """The view (x y z) as (z y x), its values cut at two percentiles and brought to mean 0 and standard deviation 1."""
        sample = view.flatten()[:: max(1, view.numel() // MOST)]
        low, high = torch.quantile(sample, torch.tensor(SEEN, device=view.device) / 100)
        cut = view.clamp(float(low), float(high))
        scaled = (cut - cut.mean()) / cut.std().clamp(min=1e-6)
        return self._net.encode(scaled.permute(2, 1, 0)[None, None].expand(-1, 3, -1, -1, -1))

    def draw(self, features: Seen, marks: DeepMarks, previous: torch.Tensor | None) -> DeepSketch:
        """The structure's logit less the background's; clicks are slice, column, row."""
        points = marks.points[:, [2, 0, 1]][None].to(self.device)
        logits = self._net.decode(features, points)[0]
        return DeepSketch((logits[1] - logits[0]).permute(2, 1, 0))
