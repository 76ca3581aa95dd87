"""Volumes by way of a 2-D backbone that sees each slice with its neighbours as channels; and how volumes become slices and back.

Paper: Zhang et al. 2020, arXiv 2010.06163, a study of 2.5-D methods (no code seen); written from its description.
Takes: volumes (b channels x y z). Returns: `SegOutput`. Any 2-D row of `BACKBONES` may be wrapped.
Weights: none published. Left out: nothing; views along several axes are in `views.py`, recurrence over slices in `context.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .network import SegmentationNetwork, SegOutput, SideAnswer
from .table import backbone


def as_slices(volume: torch.Tensor, axis: int) -> torch.Tensor:
    """Slices (b*n c h w) of volumes (b c x y z), cut across an axis 0 to 2; those of a volume stay together."""
    return volume.movedim(axis + 2, 1).flatten(0, 1)


def as_volumes(slices: torch.Tensor, batch: int, axis: int) -> torch.Tensor:
    """What `as_slices` undoes, of any number of channels and sides."""
    volumes: torch.Tensor = slices.unflatten(0, (batch, -1))
    return volumes.movedim(1, axis + 2)


def build_planar(name: str, options: Mapping[str, Any], channels: int, classes: int) -> SegmentationNetwork:
    """A 2-D backbone by the name of its row and the options of a configuration."""
    return backbone(name).build(2, channels, classes, options)


def in_volume(sides: Sequence[int], axis: int) -> list[int]:
    """Numbers for the two axes of a slice as numbers for the three of a volume, 1 along the axis that is cut."""
    return [*sides[:axis], 1, *sides[axis:]]


def check_axis(axis: int) -> None:
    """Raise ValueError unless an axis is one of a volume."""
    if axis not in (0, 1, 2):
        raise ValueError(f"axis is 0, 1 or 2, not {axis}")


def stack_neighbours(volume: torch.Tensor, axis: int, slices: int) -> torch.Tensor:
    """Each slice with those round it as channels: (b*n slices*c h w); at the ends the last slice stands for those beyond."""
    count = volume.shape[axis + 2]
    places = torch.arange(count, device=volume.device)[:, None]
    round_it = torch.arange(-(slices // 2), slices // 2 + 1, device=volume.device)
    taken = volume.movedim(axis + 2, 1)[:, (places + round_it).clamp(0, count - 1)]
    return taken.flatten(2, 3).flatten(0, 1)


def volumes_of(said: SegOutput, batch: int, axis: int) -> SegOutput:
    """What a 2-D network said of slices, as of volumes."""
    aux = tuple(SideAnswer(one.tag, as_volumes(one.logits, batch, axis), one.weight) for one in said.aux)
    features = {name: as_volumes(x, batch, axis) for name, x in said.features.items()}
    return SegOutput(as_volumes(said.logits, batch, axis), aux, features, said.extra)


class SliceStack(SegmentationNetwork):
    """A 2-D network that answers a slice from it and its neighbours.

    Args:
        dims, channels, classes: see `SegmentationNetwork`.
        backbone, options: of the 2-D network.
        slices: seen at once, odd.
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
        slices: int,
        axis: int,
    ) -> None:
        if slices < 1 or slices % 2 == 0:
            raise ValueError(f"slices is odd, so that one is in the middle; not {slices}")
        check_axis(axis)
        flat = build_planar(backbone, options, channels * slices, classes)
        super().__init__(dims, channels, classes, in_volume(flat.divisor, axis), in_volume(flat.minimum, axis))
        self.flat, self.slices, self.axis = flat, slices, axis

    def answer(self, image: torch.Tensor) -> SegOutput:
        """See `SegmentationNetwork.answer`."""
        said: SegOutput = self.flat(stack_neighbours(image, self.axis, self.slices))
        return volumes_of(said, image.shape[0], self.axis)

    def more_losses(self, said: SegOutput, masks: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Those of the 2-D network."""
        return self.flat.own_losses(said, as_slices(masks, self.axis))


def build(
    dims: int,
    channels: int,
    classes: int,
    *,
    backbone: str,
    options: Mapping[str, Any],
    slices: int = 3,
    axis: int = 2,
) -> SliceStack:
    """The backbone "slice-stack"."""
    return SliceStack(dims, channels, classes, backbone=backbone, options=options, slices=slices, axis=axis)
