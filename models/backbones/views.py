"""Volumes by way of 2-D backbones along several axes, whose answers become one.

Paper: Zhang et al. 2020, arXiv 2010.06163, a study of 2.5-D methods (no code seen); written from its description.
Takes: volumes (b channels x y z). Returns: `SegOutput`. Any 2-D row of `BACKBONES` may be wrapped.
Weights: none published. Left out: nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .network import SegmentationNetwork, SegOutput, SideAnswer, mean_of_answers
from .slices import as_slices, build_planar, check_axis, in_volume, volumes_of

FUSIONS = ("mean", "vote", "conv")


class MultiView(SegmentationNetwork):
    """2-D networks along several axes, each with weights of its own, whose answers become one.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        backbone, options: of each 2-D network.
        axes: that are cut, one network for each; the maps on the way are those of the first.
        fuse: "mean" of the views' probabilities; "vote", of an odd number of views, their median and so their majority; "conv", a learned
            sum of their logits.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        *,
        backbone: str,
        options: Mapping[str, Any],
        axes: Sequence[int],
        fuse: str,
    ) -> None:
        if fuse not in FUSIONS:
            raise ValueError(f"fuse is one of {', '.join(FUSIONS)}, not {fuse!r}")
        if not axes or len(set(axes)) != len(axes) or (fuse == "vote" and len(axes) % 2 == 0):
            raise ValueError(f"axes differ, and a vote needs an odd number of them; not {list(axes)}")
        for axis in axes:
            check_axis(axis)
        flats = [build_planar(backbone, options, channels, classes) for _ in axes]
        divisors = [in_volume(one.divisor, axis) for one, axis in zip(flats, axes, strict=True)]
        least = [in_volume(one.minimum, axis) for one, axis in zip(flats, axes, strict=True)]
        super().__init__(
            dims,
            channels,
            classes,
            [math.lcm(*each) for each in zip(*divisors, strict=True)],
            [max(each) for each in zip(*least, strict=True)],
        )
        self.flats, self.axes, self.fuse = nn.ModuleList(flats), tuple(axes), fuse
        self.sum = nn.Conv3d(classes * len(axes), classes, 1) if fuse == "conv" else None

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        views = [
            volumes_of(flat(as_slices(image, axis)), image.shape[0], axis)
            for flat, axis in zip(self.flats, self.axes, strict=True)
        ]
        logits = [one.logits for one in views]
        if self.sum is not None:
            fused = self.sum(torch.cat(logits, dim=1))
        else:
            fused = mean_of_answers(logits) if self.fuse == "mean" else torch.stack(logits).median(0).values
        aux = [SideAnswer(f"view.{axis}", one, 1.0) for axis, one in zip(self.axes, logits, strict=True)]
        for axis, view in zip(self.axes, views, strict=True):
            aux += [SideAnswer(f"view.{axis}.{one.tag}", one.logits, one.weight) for one in view.aux]
        extra = {
            f"{axis}.{name}": x for axis, view in zip(self.axes, views, strict=True) for name, x in view.extra.items()
        }
        return SegOutput(fused, tuple(aux), views[0].features, extra)

    def more_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Those of each 2-D network, named by its axis."""
        terms: dict[str, torch.Tensor] = {}
        for flat, axis in zip(self.flats, self.axes, strict=True):
            extra = {name[2:]: x for name, x in said.extra.items() if name.startswith(f"{axis}.")}
            own = flat.own_losses(SegOutput(said.logits, extra=extra), as_slices(masks, axis))  # type: ignore[operator]  # each is a backbone
            terms |= {f"{name}_{axis}": term for name, term in own.items()}
        return terms


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    backbone: str,
    options: Mapping[str, Any],
    axes: Sequence[int] = (2, 1, 0),
    fuse: str = "mean",
) -> MultiView:
    """The backbone "multi-view"."""
    return MultiView(dims, channels, classes, backbone=backbone, options=options, axes=axes, fuse=fuse)
