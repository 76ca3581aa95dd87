"""Fair identity attention: maps asked by who the patient is, so that one network may look at groups of patients differently.

Paper: Tian et al. 2024 (FairDomain), arXiv 2407.08813; code Harvard-Ophthalmology-AI-Lab/FairDomain (no licence for the block; nothing
of it is copied). Left out: dropout. Ours: an id of its own for patients of whom nothing is known, to be taught by hiding ids.
Whoever uses it has the patient's leave to: the id is told, never guessed from the picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ...imaging.errors import BadCall

EPS = 1e-6  # of every norm; Source: Harvard-Ophthalmology-AI-Lab/FairDomain, as torchvision's ViT
UNKNOWN = -1


class IdentityLayer(nn.Module):
    """Tokens plus what the attribute asks of them, plus an MLP of that.

    Args:
        width: of the tokens, a multiple of `heads`.
        hidden: of the MLP.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads cannot share {width} channels")
        self.heads = heads
        self.norm_asked, self.norm, self.norm_mlp = (nn.LayerNorm(width, eps=EPS) for _ in range(3))
        self.q, self.kv, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: torch.Tensor, asking: torch.Tensor) -> torch.Tensor:
        """Tokens (b n width); `asking` has the same shape and does not change from layer to layer."""
        q = self.q(self.norm_asked(asking)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(self.norm(tokens)).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(seen)
        changed: torch.Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return changed


class IdentityAttention(nn.Module):
    """The block, over maps of a fixed number of places.

    Args:
        places: of the maps, all axes together; the tables of positions have as many.
        width: channels of the maps.
        attributes: how many groups have an id.
        depth: layers.
        unknown: share of the ids hidden while training, so that one more id is taught for patients of whom nothing is known; at 0
            there is none. 0.2 is our choice.
    """

    def __init__(
        self,
        places: int,
        width: int,
        heads: int,
        *,
        hidden: int | None = None,
        attributes: int = 3,
        depth: int = 1,
        unknown: float = 0.2,
    ) -> None:
        super().__init__()
        self.attributes, self.unknown = attributes, unknown
        self.attribute = nn.Embedding(attributes + (unknown > 0), width)
        self.place = nn.Parameter(torch.randn(1, places, width) * 0.02)  # Source: torchvision's ViT
        self.place_asking = nn.Parameter(torch.randn(1, places, width) * 0.02)
        self.layers = nn.ModuleList(IdentityLayer(width, heads, hidden or 2 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Maps of the same shape.

        Args:
            x: (b width ...) with `places` places, in the order of their axes.
            ids: (b) from 0, or `UNKNOWN`.

        Raises:
            BadCall: another number of places, or an id that there is none of.
        """
        tokens = x.flatten(2).transpose(1, 2)
        if tokens.shape[1] != self.place.shape[1]:
            raise BadCall(
                f"The maps have {tokens.shape[1]} places, and the block's tables {self.place.shape[1]}. "
                "Give pictures of the size it was made for."
            )
        least = UNKNOWN if self.unknown else 0
        if not bool(((ids >= least) & (ids < self.attributes)).all()):
            raise BadCall(f"Ids of groups run from {least} to {self.attributes - 1}. Number the groups so.")
        if self.training and self.unknown:
            ids = torch.where(torch.rand(len(ids), device=ids.device) < self.unknown, UNKNOWN, ids)
        asked = self.attribute(torch.where(ids == UNKNOWN, self.attributes, ids))
        tokens, asking = tokens + self.place, asked[:, None] + self.place_asking
        for layer in self.layers:
            tokens = layer(tokens, asking)
        changed: torch.Tensor = self.norm(tokens).transpose(1, 2).reshape(x.shape)
        return changed
