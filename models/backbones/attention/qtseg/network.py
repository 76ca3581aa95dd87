"""QTSeg: one learned query for each class reads a pyramid from its top to its bottom and draws its mask there.

Paper: Tran et al. 2024, arXiv 2412.17241. Code: tpnam0901/QTSeg (no licence stated; its encoder follows YOLOv8, an AGPL project, which is not
used here). Takes: images (b channels x y). Returns: `SegOutput` without side answers, as the authors train it.
Weights: the authors' on their release page. Left out: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .....imaging.errors import BadCall
from ....blocks.gates import ChannelAttention
from ....blocks.sam.decoder import Layers, ShrunkAttention
from ....blocks.sam.prompts import PositionCode
from ....blocks.sam.vit import ChannelNorm, Mlp
from ....checkpoints import Tensors
from ....parity import Fixture
from ...network import SegmentationNetwork, SegOutput, name_maps, resize
from ...official import State, count, load, rename, unwrap
from .pyramid import Bridge, Pyramid

FILE = "a checkpoint that the code of tpnam0901/QTSeg saved"
LEVELS = 3  # of the pyramid, at 1/8, 1/16 and 1/32
SHRINK = 2  # of the inner width of attention; Source: released code
_CONV = r"(conv|conv_transpose|bn)\.\w+"
_RULES = (
    (rf"image_encoder\.((conv|c2f|sppf)_\d+\.((m\.\d+\.)?cv[12]\.)?{_CONV})|bridge\.neck_\d_\d\.{_CONV}", r"\g<0>"),
    (r"mask_decoder\.(mask_tokens\.weight|DMAB_s\d\.[\w.]+|MLP_s\d\.\d+\.layers\.\d\.\w+|SUB_s\d\.\d\.\w+)", r"\g<0>"),
    (r"mask_decoder\.PE_s\d\.positional_encoding_gaussian_matrix", r"\g<0>"),
)


class SpatialGate(nn.Module):
    """A map (b c x y) times one plus a gate of each place, from the mean and the greatest of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.cv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.cv1(seen)) + x


class DualMix(nn.Module):
    """Queries read a map that was gated by place and one gated by channel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.spatial_attention, self.channel_attention = SpatialGate(), ChannelAttention()
        self.spatial_token_mix_attention = ShrunkAttention(width, heads, SHRINK)
        self.channel_token_mix_attention = ShrunkAttention(width, heads, SHRINK)
        self.token_layernorm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor, placed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised queries (b k width), and both gated maps summed (b xy width)."""
        by_place, by_channel = (
            gate(placed).flatten(2).transpose(1, 2) for gate in (self.spatial_attention, self.channel_attention)
        )
        read = self.spatial_token_mix_attention(tokens, by_place, by_place)
        read = read + self.channel_token_mix_attention(tokens, by_channel, by_channel)
        return self.token_layernorm(read + tokens), by_place + by_channel


class DualMixBlock(nn.Module):
    """Queries read the map, then the map reads the queries."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.dm_attention = DualMix(width, heads)
        self.token_mlp, self.token_layernorm = Mlp(width, hidden, nn.GELU), nn.LayerNorm(width)
        self.feature_mix = ShrunkAttention(width, heads, SHRINK)

    def forward(self, tokens: torch.Tensor, x: torch.Tensor, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries (b k width) and map (b width x y); `code` (1 width x y) says where a place is."""
        read, gated = self.dm_attention(tokens, x + code)
        tokens = self.token_layernorm(self.token_mlp(read)) + tokens
        mixed = self.feature_mix(gated + code.flatten(2).transpose(1, 2), read, read)
        return tokens, x + mixed.transpose(1, 2).unflatten(2, x.shape[2:])


class DualMixLevel(nn.Module):
    """The blocks of a level, and a last look of the queries at the map."""

    def __init__(self, width: int, heads: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DualMixBlock(width, heads, hidden) for _ in range(depth))
        self.final_attn_token_to_image = ShrunkAttention(width, heads, SHRINK)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor, x: torch.Tensor, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `DualMixBlock`."""
        asked = tokens
        for layer in self.layers:
            tokens, x = layer(tokens, x, code)
        places, where = (one.flatten(2).transpose(1, 2) for one in (x, code))
        tokens = tokens + self.final_attn_token_to_image(tokens + asked, places + where, places)
        return self.norm_final_attn(tokens), x


class QTSeg(SegmentationNetwork):
    """The network.

    Args:
        dims: 2.
        channels, classes: see `SegmentationNetwork`; there is a query for each class.
        width: channels after the first convolution; the pyramid's maps have 4, 8 and 16 times as many.
        heads: of attention.
        hidden: width inside the queries' feed-forward.
        depths: blocks of each level, finest first.
    """

    def __init__(
        self, dims: int, channels: int, classes: int, *, width: int, heads: int, hidden: int, depths: Sequence[int]
    ) -> None:
        if len(depths) != LEVELS:
            raise ValueError(f"depths: {LEVELS} numbers, finest level first")
        if width % 2 or 4 * width // SHRINK % heads:
            raise ValueError("width: an even number whose double is a multiple of heads")
        super().__init__(dims, channels, classes, [32] * 2, [64] * 2)
        widths = [4 * width, 8 * width, 16 * width]
        self.image_encoder = Pyramid(channels, width)
        self.bridge = Bridge(widths)
        self.mask_decoder: Any = nn.ModuleDict({"mask_tokens": nn.Embedding(classes, widths[-1])})
        for n, (now, depth) in enumerate(zip(widths, depths, strict=True)):
            after = widths[n - 1] if n else now
            self.mask_decoder[f"DMAB_s{n}"] = DualMixLevel(now, heads, hidden, depth)
            self.mask_decoder[f"MLP_s{n}"] = nn.ModuleList(Layers(now, now, now, after) for _ in range(classes))
            self.mask_decoder[f"PE_s{n}"] = PositionCode(now)
            grow = _doubling(now, after) if n else [*_doubling(now, now // 2), *_doubling(now // 2, now)]
            self.mask_decoder[f"SUB_s{n}"] = nn.Sequential(*grow)

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        maps = self.bridge(self.image_encoder(image))
        features = name_maps(maps)
        parts = self.mask_decoder
        tokens = parts["mask_tokens"].weight[None].expand(image.shape[0], -1, -1)
        grown: torch.Tensor | None = None
        for n in reversed(range(LEVELS)):
            x = maps[n] if grown is None else maps[n] + grown
            tokens, x = parts[f"DMAB_s{n}"](tokens, x, _grid_code(parts[f"PE_s{n}"], x))
            grown = parts[f"SUB_s{n}"](x)
            tokens = _one_by_one(parts[f"MLP_s{n}"], tokens)
            features[f"decoder.{n}"] = grown
        masks = torch.einsum("b k c, b c x y -> b k x y", tokens, features["decoder.0"])
        return SegOutput(resize(masks, image.shape[2:]), (), features)


def _doubling(inside: int, outside: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inside, outside, 2, stride=2), ChannelNorm(outside), nn.GELU()]


def _grid_code(code: PositionCode, x: torch.Tensor) -> torch.Tensor:
    """Codes (1 c x y) of the middles of a map's places; their matrix takes (second axis, first axis)."""
    kind = code.positional_encoding_gaussian_matrix.dtype
    at = [(torch.arange(side, device=x.device, dtype=kind) + 0.5) / side for side in x.shape[2:]]
    first, second = torch.meshgrid(*at, indexing="ij")
    found: torch.Tensor = code(torch.stack([second, first], dim=-1)).movedim(-1, 0)[None]
    return found


def _one_by_one(heads: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Queries (b k c), each through layers of its own, all of them at once."""
    layers = [list(head.layers) for head in heads]  # type: ignore[attr-defined]  # a list of `Layers`
    for n, same in enumerate(zip(*layers, strict=True)):
        weight, bias = torch.stack([one.weight for one in same]), torch.stack([one.bias for one in same])
        tokens = torch.einsum("b k i, k o i -> b k o", F.relu(tokens) if n else tokens, weight) + bias
    return tokens


def build(
    dims: int, channels: int, classes: int, *, width: int, heads: int, hidden: int, depths: Sequence[int]
) -> QTSeg:
    """The backbone "qtseg"."""
    return QTSeg(dims, channels, classes, width=width, heads=heads, hidden=hidden, depths=depths)


def convert(state: State) -> Tensors:
    """The authors' weights by our names, which are theirs.

    Raises:
        BadCall: another network's.
    """
    return rename(state, _RULES, FILE)


def options_of(state: State, *, heads: int = 8) -> dict[str, Any]:
    """What `build` takes, `dims`, `channels` and `classes` among it, from the authors' weights.

    Args:
        heads: of attention; no shape tells them.

    Raises:
        BadCall: parts are missing.
    """
    own = unwrap(state)
    try:
        first, tokens = own["image_encoder.conv_0.conv.weight"], own["mask_decoder.mask_tokens.weight"]
        hidden = own["mask_decoder.DMAB_s0.layers.0.token_mlp.lin1.bias"]
    except KeyError as error:
        raise BadCall(f"This is no QTSeg: {error} is missing. Give {FILE}.") from None
    return {
        "dims": 2,
        "channels": first.shape[1],
        "classes": tokens.shape[0],
        "width": first.shape[0],
        "heads": heads,
        "hidden": hidden.shape[0],
        "depths": [count(own, rf"mask_decoder\.DMAB_s{n}\.layers\.(\d+)\.") for n in range(LEVELS)],
    }


def reproduce(fixture: Fixture) -> Tensors:
    """Our outputs on a fixture of the official code."""
    state = fixture.state()
    with torch.device("meta"):
        net = build(**options_of(state, heads=fixture.sizes["mask_num_head"]))
    load(net, convert(state), FILE)
    with torch.no_grad():
        said = net.answer(fixture.inputs["image"])
    bridged = {f"bridge_{n}": said.features[f"encoder.{n}"] for n in range(LEVELS)}
    return {"logits": said.logits, **bridged, "sub_s2": said.features["decoder.2"]}
