"""LoRA: a few low-rank weights beside frozen linear layers.

Paper: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
The published DuPLUS code freezes everything *after* wrapping, adapters included, so nothing trains
(spec §10.1). Here freezing comes first and the adapters are made afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

# Source: spec §3, of DuPLUS' text tower.
RANK, ALPHA, DROPOUT = 32, 128.0, 0.2
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


class LoraLinear(nn.Module):
    """A frozen linear layer plus alpha/r * B A x; B starts at 0, so nothing changes at first."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base_layer, self.scale, self.dropout = base, alpha / rank, dropout
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)

    @property
    def weight(self) -> torch.Tensor:
        """The merged weight, for code that looks at it."""
        return self.base_layer.weight + self.scale * self.lora_B @ self.lora_A

    @property
    def bias(self) -> torch.Tensor | None:
        """The frozen layer's bias."""
        return self.base_layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The frozen answer plus the adapter's."""
        more = F.linear(F.linear(F.dropout(x, self.dropout, self.training), self.lora_A), self.lora_B)
        result: torch.Tensor = self.base_layer(x) + self.scale * more
        return result

    def merged(self) -> nn.Linear:
        """One plain layer that answers the same."""
        made = nn.Linear(self.base_layer.in_features, self.base_layer.out_features, self.base_layer.bias is not None)
        with torch.no_grad():
            made.weight.copy_(self.weight)
            if self.bias is not None:
                made.bias.copy_(self.bias)
        return made


def add_lora_(
    model: nn.Module,
    targets: Sequence[str] = TEXT_TARGETS,
    *,
    rank: int = RANK,
    alpha: float = ALPHA,
    dropout: float = DROPOUT,
) -> list[str]:
    """Freeze the whole model, then give every linear layer whose last name is a target an adapter that trains.

    Returns:
        Names of the layers that got one.

    Raises:
        ValueError: no layer has such a name, so nothing would train.
    """
    for value in model.parameters():
        value.requires_grad_(False)
    found = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in targets
    ]
    if not found:
        raise ValueError(f"no linear layer is called {', '.join(targets)}; nothing would train")
    for name in found:
        parent, last = _parent(model, name)
        setattr(parent, last, LoraLinear(getattr(parent, last), rank, alpha, dropout))
    return found


def merge_lora_(model: nn.Module) -> None:
    """Replace every adapter by one plain layer with the same answer."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLinear):
            parent, last = _parent(model, name)
            setattr(parent, last, layer.merged())


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """What an optimiser would change, by name."""
    return ((name, value) for name, value in model.named_parameters() if value.requires_grad)


def thaw_(model: nn.Module, parts: Sequence[str]) -> None:
    """Let parameters train, too, whose name holds one of `parts`, such as "film" in transfer (spec §3)."""
    for name, value in model.named_parameters():
        if any(part in name for part in parts):
            value.requires_grad_(True)


def _parent(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, last = name.rpartition(".")
    return (model.get_submodule(path) if path else model), last
