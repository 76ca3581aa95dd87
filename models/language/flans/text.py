"""CLIP's text transformer: token numbers in, the last hidden state of every token out.

Part of FLanS (models/language/flans/network.py), which keeps it frozen. Names of layers are those of the published checkpoint.
Source: Radford et al. 2021, arXiv 2103.00020 (ViT-B/16 text side); openai/CLIP, MIT.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the tower; the defaults are CLIP ViT-B/16's."""

    vocabulary: int = 49408
    width: int = 512
    hidden: int = 2048
    layers: int = 12
    heads: int = 8
    tokens: int = 77


class _Attention(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(config.width, config.width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention to this token and those before it."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        result: torch.Tensor = self.out_proj(mixed)
        return result


class _QuickGelu(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc1(x)
        result: torch.Tensor = self.fc2(x * torch.sigmoid(1.702 * x))
        return result


class _Layer(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.self_attn, self.mlp = _Attention(config), _QuickGelu(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        result: torch.Tensor = x + self.mlp(self.layer_norm2(x))
        return result


class _Embeddings(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.tokens, config.width)


class _Encoder(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))


class _TextModel(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.embeddings, self.encoder = _Embeddings(config), _Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.width)


class TextTower(nn.Module):
    """Hidden states (b t width) of token numbers (b t), padding included, without gradients."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = _TextModel(config)
        self.requires_grad_(False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """States after the last norm.

        Raises:
            ValueError: more tokens than the tower has places for.
        """
        if tokens.shape[1] > self.config.tokens:
            raise ValueError(f"{tokens.shape[1]} tokens, but the tower takes {self.config.tokens}")
        places = self.text_model.embeddings.position_embedding.weight[: tokens.shape[1]]
        x = self.text_model.embeddings.token_embedding(tokens) + places
        for layer in self.text_model.encoder.layers:
            x = layer(x)
        result: torch.Tensor = self.text_model.final_layer_norm(x)
        return result
