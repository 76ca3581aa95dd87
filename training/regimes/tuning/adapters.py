"""Low-rank changes of a network's weights: put on by patterns, taught alone, and merged so that nothing of them is seen.

Paper: "LoRA on U-Net", arXiv 2508.01772, no code seen; written from its definitions. The change is made of the weight and not of the
layer's answer, so convolutions, transposed ones and linear layers of any kernel are adapted alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ....imaging.errors import BadCall
from ....models.blocks.precision import without_autocast
from .rows import adapter_row

_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


@dataclass(frozen=True)
class Adapters:
    """What `[adapters]` says.

    Attributes:
        kind: row of `ADAPTERS`.
        rank: of the change.
        alpha: the change is multiplied by alpha / rank; 0 takes the rank.
        dora: whether each output channel's length is taught apart from its direction.
        on: patterns of layers' names, as a shell reads them.
    """

    kind: str = "cp-lora"
    rank: int = 4
    alpha: float = 0.0
    dora: bool = False
    on: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        adapter_row(self.kind)
        if self.rank < 1 or not self.on:
            raise BadCall(
                f"Adapters of rank {self.rank} on {len(self.on)} patterns change nothing. Set `rank` and `on`."
            )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Adapters:
        """The `[adapters]` table of a configuration."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)

    @property
    def name(self) -> str:
        """For records."""
        return f"{self.kind}{' as DoRA' if self.dora else ''}, rank {self.rank}"


class LowRank(nn.Module):
    """A weight with its change. The change is of a low rank once its axes are laid out as `kind` says, and starts at 0.

    Args:
        weight: of the layer.
        out: its axis of output channels.
    """

    def __init__(self, weight: torch.Tensor, out: int, how: Adapters) -> None:
        super().__init__()
        self.out, self.kind = out, how.kind
        self.scale = (how.alpha or how.rank) / how.rank
        self.sides = tuple(weight.movedim(out, 0).shape)
        outside, inside, *kernel = self.sides
        near = 1 / math.sqrt(inside)
        if how.kind == "cp-lora":
            sizes = [outside, inside, *kernel]
        elif how.kind == "lora-c" and kernel:
            sizes = [outside * kernel[0], inside * math.prod(kernel[1:])]
        else:
            sizes = [outside, inside * math.prod(kernel)]
        first, second, *others = [torch.empty(how.rank, size, device=weight.device) for size in sizes]
        nn.init.zeros_(first)
        nn.init.normal_(second, std=near)
        for one in others:
            nn.init.normal_(one, mean=1.0, std=0.1)
        self.factors = nn.ParameterList([first, second, *others])
        self.length = nn.Parameter(lengths(weight.detach(), out)) if how.dora else None

    def change(self) -> torch.Tensor:
        """What is added, of the weight's shape."""
        first, second, *others = self.factors
        found: torch.Tensor
        if self.kind == "cp-lora":
            found = first
            for one in [second, *others]:
                found = torch.einsum("r...,rn->r...n", found, one)
            found = found.sum(0)
        else:
            found = first.T @ second
            if self.kind == "lora-c" and len(self.sides) > 2:
                outside, inside, side, *rest = self.sides
                found = found.reshape(outside, side, inside, *rest).transpose(1, 2)
        return self.scale * found.reshape(self.sides).movedim(0, self.out)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight, in full precision also where the layer runs in less."""
        with without_autocast(weight):
            changed = weight + self.change()
            if self.length is not None:
                changed = self.length / lengths(changed, self.out).detach() * changed
        return changed


def lengths(weight: torch.Tensor, out: int) -> torch.Tensor:
    """The Euclidean length of what leads to each output channel, shaped to divide the weight by."""
    axes = [axis for axis in range(weight.dim()) if axis != out]
    found: torch.Tensor = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
    return found.clamp(min=1e-12)


def list_layers(net: nn.Module, on: Sequence[str]) -> list[str]:
    """Names of the layers that the patterns fit.

    Raises:
        BadCall: a pattern fits none.
    """
    names = [name for name, module in net.named_modules() if isinstance(module, _LAYERS)]
    for pattern in on:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise BadCall(
                f"The pattern '{pattern}' of [adapters] fits no layer. There are {len(names)}, as '{names[0]}' and '{names[-1]}'."
                if names
                else "The network has no layer that adapters could change."
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in on)]


def wrap_(net: nn.Module, how: Adapters) -> list[str]:
    """Put adapters on the layers of a network, and freeze everything else; answers the layers' names.

    Raises:
        BadCall: a pattern fits no layer, or the network has adapters already.
    """
    names = list_layers(net, how.on)
    if list_adapters(net):
        raise BadCall("The network has adapters already. Merge them first.")
    net.requires_grad_(False)
    for name in names:
        layer = net.get_submodule(name)
        assert isinstance(layer.weight, torch.Tensor)
        out = 1 if isinstance(layer, _TRANSPOSED) else 0
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, out, how))
    return names


def list_adapters(net: nn.Module) -> dict[str, nn.Parameter]:
    """The adapters' numbers by their names."""
    return {
        f"{place}.{name}": value
        for place, module in net.named_modules()
        if isinstance(module, LowRank)
        for name, value in module.named_parameters()
    }


def merge_(net: nn.Module) -> None:
    """Make the changes part of the weights, and take the adapters away."""
    for module in list(net.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
