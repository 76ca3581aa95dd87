"""A Mamba layer over the tokens of an image or a volume, in one order or in several.

Source: Gu and Dao 2023, arXiv 2312.00752; parameters bear the names of state-spaces/mamba (Apache-2.0), so that weights fit as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from ..precision import without_autocast
from .directions import directions_for, visiting_orders
from .selective import selective_scan

STEPS = (1e-3, 0.1)  # of time that a fresh layer takes, log-uniform; Source: Mamba, section 3.6


class Mamba1D(nn.Module):
    """Tokens (b l width) to tokens.

    The depthwise convolution is causal along each order. Orders share the maps in and out and the gate; each has its own
    convolution, projections and decay, and their answers are summed.

    Args:
        width: of a token.
        state: numbers that each inner channel keeps.
        kernel: of the convolution.
        expand: inner channels for each channel.
        directions: row of `DIRECTIONS`.
        dims: of the images that tokens come from.
    """

    def __init__(
        self, width: int, state: int = 16, kernel: int = 4, expand: int = 2, directions: str = "fwd", dims: int = 2
    ) -> None:
        super().__init__()
        inner, self.rank, self.state, self.kernel = expand * width, math.ceil(width / 16), state, kernel
        self.directions = directions_for(directions, dims)
        passes = self.directions.passes
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(passes * inner, passes * inner, kernel, groups=passes * inner)
        self.x_proj = nn.Linear(inner, passes * (self.rank + 2 * state), bias=False)
        self.dt_proj = nn.Linear(self.rank, passes * inner)
        self.A_log, self.D = decay_logarithms(passes * inner, state), unit_skips(passes * inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        start_steps_(self.dt_proj.weight, self.dt_proj.bias, self.rank)

    def forward(self, x: torch.Tensor, sides: Sequence[int] = ()) -> torch.Tensor:
        """Tokens as long as x.

        Args:
            x: (b l width), row by row.
            sides: of the image; needed for directions but "fwd" and "bidir".
        """
        passes = self.directions.passes
        u, gate = self.in_proj(x).transpose(1, 2).chunk(2, dim=1)
        seen = in_orders(u, self.directions.name, tuple(sides) or (x.shape[1],))  # (b passes inner l)
        seen = F.silu(self.conv1d(F.pad(seen.flatten(1, 2), (self.kernel - 1, 0))))
        parts = torch.einsum(
            "b p d l, p r d -> b p r l", seen.unflatten(1, (passes, -1)), self.x_proj.weight.unflatten(0, (passes, -1))
        )
        low, into, out = parts.split([self.rank, self.state, self.state], dim=2)
        said = scan_groups(seen, low, into, out, self.dt_proj.weight, self.dt_proj.bias, self.A_log, self.D)
        merged = from_orders(said, self.directions.name, tuple(sides) or (x.shape[1],)).to(gate.dtype)
        answer: torch.Tensor = self.out_proj((merged * F.silu(gate)).transpose(1, 2))
        return answer


def scan_groups(
    u: torch.Tensor,
    low: torch.Tensor,
    into: torch.Tensor,
    out: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    logarithms: torch.Tensor,
    skip: torch.Tensor,
) -> torch.Tensor:
    """The scan of several passes at once, from their projections.

    Args:
        u: (b passes*d l).
        low: steps before their projection (b passes rank l).
        into, out: B and C (b passes n l).
        weight, bias: of the steps' projection (passes*d rank), (passes*d).
        logarithms: of -A (passes*d n).
        skip: D (passes*d).

    Returns:
        (b passes d l) in float32 at least.
    """
    passes = low.shape[1]
    with without_autocast(u):
        kind = torch.promote_types(u.dtype, torch.float32)
        steps = torch.einsum("b p r l, p d r -> b p d l", low.to(kind), weight.to(kind).unflatten(0, (passes, -1)))
        steps = F.softplus(steps.flatten(1, 2) + bias.to(kind)[:, None])
        said = selective_scan(u, steps, -torch.exp(logarithms.to(kind)), into, out, skip)
        return torch.unflatten(said, 1, (passes, -1))


def in_orders(x: torch.Tensor, directions: str, sides: tuple[int, ...]) -> torch.Tensor:
    """Tokens (b d l) in the order of each pass: (b passes d l)."""
    if directions == "fwd":
        return x.unsqueeze(1)
    return x[:, :, _orders(directions, sides).to(x.device)].transpose(1, 2)


def from_orders(x: torch.Tensor, directions: str, sides: tuple[int, ...]) -> torch.Tensor:
    """The sum of passes (b passes d l) with every token at its place again: (b d l)."""
    if directions == "fwd":
        return x.squeeze(1)
    places = _orders(directions, sides).argsort(dim=-1).to(x.device)
    return x.gather(3, places[None, :, None].expand(x.shape)).sum(1)


@lru_cache(maxsize=64)
def _orders(directions: str, sides: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(visiting_orders(directions_for(directions, 2 if len(sides) < 3 else 3), sides).copy())


def decay_logarithms(channels: int, state: int) -> nn.Parameter:
    """Logarithms of -A as they start, 1 to `state` for each channel; (channels state), not for weight decay."""
    return _kept(torch.arange(1, state + 1, dtype=torch.float32).log().repeat(channels, 1))


def unit_skips(channels: int) -> nn.Parameter:
    """D as it starts; (channels), not for weight decay."""
    return _kept(torch.ones(channels))


def start_steps_(weight: torch.Tensor, bias: torch.Tensor, rank: int) -> None:
    """Fills the projection to steps of time so that fresh steps are log-uniform in `STEPS`, after softplus."""
    low, high = map(math.log, STEPS)
    with torch.no_grad():
        weight.uniform_(-(rank**-0.5), rank**-0.5)
        steps = torch.exp(torch.rand_like(bias) * (high - low) + low)
        bias.copy_(steps + torch.log(-torch.expm1(-steps)))


def _kept(start: torch.Tensor) -> nn.Parameter:
    value = nn.Parameter(start)
    value._no_weight_decay = True  # type: ignore[attr-defined]  # as mamba-ssm marks it, for optimisers that look
    return value
