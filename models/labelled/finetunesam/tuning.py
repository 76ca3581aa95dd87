"""What finetune-SAM puts into a SAM so that few weights learn: bottleneck adapters, or low-rank terms on queries and values.

Part of finetune-SAM (network.py). Source: mazurowski-lab/finetune-SAM, Apache-2.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from ...blocks.sam.decoder import MaskDecoder
from ...blocks.sam.vit import ImageEncoder

RATIO = 0.25  # of the width that an adapter's bottleneck has
SCALE = 0.5  # of what the adapter beside an MLP answers
RANK = 4


class Adapter(nn.Module):
    """Down to a bottleneck, GELU, up again; with what it read added where `skip`."""

    def __init__(self, width: int, *, skip: bool) -> None:
        super().__init__()
        inner = int(width * RATIO)
        self.down, self.act, self.up, self._skip = nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width), skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (... width)."""
        narrow: torch.Tensor = self.up(self.act(self.down(x)))
        return x + narrow if self._skip else narrow


class AdaptedMlp(nn.Module):
    """An MLP with an adapter beside it, which reads the same."""

    def __init__(self, mlp: nn.Module, width: int) -> None:
        super().__init__()
        self.mlp, self.adapter = mlp, Adapter(width, skip=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (... width)."""
        both: torch.Tensor = self.mlp(x) + SCALE * self.adapter(x)
        return both


class Lora(nn.Module):
    """A linear layer with low-rank terms on some of its parts; it starts as the layer alone.

    Args:
        parts: how many equal parts its outputs have, such as 3 for queries, keys and values together.
        learned: which of them get a term.
    """

    def __init__(self, base: nn.Linear, rank: int, parts: int = 1, learned: tuple[int, ...] = (0,)) -> None:
        super().__init__()
        self.base, self._parts, self._learned = base, parts, learned
        out = base.out_features // parts
        self.down = nn.ModuleList(nn.Linear(base.in_features, rank, bias=False) for _ in learned)
        self.up = nn.ModuleList(nn.Linear(rank, out, bias=False) for _ in learned)
        for down, up in zip(self.down, self.up, strict=True):
            nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))  # type: ignore[arg-type]  # a linear layer's
            nn.init.zeros_(up.weight)  # type: ignore[arg-type]  # a linear layer's

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(... out) of (... in)."""
        answers = list(self.base(x).chunk(self._parts, dim=-1))
        for part, down, up in zip(self._learned, self.down, self.up, strict=True):
            answers[part] = answers[part] + up(down(x))
        return torch.cat(answers, dim=-1)

    def merge(self) -> nn.Linear:
        """One layer that answers the same."""
        rows = list(self.base.weight.detach().chunk(self._parts))
        for part, down, up in zip(self._learned, self.down, self.up, strict=True):
            rows[part] = rows[part] + (up.weight @ down.weight).detach()  # type: ignore[operator]  # of linear layers
        self.base.weight.data = torch.cat(rows)
        return self.base


def adapt_encoder_(encoder: ImageEncoder, numbers: Iterable[int]) -> None:
    """Adapters in these blocks: after attention with a skip, beside the MLP without."""
    width = encoder.config.width
    for number in numbers:
        block = encoder.blocks[number]
        block.attn = nn.Sequential(block.attn, Adapter(width, skip=True))  # type: ignore[arg-type]  # a module
        block.mlp = AdaptedMlp(block.mlp, width)  # type: ignore[arg-type]  # a module


def adapt_decoder_(decoder: MaskDecoder, width: int) -> None:
    """In every two-way block: one adapter beside the MLP, and one, used twice, that reads tokens and picture after each looked at the other."""
    for block in decoder.transformer.layers:
        both = Adapter(width, skip=True)
        block.norm2, block.norm4 = (nn.Sequential(both, norm) for norm in (block.norm2, block.norm4))  # type: ignore[arg-type]  # modules
        block.mlp = AdaptedMlp(block.mlp, width)  # type: ignore[arg-type]  # a module


def add_lora_to_encoder_(encoder: ImageEncoder, rank: int) -> None:
    """Terms on queries and values of every block."""
    for block in encoder.blocks:
        attention = block.get_submodule("attn")
        qkv = attention.get_submodule("qkv")
        assert isinstance(qkv, nn.Linear)
        attention.qkv = Lora(qkv, rank, 3, (0, 2))


def add_lora_to_decoder_(decoder: MaskDecoder, rank: int) -> None:
    """Terms on queries and values of self-attention, both cross-attentions and the last look at the picture."""
    attentions = [
        block.get_submodule(name)
        for block in decoder.transformer.layers
        for name in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")
    ]
    for attention in [*attentions, decoder.transformer.final_attn_token_to_image]:
        for name in ("q_proj", "v_proj"):
            linear = attention.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            setattr(attention, name, Lora(linear, rank))


def merge_lora_(net: nn.Module) -> None:
    """Every low-rank term becomes part of the layer it stands on."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Lora):
                setattr(module, name, child.merge())
