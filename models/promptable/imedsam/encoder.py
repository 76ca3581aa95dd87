"""I-MedSAM's image encoder: SAM's with gated LoRA, and a narrow branch that reads the picture's spectrum.

Part of I-MedSAM (network.py).
"""

from __future__ import annotations

import torch
from torch import nn

from ...blocks.sam.vit import EncoderConfig, ImageEncoder

RANK = 4  # of LoRA, and the width inside the spectrum's adapters. Source: arXiv 2311.17081
SHARE = 0.5  # of the spectrum's tokens that is added after each block


class GatedLora(nn.Module):
    """A projection to queries, keys and values with a low-rank term on queries and on values, each times a learned number.

    The number is linear in the mean token and has no bounds. It starts as the projection alone.
    """

    def __init__(self, qkv: nn.Linear, rank: int) -> None:
        super().__init__()
        width = qkv.in_features
        self.qkv = qkv
        self.down_q, self.down_v = (nn.Linear(width, rank, bias=False) for _ in range(2))
        self.up_q, self.up_v = (nn.Linear(rank, width, bias=False) for _ in range(2))
        self.gate_q, self.gate_v = (nn.Linear(width, 1) for _ in range(2))
        for up in (self.up_q, self.up_v):
            nn.init.zeros_(up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b ... 3*width) of tokens (b ... width)."""
        mean = x.flatten(1, -2).mean(1).view(len(x), *[1] * (x.dim() - 2), -1)
        q = self.gate_q(mean) * self.up_q(self.down_q(x))
        v = self.gate_v(mean) * self.up_v(self.down_v(x))
        projected: torch.Tensor = self.qkv(x)
        return projected + torch.cat([q, torch.zeros_like(q), v], dim=-1)


class SpectrumAdapter(nn.Module):
    """Tokens of the spectrum for the next block: their norm, and a narrow MLP of it."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, f: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        normed = self.norm(f)
        added: torch.Tensor = normed + self.mlp(normed)
        return added


def compute_spectrum(picture: torch.Tensor) -> torch.Tensor:
    """How strong each frequency of the first colour is, lowest in the middle, from 0 to 1 in each picture (b 3 h w); the lowest dominates."""
    strength = torch.fft.fftshift(torch.fft.fft2(picture[:, :1]).abs(), dim=(-2, -1))
    low, high = strength.amin((-2, -1), keepdim=True), strength.amax((-2, -1), keepdim=True)
    scaled: torch.Tensor = ((strength - low) / (high - low).clamp(min=1e-12)).expand(-1, 3, -1, -1)
    return scaled


class SpectralEncoder(ImageEncoder):
    """From a picture (b 3 size size) to its embedding; the spectrum goes through the same patches and places."""

    def __init__(self, config: EncoderConfig, rank: int = RANK) -> None:
        super().__init__(config)
        self.frequency = nn.ModuleList(SpectrumAdapter(config.width, rank) for _ in range(config.depth))
        for block in self.blocks:
            attention = block.get_submodule("attn")
            qkv = attention.get_submodule("qkv")
            assert isinstance(qkv, nn.Linear)
            attention.qkv = GatedLora(qkv, rank)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """The embedding."""
        x, f = self.tokens(picture), self.tokens(compute_spectrum(picture))
        for block, adapter in zip(self.blocks, self.frequency, strict=True):
            f = adapter(f)
            x = block(x) + SHARE * f
        return self.finish(x)
