"""Weights a run may begin with."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..imaging.errors import Unavailable
from ..models.catalogue import WEIGHTS_FOLDER
from ..models.checkpoints import full_precision

FIRST = "down.0.0.0.weight"  # the first kernel of a SatMini


def widened(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """A first kernel (out in ...) for so many channels; it gives nothing to those that come to both sides of the old ones."""
    more = (channels - kernel.shape[1]) // 2
    return F.pad(kernel, (0, 0) * (kernel.dim() - 2) + (more, more))


def bundled_weights(name: str) -> dict[str, torch.Tensor]:
    """The bundled weights of a network in full precision.

    Raises:
        Unavailable: they are not here.
    """
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    if not path.exists():
        raise Unavailable(
            f"There are no bundled weights of '{name}' to start from. Train it first, or set start = \"random\"."
        )
    return full_precision(path)
