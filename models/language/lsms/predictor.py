"""LSMS as a referring predictor asks it: words enter from the first block on, so the picture is looked at anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...interface import Orientation
from ..referring.scan import Pointed, ReferringScan
from .network import Lsms


class LsmsPointer:
    """A loaded LSMS.

    Args:
        size: side of the square pictures it was taught on.
    """

    def __init__(self, net: Lsms, size: int, *, device: str = "cpu") -> None:
        self.device, self.size = torch.device(device), size
        self._net = net.eval().to(self.device)

    def allowed(self, scan: ReferringScan, text: str, orientation: Orientation) -> tuple[int, ...] | None:
        """None: it looks for no symmetry."""
        return None

    def point(
        self, scan: ReferringScan, slices: Sequence[int], words: torch.Tensor, valid: torch.Tensor,
        allowed: tuple[int, ...] | None,
    ) -> Pointed:  # fmt: skip
        """See `referring_predictor.Pointer`."""
        logits = self._net(scan.tensor(slices, self.device), words.to(self.device), valid.to(self.device)).logits
        return Pointed(logits.cpu().numpy(), [0] * len(slices))
