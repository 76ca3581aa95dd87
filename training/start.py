"""Weights a run may begin with, and those it has come to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F

from ..imaging.errors import BadCall, Unavailable
from ..models.catalogue import WEIGHTS_FOLDER
from ..models.checkpoints import full_precision
from ..models.language.satmini.fixed_classes import ClassesConfig, FixedClasses

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


def heads_of(config: ClassesConfig) -> set[str]:
    """Names of the weights that have another shape in a network of other structures."""
    with torch.device("meta"):
        few, more = (FixedClasses(config, [str(n) for n in range(count)]).state_dict() for count in (2, 3))
    return {name for name, value in few.items() if more[name].shape != value.shape}


def carry_(net: torch.nn.Module, state: Mapping[str, torch.Tensor], heads: Collection[str] = ()) -> None:
    """Put another network's weights into this one, which keeps its own heads.

    Raises:
        BadCall: the networks differ in more than their heads.
    """
    own = net.state_dict()
    kept = {name: value for name, value in state.items() if name not in heads}
    fresh = [name for name in own if name not in heads and (name not in kept or kept[name].shape != own[name].shape)]
    wrong = [*fresh, *(name for name in kept if name not in own)]
    if wrong:
        raise BadCall(
            f"The weights to begin with are another network's: '{wrong[0]}' and {len(wrong) - 1} others do not fit. "
            "Give both runs the same [network]."
        )
    net.load_state_dict({**own, **kept})
