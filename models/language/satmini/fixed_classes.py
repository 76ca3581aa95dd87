"""One output channel per structure on any backbone: what training without words gives.

Paper: U-Net (Ronneberger et al. 2015) for the plain backbone; `models/backbones/table.py` says it of the others.
Takes: images (b 1 x y z) or (b channels x y).
Returns: logits (b n x y z), above 0 is inside, or while training a `SegOutput` with the backbone's side answers.
Weights: none bundled; `ostensor fit` with `objective = "supervised"` makes them.
Left out: nothing; it is the plain rival of the networks that take words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ....imaging.errors import BadCall
from ...backbones.network import SegOutput
from ...backbones.table import backbone

OWN = ("dims", "backbone", "neighbours", "window", "exclusive", "layout", "copies")


@dataclass(frozen=True)
class ClassesConfig:
    """Shape of a `FixedClasses`.

    Attributes:
        dims: 2 for axial slices, 3 for volumes.
        backbone: row of `BACKBONES`.
        options: of the backbone.
        neighbours: slices on each side that a 2-D network sees beside the one it answers for.
        embed: output channels, one per structure.
        stride: sides of the input must be multiples of it; 0 until the network is built.
        window: sides of what it looks at in a volume at once; () where tiles of any size do.
        copies: of the image that the backbone gets as its channels, as networks of colour pictures do with grey ones.
        layout: where the axes of the backbone's images run to, a letter of RLAPSI each, in its order: "SPL" is (z y x) as nnU-Net
            reads most files; "" as ours, "RAS" or "RA".
        exclusive: whether the backbone answers the background first, and of all its classes the likeliest counts.
    """

    dims: int
    backbone: str = "unet"
    options: Mapping[str, Any] = field(default_factory=dict)
    neighbours: int = 0
    embed: int = 0
    stride: int = 0
    window: tuple[int, ...] = ()
    exclusive: bool = False
    layout: str = ""
    copies: int = 1

    @property
    def channels(self) -> int:
        """Channels of the input: a slice in the middle of its neighbours, or 1."""
        return 1 + 2 * self.neighbours

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "options": dict(self.options), "window": list(self.window)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassesConfig:
        """The `[network]` table of a configuration; what is not the network's own is the backbone's."""
        own = {key: values[key] for key in OWN if key in values}
        rest = {key: value for key, value in values.items() if key not in {*own, "options", "embed", "stride"}}
        window = tuple(own.pop("window", ()))
        return cls(**own, window=window, options={**values.get("options", {}), **rest})


class FixedClasses(nn.Module):
    """A backbone whose per-voxel answer is one channel per structure.

    It offers what `SatMiniPredictor` asks of a network, so one predictor serves both.

    Attributes:
        config: completed with stride and channels.
    """

    def __init__(self, config: ClassesConfig, structures: Sequence[str]) -> None:
        super().__init__()
        self.structures = tuple(structures)
        self.net = backbone(config.backbone).build(
            config.dims, config.channels * config.copies, len(self.structures) + config.exclusive, config.options
        )
        stride = math.lcm(*self.net.divisor)
        self.config = replace(config, embed=len(self.structures), stride=stride)

    def image_features(self, image: torch.Tensor) -> torch.Tensor:
        """Logits at full resolution, (b n x y z)."""
        layout = self.config.layout
        image = image.repeat(1, self.config.copies, *[1] * self.config.dims) if self.config.copies > 1 else image
        said: SegOutput = self.net(laid_out(image, layout) if layout else image)
        logits = laid_back(said.logits, layout) if layout else said.logits
        return against_others(logits) if self.config.exclusive else logits

    def query_weights(self, structures: Sequence[str]) -> torch.Tensor:
        """Weights (m n+1) that pick each named structure's channel."""
        rows = torch.zeros(len(structures), len(self.structures) + 1)
        for row, name in enumerate(structures):
            rows[row, self.structures.index(name)] = 1.0
        return rows

    def forward(self, image: torch.Tensor) -> torch.Tensor | SegOutput:
        """Logits; while training, with side answers."""
        if not self.training:
            return self.image_features(image)
        if self.config.layout or self.config.exclusive or self.config.copies > 1:
            raise TypeError("networks of others are asked here, not taught")
        said: SegOutput = self.net(image)
        return said


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    """Maps (b c x y z), whose axes run to the right, the front and the head, or (b c x y), with axes as `layout` says."""
    order, turned = _axes(layout, x.dim() - 2)
    return x.flip([axis + 2 for axis in turned]).permute(0, 1, *(axis + 2 for axis in order))


def laid_back(x: torch.Tensor, layout: str) -> torch.Tensor:
    """The inverse of `laid_out`."""
    order, turned = _axes(layout, x.dim() - 2)
    return x.permute(0, 1, *(order.index(axis) + 2 for axis in range(len(order)))).flip([axis + 2 for axis in turned])


def _axes(layout: str, dims: int) -> tuple[list[int], list[int]]:
    """Our axis of each of the layout's, and which of ours run the other way.

    Raises:
        BadCall: it names no axes, or not each once.
    """
    order = [next((n for n, pair in enumerate(("RL", "AP", "SI")) if one in pair), -1) for one in layout]
    if sorted(order) != list(range(dims)):
        raise BadCall(
            f"The layout '{layout}' does not say where {dims} axes run to. Write one of RL, AP{' and SI' * (dims == 3)} for each."
        )
    return order, [axis for axis, one in zip(order, layout, strict=True) if one in "LPI"]


def against_others(logits: torch.Tensor) -> torch.Tensor:
    """Of classes that exclude each other (b 1+n ...), background first, how far each of n lies above the best of all others.

    It is above 0 where the class is the likeliest.
    """
    best, second = logits.topk(2, dim=1).values.unbind(1)
    others = torch.where(logits == best[:, None], second[:, None], best[:, None])
    return (logits - others)[:, 1:]
