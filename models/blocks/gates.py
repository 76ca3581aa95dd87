"""Gates: maps weighed by what they hold themselves, over channels or over places. All take (b c x y) and (b c x y z).

Weights are those of matrices over flattened places; published ones of 1x1 convolutions are the same numbers reshaped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class SqueezeExcitation(nn.Module):
    """Every channel times a share in (0, 1) made from the means of all channels.

    Args:
        channels: of the maps.
        hidden: width between the two layers.
        bias: of both.

    Source: Hu et al. 2018, arXiv 1709.01507, section 3.
    """

    def __init__(self, channels: int, hidden: int, *, bias: bool = False) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=bias), nn.ReLU(), nn.Linear(hidden, channels, bias=bias)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the same shape."""
        shares = torch.sigmoid(self.fc(x.flatten(2).mean(2)))
        return x * shares.reshape(*shares.shape, *[1] * (x.dim() - 2))


class EfficientChannelAttention(nn.Module):
    """Every channel times a share in (0, 1) made from the means of the channels beside it.

    Args:
        size: of the convolution over channels, odd.

    Source: Wang et al. 2020, arXiv 1910.03151, ECA-Net.
    """

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the same shape."""
        shares = torch.sigmoid(self.conv(x.flatten(2).mean(2).unsqueeze(1))).squeeze(1)
        return x * shares.reshape(*shares.shape, *[1] * (x.dim() - 2))


class PositionAttention(nn.Module):
    """Every place adds the values of all places, weighed by likeness: gamma * softmax(q k^T) v + x, with gamma 0 at first.

    Args:
        channels: of the maps.
        hidden: width of queries and keys; an eighth of the channels unless given.

    Source: Fu et al. 2019, arXiv 1809.02983, DANet, eq. 1-2; the product is not scaled.
    """

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or max(1, channels // 8)
        self.query, self.key = nn.Conv1d(channels, hidden, 1), nn.Conv1d(channels, hidden, 1)
        self.value = nn.Conv1d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the same shape; memory grows with the square of the number of places."""
        places = x.flatten(2)
        q, k, v = (layer(places).transpose(1, 2) for layer in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2)
        return self.gamma * seen.reshape(x.shape) + x


class ChannelAttention(nn.Module):
    """Every channel adds all channels, those least like it the most: gamma * softmax(max(e) - e) x + x, e = x x^T, gamma 0 at first.

    Source: Fu et al. 2019, arXiv 1809.02983, DANet, eq. 3-4; the difference from the row's maximum is in the authors' code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the same shape."""
        places = x.flatten(2)
        energy = places @ places.transpose(1, 2)
        weights = torch.softmax(energy.amax(2, keepdim=True) - energy, dim=2)
        return self.gamma * (weights @ places).reshape(x.shape) + x


class AttentionGate(nn.Module):
    """A skip's maps, each place times a share in (0, 1) that the skip and a coarser map decide together.

    Args:
        gating: channels of the coarser map, already at the skip's sides.
        skip: channels of the skip.
        hidden: width in which the two are added.

    Source: Oktay et al. 2018, arXiv 1804.03999, eq. 1-2, with BatchNorm after each layer as in LeeJunHyun/Image_Segmentation.
    """

    def __init__(self, gating: int, skip: int, hidden: int) -> None:
        super().__init__()
        self.gating = nn.Sequential(nn.Conv1d(gating, hidden, 1), nn.BatchNorm1d(hidden))
        self.skip = nn.Sequential(nn.Conv1d(skip, hidden, 1), nn.BatchNorm1d(hidden))
        self.share = nn.Sequential(nn.Conv1d(hidden, 1, 1), nn.BatchNorm1d(1))

    def forward(self, gating: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """The skip (b c ...) weighed; both have the same sides."""
        both = F.relu(self.gating(gating.flatten(2)) + self.skip(skip.flatten(2)))
        share = torch.sigmoid(self.share(both))
        return skip * share.reshape(share.shape[0], 1, *skip.shape[2:])
