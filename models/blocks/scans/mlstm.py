"""The matrix LSTM of xLSTM in three forms, and the block of Vision-LSTM (ViL) round it.

    C_t = f_t C_(t-1) + i_t v_t k_t',   n_t = f_t n_(t-1) + i_t k_t,   h_t = C_t q_t / (max(|n_t . q_t|, 1) + 1e-6)

with f = sigmoid, i = exp, keys over sqrt(d), all of it scaled by exp(-m_t) so that exponentials stay at most 1.
Source: Beck et al. 2024, arXiv 2405.04517, equations 19-27 (cell); Alkin et al. 2024, arXiv 2406.04303 (block). Written from the equations;
parameters bear the names of released checkpoints, whose norms store how far their weight is from 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..precision import without_autocast

CHUNK = 64  # tokens whose pairs are looked at together
LARGEST = 80.0  # argument of an exponential in float32
SMALL = 1e-6  # added to the normaliser; Source: released ViL code
EPS = 1e-5  # of norms; Source: released ViL code


def mlstm(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, i: torch.Tensor, f: torch.Tensor, *, chunk: int = CHUNK
) -> torch.Tensor:
    """What the cell says of each token, chunk by chunk: cost and memory grow with the length, not with its square.

    Args:
        q, k, v: (b h l d).
        i, f: gates before exponential and sigmoid (b h l).
        chunk: tokens that are looked at together; changes the cost only.

    Returns:
        (b h l d), in float32 at least, whatever autocast says.
    """
    with without_autocast(q):
        q, k, v, i, f = _precise(q, k, v, i, f)
        batch, heads, length, width = q.shape
        memory, seen = q.new_zeros(batch, heads, width, width), q.new_zeros(batch, heads, width)
        scale = q.new_full((batch, heads), -math.inf)  # m: logarithm that the state was divided by
        said = []
        for at in range(0, length, chunk):
            queries, keys, values = (x[:, :, at : at + chunk] for x in (q, k, v))
            since = F.logsigmoid(f[:, :, at : at + chunk]).cumsum(
                -1
            )  # what is kept from before the chunk, in logarithms
            gains = i[:, :, at : at + chunk] - since
            pairs, before = _pairs(since, gains), since + scale.unsqueeze(-1)
            top = torch.maximum(pairs.amax(-1), before)
            weights = (queries @ keys.transpose(-1, -2)) * torch.exp(pairs - top.unsqueeze(-1))
            old = torch.exp(before - top)
            total = weights @ values + old.unsqueeze(-1) * (queries @ memory)
            mass = weights.sum(-1) + old * (queries @ seen.unsqueeze(-1)).squeeze(-1)
            said.append(_divided(total, mass, top))

            all_kept = since[..., -1]
            reached = torch.maximum(all_kept + scale, (all_kept.unsqueeze(-1) + gains).amax(-1))
            written = keys * torch.exp(all_kept.unsqueeze(-1) + gains - reached.unsqueeze(-1)).unsqueeze(-1)
            left = torch.exp(all_kept + scale - reached)
            memory = left[..., None, None] * memory + written.transpose(-1, -2) @ values
            seen = left.unsqueeze(-1) * seen + written.sum(-2)
            scale = reached
        return torch.cat(said, dim=2)


def mlstm_in_parallel(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, i: torch.Tensor, f: torch.Tensor
) -> torch.Tensor:
    """`mlstm` with every pair of tokens at once; memory grows with the square of the length."""
    with without_autocast(q):
        q, k, v, i, f = _precise(q, k, v, i, f)
        since = F.logsigmoid(f).cumsum(-1)
        pairs = _pairs(since, i - since)
        top = pairs.amax(-1)
        weights = (q @ k.transpose(-1, -2)) * torch.exp(pairs - top.unsqueeze(-1))
        return _divided(weights @ v, weights.sum(-1), top)


def mlstm_by_steps(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, i: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    """`mlstm` as its equations are written, one token after the other: slow, for comparison."""
    q, k, v, i, f = _precise(q, k, v, i, f)
    memory, seen = q.new_zeros(*q.shape[:2], q.shape[3], q.shape[3]), q.new_zeros(*q.shape[:2], q.shape[3])
    scale = q.new_full(q.shape[:2], -math.inf)
    said = []
    for t in range(q.shape[2]):
        kept = F.logsigmoid(f[:, :, t]) + scale
        scale = torch.maximum(kept, i[:, :, t])
        old, new = torch.exp(kept - scale).unsqueeze(-1), torch.exp(i[:, :, t] - scale).unsqueeze(-1)
        key, value, query = k[:, :, t], v[:, :, t], q[:, :, t]
        memory = old.unsqueeze(-1) * memory + (new * key).unsqueeze(-1) * value.unsqueeze(-2)
        seen = old * seen + new * key
        said.append(_divided((query.unsqueeze(-2) @ memory).squeeze(-2), (query * seen).sum(-1), scale))
    return torch.stack(said, dim=2)


def _precise(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, i: torch.Tensor, f: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """All of it in float32 at least, the keys over sqrt(d)."""
    kind = torch.promote_types(q.dtype, torch.float32)
    return q.to(kind), k.to(kind) / math.sqrt(q.shape[-1]), v.to(kind), i.to(kind), f.to(kind)


def _pairs(since: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Logarithm of what token t keeps of token s: (b h t s), -inf where s is later."""
    later = torch.ones(since.shape[-1], since.shape[-1], dtype=torch.bool, device=since.device).triu(1)
    return (since.unsqueeze(-1) + gains.unsqueeze(-2)).masked_fill(later, -math.inf)


def _divided(total: torch.Tensor, mass: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    least = torch.exp((-scale).clamp(max=LARGEST))
    return total / (torch.maximum(mass.abs(), least) + SMALL).unsqueeze(-1)


class OffsetNorm(nn.Module):
    """A norm over channels (... c) whose stored weight is how far the factor is from 1.

    Args:
        width: channels.
        groups: parts that are normalised apart.
        bias: whether something is added.
    """

    def __init__(self, width: int, groups: int = 1, *, bias: bool = False) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        parts = x.unflatten(-1, (self.groups, -1))
        normal = F.layer_norm(parts, parts.shape[-1:], eps=EPS).flatten(-2) * (1 + self.weight)
        return normal if self.bias is None else normal + self.bias


class BlockDiagonal(nn.Module):
    """A linear map without bias that mixes only neighbours: (... width), `size` channels at a time."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width // size, size, size))  # (blocks out in)
        nn.init.normal_(self.weight, std=math.sqrt(2 / (5 * width)))  # "small init" of xLSTM

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        return torch.einsum(
            "... n i, n o i -> ... n o", x.unflatten(-1, (self.weight.shape[0], -1)), self.weight
        ).flatten(-2)


class _CausalConv(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, groups=width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x.transpose(1, 2), (self.conv.kernel_size[0] - 1, 0))
        told: torch.Tensor = self.conv(padded).transpose(1, 2)
        return told


class _Cell(nn.Module):
    """Gates, mLSTM and a norm for each head; q, k, v (b l inner) to (b l inner)."""

    def __init__(self, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.igate, self.fgate = nn.Linear(3 * inner, heads), nn.Linear(3 * inner, heads)
        self.outnorm = OffsetNorm(inner, heads)
        for gate in (self.igate, self.fgate):
            nn.init.zeros_(gate.weight)
        nn.init.normal_(self.igate.bias, std=0.1)
        with torch.no_grad():
            self.fgate.bias.copy_(torch.linspace(3, 6, heads))

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        all_of_it = torch.cat([q, k, v], dim=-1)
        i, f = self.igate(all_of_it).transpose(1, 2), self.fgate(all_of_it).transpose(1, 2)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        normal: torch.Tensor = self.outnorm(mlstm(q, k, v, i, f).to(q.dtype).transpose(1, 2).flatten(2))
        return normal


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner, size = 2 * width, 4 if width % 4 == 0 else 2
        if width % 2:
            raise ValueError(f"a ViL block is an even number of channels wide, not {width}")
        self.proj_up = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = _CausalConv(inner, 4)
        self.q_proj, self.k_proj, self.v_proj = (BlockDiagonal(inner, size) for _ in range(3))
        self.mlstm_cell = _Cell(inner, size)
        self.learnable_skip = nn.Parameter(torch.ones(inner))
        self.proj_down = nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, z = self.proj_up(x).chunk(2, dim=-1)
        local = F.silu(self.conv1d(x))
        said = self.mlstm_cell(self.q_proj(local), self.k_proj(local), self.v_proj(x))
        down: torch.Tensor = self.proj_down((said + self.learnable_skip * local) * F.silu(z))
        return down


class ViLBlock(nn.Module):
    """Tokens (b l width) to tokens: norm, up to twice the width, causal convolution, mLSTM, gate, down, added to what came in.

    Args:
        width: of a token, even. Heads and blocks of the maps to queries, keys and values are 4, or 2 where 4 does not divide it.
        backwards: whether tokens are read from their end.
        norm_bias: whether the norm before adds something.
    """

    def __init__(self, width: int, *, backwards: bool = False, norm_bias: bool = False) -> None:
        super().__init__()
        self.backwards = backwards
        self.norm = OffsetNorm(width, bias=norm_bias)
        self.layer = _Layer(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        tokens = self.norm(x.flip(1) if self.backwards else x)
        said: torch.Tensor = self.layer(tokens)
        return x + (said.flip(1) if self.backwards else said)
