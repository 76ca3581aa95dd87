"""DD-SAM2's adapters on SAM 2's encoder: after each of the first blocks, what an adapter says is added to what the block says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .adapters import DilatedAdapter

BLOCKS = 6  # Source: apple1986/DD-SAM2


def attach(blocks: Sequence[nn.Module], count: int = BLOCKS) -> tuple[nn.ModuleList, Callable[[], None]]:
    """New adapters on the first blocks, whose answers are tokens (b h w c), and a function that takes them off again.

    Args:
        blocks: of transformers' Hiera, whose `dim_out` is the width of their answers.
    """
    adapters = nn.ModuleList(DilatedAdapter(int(block.dim_out)) for block in blocks[:count])  # type: ignore[arg-type]  # a number
    hooks = [block.register_forward_hook(_adding(one)) for block, one in zip(blocks, adapters, strict=False)]

    def detach() -> None:
        for hook in hooks:
            hook.remove()

    return adapters, detach


def _adding(adapter: nn.Module) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
    def add(_block: nn.Module, _given: Any, answer: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = answer + adapter(answer)
        return added

    return add
