"""Every backbone there is, one row each. Torch-free; a row names its module, which is imported when it is built.

To add one: a module with `build(dims, channels, **options)`, its row here, a TOML with `backbone = "NAME"`, a test.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ...imaging.errors import BadCall
from ..rows import row_of

if TYPE_CHECKING:
    import torch


class Trunk(Protocol):
    """What a built backbone offers.

    Attributes:
        stride: sides of an image must be multiples of it.
        widths: channels of the decoder's maps, coarsest first; the last map has the image's resolution.
    """

    stride: int
    widths: tuple[int, ...]

    def decode(self, image: torch.Tensor) -> Iterator[torch.Tensor]:
        """Maps of the decoder, coarsest first, from (b channels x y z) or (b channels x y)."""


@dataclass(frozen=True)
class Backbone:
    """A backbone.

    Attributes:
        module: below `ostensor.models`; has `build(dims, channels, **options) -> Trunk`.
        dims: dimensions it is made for.
        options: what a configuration may set, with its default; None must be given.
        tiny: options of a small one, for tests and first tries.
        source: paper and code it follows.
        deviations: from them, in words; empty where there are none.
    """

    name: str
    module: str
    dims: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    deviations: str = ""

    def build(self, dims: int, channels: int, options: Mapping[str, Any]) -> Trunk:
        """The network with fresh weights; seed the generator first.

        Raises:
            BadCall: dimensions it is not made for, or an option it does not have or lacks.
        """
        if dims not in self.dims:
            raise BadCall(
                f"The backbone '{self.name}' takes {' or '.join(map(str, self.dims))} dimensions, not {dims}."
            )
        for key in sorted(set(options) - set(self.options)):
            raise BadCall(f"The backbone '{self.name}' has no option '{key}'. Options: {', '.join(self.options)}.")
        given = {**self.options, **options}
        if missing := sorted(key for key, value in given.items() if value is None):
            raise BadCall(f"The backbone '{self.name}' needs {', '.join(missing)}. Add them to [network].")
        built: Trunk = importlib.import_module(f"ostensor.models.{self.module}").build(dims, channels, **given)
        return built


BACKBONES: tuple[Backbone, ...] = (
    Backbone(
        "unet",
        "blocks.unet",
        (2, 3),
        {"features": None, "finest": 16},
        {"features": (2, 3), "finest": 2},
        source="Ronneberger et al. 2015, arXiv 1505.04597; plain network of nnU-Net, Isensee et al. 2021",
        deviations="BatchNorm instead of InstanceNorm; one convolution on the finest decoder level",
    ),
)


def backbone(name: str) -> Backbone:
    """The backbone of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(BACKBONES, name, "backbone")
