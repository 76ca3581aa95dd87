"""The networks of the engine, all MONAI's: denoisers under four ways of conditioning.

Concatenation follows seg2med (arXiv 2504.09182), SPADE Park et al. 2019, ControlNet Zhang et al. 2023,
cross-attention Rombach et al. 2022. Left out: attention above the coarsest level. MONAI takes seconds to import: it waits for the first network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ....imaging.errors import BadCall

Conditioning = Literal["none", "concat", "spade", "control", "cross"]
EMPTY = -1.0  # a condition that was dropped; networks see it in training, so it means "no condition"


@dataclass(frozen=True)
class NetworkConfig:
    """A denoiser.

    Attributes:
        dims: 2 for slices and stacks of slices, 3 for small volumes.
        condition: how maps (b c x y) reach it; "cross" takes them as their average per tile, in tokens.
        maps: channels of the condition.
        made: channels of what is denoised.
        groups: of GroupNorm; must divide every entry of `channels`.
        tiles: per axis, for "cross".
    """

    dims: Literal[2, 3]
    channels: tuple[int, ...]
    condition: Conditioning
    maps: int
    made: int = 1
    blocks: int = 1
    groups: int = 8
    head: int = 8
    tiles: int = 4

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> NetworkConfig:
        """The configuration written by `vars`."""
        return cls(**{**values, "channels": tuple(values["channels"])})

    @property
    def stride(self) -> int:
        """Sides of an image must be multiples of this."""
        return int(2 ** (len(self.channels) - 1))


class Denoiser(nn.Module):
    """Predicts noise or velocity of `noisy` (b made x y) at `times` (b), given maps (b c x y).

    Raises:
        BadCall: the maps have another number of channels than the network was built for.
    """

    def __init__(self, config: NetworkConfig) -> None:
        from monai.networks import nets as library

        super().__init__()
        self.config = config
        nets: Any = library
        levels = len(config.channels)
        usual: dict[str, Any] = {
            "spatial_dims": config.dims,
            "num_res_blocks": config.blocks,
            "channels": config.channels,
            "attention_levels": [False] * levels,
            "num_head_channels": [0] * (levels - 1) + [config.head],
            "norm_num_groups": config.groups,
        }
        inputs = config.made + (config.maps if config.condition == "concat" else 0)
        shape = {"in_channels": inputs, "out_channels": config.made}
        if config.condition == "spade":
            self.net = nets.SPADEDiffusionModelUNet(**usual, **shape, label_nc=config.maps)
        elif config.condition == "cross":
            attention = {**usual, "attention_levels": [False] * (levels - 1) + [True]}
            self.net = nets.DiffusionModelUNet(
                **attention, **shape, with_conditioning=True, cross_attention_dim=config.maps
            )
        else:
            self.net = nets.DiffusionModelUNet(**usual, **shape)
        if config.condition == "control":
            self.control = nets.ControlNet(
                **usual,
                in_channels=config.made,
                conditioning_embedding_in_channels=config.maps,
                conditioning_embedding_num_channels=(config.channels[0],),
            )

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, maps: torch.Tensor | None = None) -> torch.Tensor:
        """The prediction, of the shape of `noisy`."""
        kind = self.config.condition
        if kind == "none":
            out: torch.Tensor = self.net(noisy, times)
            return out
        if maps is None or maps.shape[1] != self.config.maps:
            found = None if maps is None else maps.shape[1]
            raise BadCall(f"The condition has {found} channels. The network was built for {self.config.maps}.")
        if kind == "concat":
            out = self.net(torch.cat([noisy, maps], dim=1), times)
        elif kind == "spade":
            out = self.net(noisy, times, seg=maps)
        elif kind == "cross":
            out = self.net(noisy, times, context=_tokens(maps, self.config.tiles))
        else:
            down, middle = self.control(noisy, times, controlnet_cond=maps)
            out = self.net(noisy, times, down_block_additional_residuals=down, mid_block_additional_residual=middle)
        return out


def _tokens(maps: torch.Tensor, tiles: int) -> torch.Tensor:
    """(b tokens c): the average of each tile of the maps."""
    pool = nn.functional.adaptive_avg_pool2d if maps.dim() == 4 else nn.functional.adaptive_avg_pool3d
    return pool(maps, tiles).flatten(2).transpose(1, 2)
