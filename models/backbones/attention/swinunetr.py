"""SwinUNETR as MONAI has it, the network of Swin-BOB.

Paper: Hatamizadeh et al. 2022, arXiv 2201.01266; Swin-BOB is of UKBOB, Bourigault et al. 2025, arXiv 2504.06908: 72 classes of MRI at
the preset "paper". Code: Project-MONAI/MONAI (Apache-2.0), used as a library.
Takes: images (b channels x y) or volumes (b channels x y z). Returns: `SegOutput`; no side answers.
Weights: state dicts of MONAI's class through `convert`. Left out: nothing.
Norms are instance norms without scale and shift; what `uncertainty.adapting` moves are the LayerNorms of the transformer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.swin_unetr import SwinUNETR

from ....imaging.errors import BadCall
from ...checkpoints import Tensors, count_numbers
from ..network import SegmentationNetwork, SegOutput, name_maps
from ..official import Rule, State, rename, unwrap

FILE = "a state dict of MONAI's SwinUNETR"
STRIDE = 32
NORMS: dict[str, Any] = {"instance": "instance", "group": ("group", {"num_groups": 4})}
_RULES: tuple[Rule, ...] = ((r"((?:swinViT|encoder\d+|decoder\d|out)\..+)", r"net.\1"),)


class WrappedSwinUNETR(SegmentationNetwork):
    """MONAI's class, whose maps are kept.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        width: of the finest map, a multiple of 12.
        depths, heads: of each stage of the transformer, finest first.
        window: tokens on a side.
        norm: "instance", which cannot train where one voxel is left at the bottom; or "group".
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, width: int, depths: Sequence[int], heads: Sequence[int],
        window: int, norm: str,
    ) -> None:  # fmt: skip
        if norm not in NORMS:
            raise ValueError(f"norm is {' or '.join(NORMS)}, not '{norm}'")
        least = STRIDE if norm == "group" else STRIDE + 1
        super().__init__(dims, channels, classes, [STRIDE] * dims, [least] * dims)
        with torch.device("cpu"):  # the class reads numbers while it is built, which meta tensors have not
            self.net = SwinUNETR(
                channels, classes, depths=tuple(depths), num_heads=tuple(heads), window_size=window, feature_size=width,
                norm_name=NORMS[norm], spatial_dims=dims,
            )  # fmt: skip
        self.net.to(torch.get_default_device())

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`; step by step as `SwinUNETR.forward`."""
        net = self.net
        seen = net.swinViT(image, net.normalize)
        down = [net.encoder1(image), net.encoder2(seen[0]), net.encoder3(seen[1]), net.encoder4(seen[2]), seen[3]]
        x = net.encoder10(seen[4])
        up: list[torch.Tensor] = []
        for step, skip in zip(
            (net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1), reversed(down), strict=True
        ):
            up.append(step(up[-1] if up else x, skip))
        features = name_maps([*down, x], up)
        return SegOutput(net.out(up[-1]), features=features)


def build(
    dims: int, channels: int, classes: int, *, width: int, depths: Sequence[int], heads: Sequence[int], window: int,
    norm: str,
) -> WrappedSwinUNETR:  # fmt: skip
    """The backbone "swinunetr"."""
    return WrappedSwinUNETR(
        dims, channels, classes, width=width, depths=depths, heads=heads, window=window, norm=norm
    )  # fmt: skip


def convert(state: State) -> Tensors:
    """MONAI's state dict under our names."""
    return rename(state, _RULES, FILE)


def options_of(state: State) -> dict[str, Any]:
    """Arguments of `build` for MONAI's state dict, whose shapes tell everything.

    Raises:
        BadCall: it is none of a SwinUNETR.
    """
    own = unwrap(state)
    try:
        width, channels, *patch = own["swinViT.patch_embed.proj.weight"].shape
        stages = [f"swinViT.layers{n}.0.blocks." for n in range(1, 5)]
        tables = [own[f"{stage}0.attn.relative_position_bias_table"].shape for stage in stages]
        return {
            "dims": len(patch),
            "channels": channels,
            "classes": own["out.conv.conv.weight"].shape[0],
            "width": width,
            "depths": [count_numbers(own, re.escape(stage) + r"(\d+)\.") for stage in stages],
            "heads": [heads for _, heads in tables],
            "window": (round(tables[0][0] ** (1 / len(patch))) + 1) // 2,
            "norm": "group" if "encoder1.layer.norm1.weight" in own else "instance",
        }
    except KeyError as error:
        raise BadCall(f"This is no SwinUNETR: {error} is missing. Give {FILE}.") from None
