"""Volumes by way of a 2-D backbone whose deepest maps know of each other across slices.

Paper: Zhang et al. 2020, arXiv 2010.06163, a study of 2.5-D methods (no code seen); written from its description.
Takes: volumes (b channels x y z). Returns: `SegOutput`. Any 2-D row of `BACKBONES` may be wrapped whose deepest encoder map is what one
of its modules answers, once. Weights: none published. Left out: a matrix LSTM over slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .network import SegmentationNetwork, SegOutput, SideAnswer, deepest_place
from .slices import as_slices, build_planar, check_axis, in_volume, volumes_of

MIXERS = ("attention", "gru")


class NearSlices(nn.Module):
    """Attention of a place to the same place in slices near by, with a learned likeness for each distance.

    Args:
        width: of the tokens, a multiple of `heads`.
        span: slices to either side that are seen.
    """

    def __init__(self, width: int, heads: int, span: int) -> None:
        super().__init__()
        if width % heads or span < 1:
            raise ValueError(f"{heads} heads share {width} channels, and span is 1 or more, not {span}")
        self.heads, self.span = heads, span
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.near = nn.Parameter(torch.zeros(heads, 2 * span + 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (places slices width)."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        place = torch.arange(x.shape[1], device=x.device)
        apart = place[None] - place[:, None]
        likeness = self.near[:, apart.clamp(-self.span, self.span) + self.span]
        likeness = likeness.masked_fill(apart.abs() > self.span, float("-inf"))
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=likeness[None].to(q.dtype))
        said: torch.Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return said


class BothWays(nn.Module):
    """A GRU that walks the slices up and down."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.walk, self.out = nn.GRU(width, width, batch_first=True, bidirectional=True), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (places slices width)."""
        said: torch.Tensor = self.out(self.walk(x)[0])
        return said


class Mixed(nn.Module):
    """A module whose answer (slices c h w), of one volume, gains what the mixer says of each place across the slices.

    Args:
        at: which map of its answer is meant, where that is a list of several; None where it is the map.
    """

    def __init__(self, module: nn.Module, width: int, mixer: nn.Module, at: int | None = None) -> None:
        super().__init__()
        self.module, self.norm, self.mixer, self.at = module, nn.LayerNorm(width), mixer, at

    def forward(self, *given: Any) -> Any:
        """What the module answers, mixed."""
        said = self.module(*given)
        if self.at is None:
            return self._mixed(said)
        return [self._mixed(one) if n == self.at else one for n, one in enumerate(said)]

    def _mixed(self, x: torch.Tensor) -> torch.Tensor:
        places = self.norm(x.flatten(2).permute(2, 0, 1))
        seen: torch.Tensor = self.mixer(places)
        return x + seen.permute(1, 2, 0).reshape(x.shape)


class SliceContext(SegmentationNetwork):
    """The network; volumes of a batch pass one after the other, so that a 2-D network's batch is the slices of one.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        backbone, options: of the 2-D network.
        mixer: "attention" to slices near by, or "gru" over all.
        span: see `NearSlices`.
        heads: of the attention.
        axis: that is cut, 0 to 2.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        backbone: str,
        options: Mapping[str, Any],
        mixer: str,
        span: int,
        heads: int,
        axis: int,
    ) -> None:
        if mixer not in MIXERS:
            raise ValueError(f"mixer is one of {', '.join(MIXERS)}, not {mixer!r}")
        check_axis(axis)
        flat = build_planar(backbone, options, channels, classes)
        super().__init__(dims, channels, classes, in_volume(flat.divisor, axis), in_volume(flat.minimum, axis))
        with torch.device("meta"):
            name, at, width = deepest_module(build_planar(backbone, options, channels, classes))
        mixing = NearSlices(width, heads, span) if mixer == "attention" else BothWays(width)
        home, _, last = name.rpartition(".")
        setattr(flat.get_submodule(home), last, Mixed(flat.get_submodule(name), width, mixing, at))
        self.flat, self.axis = flat, axis

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        each = [volumes_of(self.flat(as_slices(one[None], self.axis)), 1, self.axis) for one in image]
        aux = [
            SideAnswer(same[0].tag, torch.cat([one.logits for one in same]), same[0].weight)
            for same in zip(*(one.aux for one in each), strict=True)
        ]
        features = {name: torch.cat([one.features[name] for one in each]) for name in each[0].features}
        extra = {name: torch.cat([one.extra[name] for one in each]) for name in each[0].extra}
        return SegOutput(torch.cat([one.logits for one in each]), tuple(aux), features, extra)

    def more_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Those of the 2-D network."""
        return self.flat.own_losses(said, as_slices(masks, self.axis))


def deepest_module(net: SegmentationNetwork) -> tuple[str, int | None, int]:
    """Name of the module that answers a 2-D network's deepest encoder map, which of a list of maps it is, and its channels.

    Raises:
        ValueError: no module answers it, or one that runs several times.
    """
    said: dict[str, list[Any]] = {}
    for name, module in net.named_modules():
        if name:
            module.register_forward_hook(lambda _, given, out, name=name: said.setdefault(name, []).append(out))
    device = next(net.parameters()).device
    with torch.no_grad():
        features = net.eval()(torch.zeros(1, net.channels, *net.minimum, device=device)).features
    deepest = deepest_place(features)
    whose: list[tuple[str, int | None]] = []
    for name, outs in said.items():
        if len(outs) == 1 and outs[0] is features[deepest]:
            whose.append((name, None))
        elif len(outs) == 1 and isinstance(outs[0], list):
            whose += [(name, n) for n, one in enumerate(outs[0]) if one is features[deepest]]
    if not whose:
        raise ValueError("no module of this backbone answers its deepest map once; take another backbone")
    name, at = max(whose, key=lambda one: len(one[0]))
    return name, at, features[deepest].shape[1]


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    backbone: str,
    options: Mapping[str, Any],
    mixer: str = "attention",
    span: int = 2,
    heads: int = 4,
    axis: int = 2,
) -> SliceContext:
    """The backbone "slice-context"."""
    return SliceContext(
        dims,
        channels,
        classes,
        backbone=backbone,
        options=options,
        mixer=mixer,
        span=span,
        heads=heads,
        axis=axis,
    )
