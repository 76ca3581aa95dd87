"""I-MedSAM's decoder: a mask as a function of the place, first a rough one everywhere, then a finer one where the rough one is unsure.

Part of I-MedSAM (network.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

FREQUENCIES = 10  # from 1 to 2^10, evenly in their logarithm. Source: arXiv 2311.17081
FOURIER = 3 + 3 * 2 * FREQUENCIES  # a place has three numbers, the third always 0
DROPPED, PASSES, REFINED = 0.5, 2, 0.125  # of hidden values, looks, and the share of places that is refined
SEED = 0  # of what is dropped, so that the same prompts give the same mask


@dataclass(frozen=True)
class FieldConfig:
    """Sizes; the defaults are the published ones.

    Attributes:
        upscaled, code: channels of what is known of a place beside its Fourier code.
        coarse, fine: hidden widths.
        passed: features that the rough function hands on.
    """

    upscaled: int = 32
    code: int = 256
    coarse: tuple[int, ...] = (1024, 512)
    fine: tuple[int, ...] = (256, 256, 128)
    passed: int = 256

    @property
    def known(self) -> int:
        """Channels known of a place."""
        return self.upscaled + self.code + FOURIER


@dataclass(frozen=True)
class Answer:
    """Of places (b n): logits, those of the rough function alone, how much its looks differ, and the places that were refined (b k)."""

    logits: torch.Tensor
    rough: torch.Tensor
    unsure: torch.Tensor
    refined: torch.Tensor


def encode_fourier(places: torch.Tensor, share: float = 1.0) -> torch.Tensor:
    """Codes (... 63) of places (... 2) from -1 to 1; of `share` below 1 only the first channels, the rest 0 (coarse to fine)."""
    three = torch.cat([places, torch.zeros_like(places[..., :1])], dim=-1)
    scales = 2 ** torch.linspace(0, FREQUENCIES, FREQUENCIES, device=places.device)
    angles = three[..., None, :] * scales[:, None]
    code = torch.cat([three[..., None, :], torch.stack([angles.sin(), angles.cos()], dim=-2).flatten(-3, -2)], dim=-2)
    code = code.flatten(-2)
    kept = torch.arange(FOURIER, device=places.device) < int(share * FOURIER) + 3
    return code * kept


class _Hidden(nn.Module):
    """Linear layers with BatchNorm and ReLU."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for b in widths[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x)))
        return x


class Field(nn.Module):
    """Both functions.

    As released, nothing is dropped when it is asked, so that both looks agree, nothing is unsure, and an arbitrary strip is refined.
    Here values are dropped then, too; `legacy` is the released behaviour.
    """

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
        self.coarse = _Hidden((config.known, *config.coarse))
        self.coarse_head = nn.Linear(config.coarse[-1], 1 + config.passed)
        self.fine = _Hidden((config.known + config.passed, *config.fine))
        self.fine_head = nn.Linear(config.fine[-1], 1)

    def forward(self, known: torch.Tensor, *, legacy: bool = False) -> Answer:
        """What stands at places of which `known` (b n channels) is known."""
        b, n, channels = known.shape
        flat = known.reshape(b * n, channels)
        hidden = self.coarse(flat)
        generator = torch.Generator(device=known.device).manual_seed(SEED)
        looks = torch.stack([self.coarse_head(self._dropped(hidden, generator, legacy)) for _ in range(PASSES)])
        rough, unsure = looks[..., 0].mean(0).view(b, n), looks[..., 0].var(0, unbiased=False).view(b, n)
        refined = unsure.topk(max(1, int(REFINED * n)), dim=1).indices
        both = torch.cat([flat, looks[..., 1:].mean(0)], dim=1).view(b, n, -1)
        chosen = both.gather(1, refined[..., None].expand(-1, -1, both.shape[-1]))
        finer = self.fine_head(self.fine(chosen.flatten(0, 1))).view(b, -1)
        return Answer(rough.scatter(1, refined, finer), rough, unsure, refined)

    def _dropped(self, hidden: torch.Tensor, generator: torch.Generator, legacy: bool) -> torch.Tensor:
        if legacy and not self.training:
            return hidden
        kept = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= DROPPED
        return hidden * kept / (1 - DROPPED)
