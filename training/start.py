"""Weights a run may begin with, and those it has come to."""

from __future__ import annotations

from pathlib import Path

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


def averaged_weights(checkpoint: Path, name: str, fit: str) -> dict[str, torch.Tensor]:
    """The averaged weights of a run.

    Args:
        fit: what comes behind `ostensor fit` to train it.

    Raises:
        Unavailable: it has no checkpoint yet.
    """
    if not checkpoint.exists():
        raise Unavailable(f"'{name}' has not been trained here. Run `{f'ostensor fit {fit}'.strip()}` first.")
    weights: dict[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    return weights
