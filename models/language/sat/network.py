"""SAT: Segment Anything in radiology scans, driven by Text.

Paper: Zhao et al., "Large-Vocabulary Segmentation for Medical Images with Text Prompts",
    npj Digital Medicine 8:566 (2025), arXiv 2312.17183.
Takes: images (b 3 x y z), a grey volume repeated three times, RAS axes at 1 x 1 x 3 mm, sides
    multiples of 32; queries (b n d) from `SatTextHead`.
Returns: logits (b n x y z); above 0 is inside. Masks are independent and may overlap.
Weights: the authors' checkpoints, brought by the user (`models/language/sat/weights.py`); licence not stated.
Left out: the UNET-H, U-Mamba and SwinUNETR ablations, and the knowledge pre-training towers.

Names of modules follow the published state dict, so that a checkpoint loads key by key.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

STAGES = 6
STRIDE = 2 ** (STAGES - 1)
MODALITY_CODES: Mapping[str, int] = {"ct": 0, "mr": 1, "us": 2, "pet": 3}
_LEAK = 0.01


@dataclass(frozen=True)
class SatConfig:
    """Widths of a SAT.

    Attributes:
        features: channels per U-Net stage, finest first; the first is also the per-pixel width.
        convs: convolutions per stage.
        query_dim: width of queries and memory tokens.
        fusion_hidden, mask_hidden: hidden widths of the memory MLP and of the mask MLP.
        middle_hidden: hidden widths of the mask MLPs at strides 2, 4 and 8.
        feedforward: hidden width in the query decoder.
    """

    features: tuple[int, ...]
    convs: int
    fusion_hidden: int
    mask_hidden: int
    middle_hidden: tuple[int, int, int]
    query_dim: int = 768
    heads: int = 8
    layers: int = 6
    feedforward: int = 2048
    dropout: float = 0.1


NANO = SatConfig((64, 64, 128, 256, 512, 768), 2, 768, 256, (256, 384, 512))
PRO = SatConfig((128, 128, 256, 512, 1024, 1536), 3, 1536, 384, (384, 512, 512))
# Spec §12: a faithful small one for tests and examples on a CPU.
TINY = SatConfig((8, 16, 32, 64, 96, 128), 2, 64, 32, (32, 32, 32), query_dim=64, heads=4, feedforward=128)
VARIANTS: Mapping[str, SatConfig] = {"sat-nano": NANO, "sat-pro": PRO}


class _ConvBlock(nn.Module):
    """Convolution, InstanceNorm, LeakyReLU."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inside, outside, 3, stride=stride, padding=1)
        self.norm = nn.InstanceNorm3d(outside, eps=1e-5, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), _LEAK)


class _Stage(nn.Module):
    def __init__(self, inside: int, outside: int, convs: int, stride: int = 1) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *(_ConvBlock(inside if n == 0 else outside, outside, stride if n == 0 else 1) for n in range(convs))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convs(x)
        return result


class _Encoder(nn.Module):
    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        widths = (3, *config.features)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_Stage(widths[n], widths[n + 1], config.convs, 1 if n == 0 else 2))
                for n in range(len(config.features))
            )
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for stage in self.stages:
            image = stage(image)
            found.append(image)
        return found


class _Decoder(nn.Module):
    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        coarse_to_fine = config.features[::-1]
        pairs = list(itertools.pairwise(coarse_to_fine))
        self.stages = nn.ModuleList(_Stage(2 * fine, fine, config.convs) for _coarse, fine in pairs)
        self.transpconvs = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, stride=2) for coarse, fine in pairs)

    def forward(self, skips: list[torch.Tensor]) -> list[torch.Tensor]:
        """Feature maps, finest first."""
        x, found = skips[-1], []
        for n, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            x = stage(torch.cat([up(x), skips[-2 - n]], dim=1))
            found.append(x)
        return found[::-1]


class _Backbone(nn.Module):
    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(config), _Decoder(config)


class _QueryLayer(nn.Module):
    """Pre-norm cross-attention to the memory, then a feed-forward network; no self-attention."""

    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        width = config.query_dim
        self.multihead_attn = nn.MultiheadAttention(width, config.heads, dropout=config.dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, config.feedforward), nn.Linear(config.feedforward, width)
        self.norm1 = nn.LayerNorm(width)  # stands in the published file, but nothing uses it
        self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        attended, _ = self.multihead_attn(self.norm2(queries), keys, values, need_weights=False)
        queries = queries + self.dropout(attended)
        hidden = self.dropout(F.relu(self.linear1(self.norm3(queries))))
        result: torch.Tensor = queries + self.dropout(self.linear2(hidden))
        return result


class _QueryDecoder(nn.Module):
    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_QueryLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.query_dim)

    def forward(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            queries = layer(queries, keys, values)
        result: torch.Tensor = self.norm(queries)
        return result


@dataclass(frozen=True)
class SatFeatures:
    """What the trunk makes of a window: everything queries need.

    Attributes:
        maps: decoder features (b c x y z) at strides 1, 2, 4, 8.
        memory: tokens (b t d), x slowest, z fastest.
        grid: tokens along x, y, z.
    """

    maps: tuple[torch.Tensor, ...]
    memory: torch.Tensor
    grid: tuple[int, int, int]


class Sat(nn.Module):
    """The segmentation network: `encode` a window once, `decode` any number of queries."""

    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        self.config = config
        width, features = config.query_dim, config.features
        self.backbone = _Backbone(config)
        self.projection_layer = _gelu_mlp(sum(features), config.fusion_hidden, width)
        self.transformer_decoder = _QueryDecoder(config)
        self.mid_mask_embed_proj = nn.ModuleList(
            _gelu_mlp(width, hidden, features[n + 1]) for n, hidden in enumerate(config.middle_hidden)
        )
        self.mask_embed_proj = _gelu_mlp(width, config.mask_hidden, features[0])

    def encode(self, image: torch.Tensor) -> SatFeatures:
        """Trunk and memory tokens of (b 3 x y z).

        Raises:
            ValueError: a side is not a multiple of 32.
        """
        if any(side % STRIDE for side in image.shape[2:]):
            raise ValueError(f"sides {tuple(image.shape[2:])} must be multiples of {STRIDE}")
        skips = self.backbone.encoder(image)
        pooled = [F.avg_pool3d(x, STRIDE // 2**n) if n < STAGES - 1 else x for n, x in enumerate(skips)]
        tokens = torch.cat(pooled, dim=1)
        x, y, z = tokens.shape[2:]
        memory = self.projection_layer(tokens.flatten(2).transpose(1, 2))
        maps = self.backbone.decoder(skips)
        return SatFeatures(tuple(maps[:4]), memory, (x, y, z))

    def decode(self, features: SatFeatures, queries: torch.Tensor, *, scales: int = 1) -> list[torch.Tensor]:
        """Logits (b n x y z) at the finest `scales` strides, finest first, of queries (b n d)."""
        code = position_code(features.grid, self.config.query_dim).to(features.memory)
        answered = self.transformer_decoder(queries, features.memory + code, features.memory)
        heads = [self.mask_embed_proj, *self.mid_mask_embed_proj]
        return [
            torch.einsum("bnc,bcxyz->bnxyz", head(answered), found)
            for head, found in zip(heads[:scales], features.maps[:scales], strict=True)
        ]

    def forward(self, image: torch.Tensor, queries: torch.Tensor) -> list[torch.Tensor]:
        """Logits of all four scales, for training."""
        return self.decode(self.encode(image), queries, scales=4)


class SatTextHead(nn.Module):
    """From a pooled text vector and a modality to a query: two linear layers plus a modality row."""

    def __init__(self, text_dim: int = 768, query_dim: int = 768) -> None:
        super().__init__()
        self.projection_layer = nn.Sequential(
            nn.Linear(text_dim, query_dim), nn.GELU(), nn.Linear(query_dim, query_dim)
        )
        self.modality_embed = nn.Embedding(len(MODALITY_CODES), query_dim)

    def forward(self, pooled: torch.Tensor, modality: torch.Tensor) -> torch.Tensor:
        """Queries (n d) of pooled vectors (n text_dim) and modality codes (n)."""
        result: torch.Tensor = self.projection_layer(pooled) + self.modality_embed(modality)
        return result


def _gelu_mlp(inside: int, hidden: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, hidden), nn.GELU(), nn.Linear(hidden, outside), nn.GELU())


def position_code(grid: tuple[int, int, int], width: int) -> torch.Tensor:
    """Fixed code (tokens width): a third of the channels per axis, sine and cosine interleaved.

    Source: the 3-D code of positional_encodings 6.0 (10000^-i/c), cut to `width` channels.
    """
    share = -(-width // 6) * 2
    frequencies = 1.0 / 10000 ** (torch.arange(0, share, 2, dtype=torch.float32) / share)
    code = torch.zeros(*grid, 3 * share)
    for axis, size in enumerate(grid):
        angles = torch.arange(size, dtype=torch.float32)[:, None] * frequencies
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
        shape = [size if a == axis else 1 for a in range(3)]
        code[..., axis * share : (axis + 1) * share] = waves.reshape(*shape, share)
    return code[..., :width].reshape(-1, width)


def config_of(state: Mapping[str, torch.Tensor], like: SatConfig = NANO) -> SatConfig:
    """The widths of a clean state dict; heads and dropout, which leave no trace, are taken from `like`."""
    stages = [state[f"backbone.encoder.stages.{n}.0.convs.0.conv.weight"].shape[0] for n in range(STAGES)]
    convs = sum(key.startswith("backbone.encoder.stages.0.0.convs.") and key.endswith("conv.weight") for key in state)
    layers = sum(key.endswith("linear1.weight") for key in state)
    middle = [state[f"mid_mask_embed_proj.{n}.0.weight"].shape[0] for n in range(3)]
    return replace(
        like,
        features=tuple(stages),
        convs=convs,
        fusion_hidden=state["projection_layer.0.weight"].shape[0],
        mask_hidden=state["mask_embed_proj.0.weight"].shape[0],
        middle_hidden=(middle[0], middle[1], middle[2]),
        query_dim=state["projection_layer.2.weight"].shape[0],
        layers=layers,
        feedforward=state["transformer_decoder.layers.0.linear1.weight"].shape[0],
    )
