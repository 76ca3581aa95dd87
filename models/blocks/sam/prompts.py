"""SAM's prompt encoder: points, boxes and a mask as vectors the decoder attends to.

Source: Kirillov et al. 2023, Segment Anything, arXiv 2304.02643; facebookresearch/segment-anything, Apache-2.0. In three dimensions as
SAM-Med3D (uni-medical/SAM-Med3D, Apache-2.0), which has points and masks but no boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .vit import ChannelNorm

KINDS = {2: 4, 3: 2}  # learned kinds of points: not meant, meant, and in 2-D two corners


class PositionCode(nn.Module):
    """Random Fourier code of a place in the picture; its matrix belongs to the weights.

    In 2-D a place is column, row and its code [sin, cos]. In 3-D a place is along the tensor's own axes and its code [sin, cos, sin],
    but the code of the grid's cells has the first two axes exchanged: SAM-Med3D's weights were taught that way.
    """

    positional_encoding_gaussian_matrix: torch.Tensor

    def __init__(self, width: int, dims: int = 2) -> None:
        super().__init__()
        self.dims = dims
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(dims, width // dims))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """Codes (... width) of places (... dims), each in [0, 1]."""
        angles = 2 * torch.pi * ((2 * places - 1) @ self.positional_encoding_gaussian_matrix)
        parts = [angles.sin(), angles.cos(), angles.sin()]
        return torch.cat(parts[: self.dims], dim=-1)

    def of_grid(self, side: int) -> torch.Tensor:
        """Codes (1 width side side [side]) of the middles of a grid's cells."""
        matrix = self.positional_encoding_gaussian_matrix
        at = (torch.arange(side, device=matrix.device, dtype=matrix.dtype) + 0.5) / side
        first, second, *rest = torch.meshgrid(*[at] * self.dims, indexing="ij")
        return self.forward(torch.stack([second, first, *rest], dim=-1)).movedim(-1, 0)[None]


class PromptEncoder(nn.Module):
    """Marks as sparse vectors, the last mask as a dense one.

    Args:
        size: pixels per side of the picture.
        mask_channels: of the encoder of mask prompts.
    """

    def __init__(self, width: int, size: int, mask_channels: int, dims: int = 2) -> None:
        super().__init__()
        self.size = size
        self.pe_layer = PositionCode(width, dims)
        self.point_embeddings: Sequence[nn.Embedding]
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(KINDS[dims]))  # type: ignore[assignment]  # typed by what it holds
        self.not_a_point_embed, self.no_mask_embed = nn.Embedding(1, width), nn.Embedding(1, width)
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.mask_downscaling = nn.Sequential(
            conv(1, mask_channels // 4, 2, stride=2),
            ChannelNorm(mask_channels // 4),
            nn.GELU(),
            conv(mask_channels // 4, mask_channels, 2, stride=2),
            ChannelNorm(mask_channels),
            nn.GELU(),
            conv(mask_channels, width, 1),
        )

    def points(self, places: torch.Tensor, labels: torch.Tensor, *, with_box: bool) -> torch.Tensor:
        """Prompts of points (b n dims) in pixels, see `PositionCode`; labels (b n): 1 inside, 0 outside, -1 none."""
        if not with_box:
            places = F.pad(places, (0, 0, 0, 1))
            labels = F.pad(labels, (0, 1), value=-1)
        code = self.pe_layer((places + 0.5) / self.size)
        kinds = [(-1, self.not_a_point_embed), (0, self.point_embeddings[0]), (1, self.point_embeddings[1])]
        code = torch.where((labels == -1)[..., None], torch.zeros_like(code), code)
        for label, embedding in kinds:
            code = code + (labels == label)[..., None] * embedding.weight
        return code

    def boxes(self, corners: torch.Tensor) -> torch.Tensor:
        """Prompts (b 2 width) of boxes (b 4) in pixels: x y of one corner, then of the opposite one."""
        code = self.pe_layer((corners.reshape(-1, 2, 2) + 0.5) / self.size)
        ends: torch.Tensor = code + torch.cat([self.point_embeddings[2].weight, self.point_embeddings[3].weight])
        return ends

    def sparse(
        self, places: torch.Tensor | None, labels: torch.Tensor | None, boxes: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Points, then boxes, (b n width); None where there are neither."""
        parts = []
        if places is not None and labels is not None:
            parts.append(self.points(places, labels, with_box=boxes is not None))
        if boxes is not None:
            parts.append(self.boxes(boxes))
        return torch.cat(parts, dim=1) if parts else None

    def dense(self, batch: int, side: int, mask: torch.Tensor | None = None) -> torch.Tensor:
        """What is added to the embedding: the encoded mask (b 1 and 4*side per axis), or "no mask" everywhere."""
        if mask is not None:
            encoded: torch.Tensor = self.mask_downscaling(mask)
            return encoded
        dims = self.pe_layer.dims
        return self.no_mask_embed.weight.view(1, -1, *[1] * dims).expand(batch, -1, *[side] * dims)
