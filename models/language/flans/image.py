"""SAM's image encoder: a vision transformer with windows, a few global blocks and a convolutional neck.

Part of FLanS (models/language/flans/network.py). Names of layers are those of the published checkpoint, so that it loads.
Source: Kirillov et al. 2023, Segment Anything, arXiv 2304.02643; facebookresearch/segment-anything, Apache-2.0.
The small configuration begins with a U-Net that was taught to segment, where FLanS begins with SAM: a small transformer
that starts from nothing learns too little from a few thousand pictures. The U-Net's maps also reach the mask decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...blocks.unet import UNet

BODY_MEAN, BODY_SPREAD = 0.5, 0.2  # of a body's pixels in [0, 1], our estimate; a SAT-mini expects z-scores
FINEST = 16  # channels of the level that is left out
EPS = 1e-6  # of every norm in here


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder; the defaults are SAM ViT-B.

    Attributes:
        size: pixels per side of the square picture.
        patch: pixels per token side.
        global_blocks: indices of blocks that attend over the whole picture; the others within windows.
        window: tokens per window side.
        out: channels of the embedding.
        trunk: channels of a U-Net that makes the tokens (patch 8 only) instead of
            one patch projection; empty without it.
    """

    size: int = 1024
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14
    out: int = 256
    trunk: tuple[int, ...] = ()

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.size // self.patch


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of (b c h w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        centred = x - x.mean(1, keepdim=True)
        scaled = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + EPS)
        return self.weight[:, None, None] * scaled + self.bias[:, None, None]


class Mlp(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, width: int, hidden: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        result: torch.Tensor = self.lin2(self.act(self.lin1(x)))
        return result


class Attention(nn.Module):
    """Self-attention over (b h w c) with decomposed relative positions along rows and columns."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        b, h, w, c = x.shape
        q, k, v = self.qkv(x).reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        rows, columns = (_relative(table, n) for table, n in ((self.rel_pos_h, h), (self.rel_pos_w, w)))
        plane = q.reshape(b, self.heads, h, w, -1)
        bias = torch.einsum("bnhwc,hkc->bnhwk", plane, rows)[..., None]
        bias = bias + torch.einsum("bnhwc,wkc->bnhwk", plane, columns)[..., None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.reshape(b, self.heads, h * w, h * w))
        result: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(b, h, w, c))
        return result


def _relative(table: torch.Tensor, side: int) -> torch.Tensor:
    """Rows (side side c) of the table by signed distance, which starts at -(side - 1)."""
    at = torch.arange(side, device=table.device)
    return table[at[:, None] - at[None, :] + (len(table) - 1) // 2]


class Block(nn.Module):
    """Pre-norm transformer block; `window` 0 attends over everything."""

    def __init__(self, config: EncoderConfig, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(config.width, EPS), nn.LayerNorm(config.width, EPS)
        self.attn = Attention(config.width, config.heads, window or config.grid)
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio), nn.GELU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape (b h w c)."""
        attended = self.norm1(x)
        attended = self.attn(attended) if self.window == 0 else self._in_windows(attended)
        x = x + attended
        result: torch.Tensor = x + self.mlp(self.norm2(x))
        return result

    def _in_windows(self, x: torch.Tensor) -> torch.Tensor:
        """Attention within windows; the last ones are filled up with zeros, which are attended to as in SAM."""
        b, h, w, c = x.shape
        n = self.window
        rows, columns = -(-h // n), -(-w // n)
        x = F.pad(x, (0, 0, 0, columns * n - w, 0, rows * n - h))
        x = x.view(b, rows, n, columns, n, c).transpose(2, 3).reshape(-1, n, n, c)
        x = self.attn(x)
        x = x.view(b, rows, columns, n, n, c).transpose(2, 3).reshape(b, rows * n, columns * n, c)
        return x[:, :h, :w]


class _Patches(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, stride=config.patch)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.proj(x), []


class Trunk(UNet):
    """The U-Net of a 2-D SAT-mini without its finest level; names of layers as there, so that its weights load.

    It was taught arrays along the patient's axes (x to the right, then y to the front) and z-scores; pictures come as
    displayed (rows to the back, columns to the left) in [0, 1].
    """

    def __init__(self, config: EncoderConfig) -> None:
        if config.patch != 8 or len(config.trunk) < 5 or config.width != config.trunk[3]:
            raise ValueError(
                f"a U-Net makes tokens of 8 pixels and of its fourth level's channels; got {config.patch} pixels, "
                f"{config.width} channels, levels {config.trunk}"
            )
        super().__init__(2, 1, config.trunk, FINEST)
        self.up, self.merge = self.up[:-1], self.merge[:-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Tokens (b width h/8 w/8), and the maps at strides 4 and 2."""
        scored = (x.mean(1, keepdim=True) - BODY_MEAN) / BODY_SPREAD
        maps = [_turned(one) for one in self.decode(_turned(scored))]
        tokens, middle, fine = maps[-3:]
        return tokens, [middle, fine]


def _turned(x: torch.Tensor) -> torch.Tensor:
    """Displayed to the patient's axes, and back."""
    return x.transpose(2, 3).flip(2, 3)


class ImageEncoder(nn.Module):
    """From a picture (b 3 size size) to its embedding (b out grid grid)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = Trunk(config) if config.trunk else _Patches(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid, config.grid, config.width))
        self.blocks = nn.ModuleList(
            Block(config, 0 if n in config.global_blocks else config.window) for n in range(config.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(config.width, config.out, 1, bias=False),
            LayerNorm2d(config.out),
            nn.Conv2d(config.out, config.out, 3, padding=1, bias=False),
            LayerNorm2d(config.out),
        )

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The embedding, and the trunk's maps at strides 4 and 2 (none with a patch projection).

        Raises:
            ValueError: the picture is not square or not of the configured size.
        """
        if tuple(picture.shape[1:]) != (3, self.config.size, self.config.size):
            raise ValueError(
                f"the encoder takes pictures of 3 x {self.config.size} x {self.config.size}, got {tuple(picture.shape[1:])}"
            )
        tokens, fine = self.patch_embed(picture)
        x = tokens.permute(0, 2, 3, 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2)), fine
