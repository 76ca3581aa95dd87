"""Co-Seg++: a mask of one task becomes a dense prompt for the other (spatio-temporal prompt encoder, STP).

Paper: Xu et al. 2025, arXiv 2506.17159. Code: xq141839/Co-Seg-Plus, sam2/modeling/sam/prompt_encoder.py (Apache-2.0); rotary positions as
SAM 2's (facebookresearch/sam2, Apache-2.0). Parameters bear the released names.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.sam.decoder import ShrunkAttention
from ...blocks.sam.prompts import PromptEncoder
from ...blocks.scans.mamba import decay_logarithms, start_steps_, unit_skips
from ...blocks.scans.selective import selective_scan

THETA = 10_000.0  # of rotary positions; Source: released code


class TokenScan(nn.Module):
    """Tokens (b l width) read by a state-space layer without gate; its convolution looks both ways.

    Args:
        width: of a token.
        inner: channels that are scanned.
        state: numbers that each channel keeps.
        kernel: of the convolution.
        released: as the released code has it, one way and with the bias of the steps counted twice; else from both ends, with it once.
    """

    def __init__(self, width: int, inner: int, state: int, kernel: int, *, released: bool = False) -> None:
        super().__init__()
        self.rank, self.state, self.released = math.ceil(width / 16), state, released
        self.in_proj, self.out_proj = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
        self.conv1d_x = nn.Conv1d(inner, inner, kernel, padding="same", groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log, self.D = decay_logarithms(inner, state), unit_skips(inner)
        start_steps_(self.dt_proj.weight, self.dt_proj.bias, self.rank)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        u = F.silu(self.conv1d_x(self.in_proj(x).transpose(1, 2)))
        said = self._scan(u) if self.released else self._scan(u) + self._scan(u.flip(2)).flip(2)
        told: torch.Tensor = self.out_proj(said.to(u.dtype).transpose(1, 2))
        return told

    def _scan(self, u: torch.Tensor) -> torch.Tensor:
        low, b, c = self.x_proj(u.transpose(1, 2)).split([self.rank, self.state, self.state], dim=-1)
        raw = self.dt_proj(low) + self.dt_proj.bias if self.released else self.dt_proj(low)
        b, c = (part.transpose(1, 2).unsqueeze(1) for part in (b, c))
        steps = F.softplus(raw.float()).transpose(1, 2)
        return selective_scan(u, steps, -torch.exp(self.A_log.float()), b, c, self.D)


class RotaryAttention(ShrunkAttention):
    """Attention of one head whose queries and keys are turned by their places on a grid."""

    def __init__(self, width: int) -> None:
        if width % 4:
            raise ValueError(f"a width that 4 divides, for two axes of turned pairs, not {width}")
        super().__init__(width, heads=1)

    def on_grid(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """(b l width) of queries, keys and values (b l width) of a grid's places, row by row."""
        turns = rotations(self.q_proj.out_features, grid, q.device)
        q, k = rotate(self.q_proj(q), turns), rotate(self.k_proj(k), turns)
        told: torch.Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, self.v_proj(v)))
        return told


def rotations(width: int, grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Angles (l width/2) of a grid's places: of the first half of the pairs by column, of the second by row."""
    rows, columns = grid
    speeds = THETA ** -(torch.arange(0, width, 4, device=device, dtype=torch.float32) / width)
    column = torch.arange(columns, device=device).repeat(rows)
    row = torch.arange(rows, device=device).repeat_interleave(columns)
    return torch.cat([column[:, None] * speeds, row[:, None] * speeds], dim=-1)


def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Neighbouring pairs of channels (b l width), turned by angles (l width/2)."""
    even, odd = x[..., ::2], x[..., 1::2]
    sine, cosine = angles.sin(), angles.cos()
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


class _Mixing(nn.Module):
    """The mask looks at itself and then at the image's tokens."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.self_attn, self.cross_attn_image = RotaryAttention(width), RotaryAttention(width)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, mask: torch.Tensor, seen: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        normal = self.norm1(mask)
        mask = mask + self.self_attn.on_grid(normal, normal, normal, grid)
        mask = mask + self.cross_attn_image.on_grid(self.norm2(mask), seen, seen, grid)
        told: torch.Tensor = mask + self.linear2(F.relu(self.linear1(self.norm3(mask))))
        return told


class MutualPrompts(PromptEncoder):
    """SAM's prompts, of which a mask is first held against the image.

    Args:
        width: of the embedding.
        size: pixels per side of the picture.
        mask_channels: of the mask's convolutions.
        hidden: of the feed-forward.
        inner, state, kernel: see `TokenScan`.
        released: as the released code has it: the image is scanned without the mask added to it, and see `TokenScan`.
    """

    def __init__(
        self,
        width: int,
        size: int,
        mask_channels: int,
        hidden: int,
        *,
        inner: int,
        state: int,
        kernel: int,
        released: bool = False,
    ) -> None:
        super().__init__(width, size, mask_channels)
        self.released = released
        self.mixer = TokenScan(width, inner, state, kernel, released=released)
        self.cross_att = _Mixing(width, hidden)

    def of_mask(self, mask: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """The dense prompt (b width h w).

        Args:
            mask: logits of the other task (b 1 4h 4w).
            image: embedding (b width h w).
        """
        small = self.mask_downscaling(mask)
        scanned = image if self.released else image + small
        seen = self.mixer(scanned.flatten(2).transpose(1, 2))
        grid = (image.shape[2], image.shape[3])
        mixed = self.cross_att(small.flatten(2).transpose(1, 2), seen, grid)
        return torch.unflatten(mixed.transpose(1, 2), 2, grid)
