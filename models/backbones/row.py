"""What a table says of a backbone. Torch-free; a row names its module, which is imported when a network is built."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ...imaging.errors import BadCall
from ..parity import Against
from ..rows import row_of

if TYPE_CHECKING:
    from .network import SegmentationNetwork

Fidelity = Literal["library", "structural", "reconstruction", "substitute-encoder"]
"""How near a network is to the authors': their class or a library's; the graph of their code, written anew; made from the paper, as
no code was seen; the right decoder on a small stand-in for a large frozen encoder."""


@dataclass(frozen=True)
class Size:
    """A published number of parameters.

    Attributes:
        preset: the options it belongs to.
        dims, channels, classes: what the network was built for.
        millions: as published.
    """

    preset: str
    dims: int
    channels: int
    classes: int
    millions: float


@dataclass(frozen=True)
class Preset:
    """A row's name for some options, found as rows are."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Backbone:
    """A backbone.

    Attributes:
        name: as configurations say it.
        system: as the world says it.
        number: its place among the published systems of docs/systems.md; 0 where it is none of them.
        module: below `ostensor.models`; has `build(dims, channels, classes, **options) -> SegmentationNetwork`, and where
            outputs of the official code are known `reproduce(fixture)`.
        dims: dimensions it is made for.
        presets: options by name; "tiny" (at most a million parameters, for two cores) and "paper" are always there. What a
            configuration may set is what "paper" names.
        source: paper and code it follows.
        licence: of the source's code; "" where none is stated. Nothing of it is copied.
        fidelity: how near it is.
        deviations: from the source, one in each sentence; never () unless a library's class is wrapped.
        sizes: published numbers of parameters, which ours has to within 0.5 %.
        parity: fixtures that `reproduce` understands.
        tags: families it belongs to, in the words of surveys: "ssm-pure" and "ssm-hybrid" scan alone or beside convolutions or attention,
            in the orders of `models/blocks/scans/directions.py` where `directions` is an option; "lstm" is a matrix LSTM.
        in_tiles: whether an answer depends on what lies near it alone, so that a scan may be cut into tiles of any size; else it is
            looked at in windows as large as those of training, and the answers are blended.
    """

    name: str
    system: str
    number: int
    module: str
    dims: tuple[int, ...]
    presets: Mapping[str, Mapping[str, Any]]
    source: str
    fidelity: Fidelity
    deviations: tuple[str, ...] = ()
    licence: str = ""
    sizes: tuple[Size, ...] = ()
    parity: tuple[Against, ...] = ()
    tags: tuple[str, ...] = ()
    in_tiles: bool = False

    def code(self) -> ModuleType:
        """The file of the network; imports torch."""
        return importlib.import_module(f"ostensor.models.{self.module}")

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option of a network, from a preset ("tiny" unless given) and what is set beside it.

        Raises:
            BadCall: an unknown preset or option; the nearest is offered.
        """
        presets = [Preset(name, options) for name, options in self.presets.items()]
        start = row_of(presets, str(given.get("preset", "tiny")), f"preset of '{self.name}'").options
        known = [Preset(name, {}) for name in self.presets["paper"]]
        for key in given:
            if key != "preset":
                row_of(known, key, f"option of '{self.name}'")
        return {**self.presets["paper"], **start, **{key: value for key, value in given.items() if key != "preset"}}

    def build(self, dims: int, channels: int, classes: int, given: Mapping[str, Any]) -> SegmentationNetwork:
        """The network with fresh weights; seed the generator first.

        Args:
            dims: 2 for images (b channels x y), 3 for volumes (b channels x y z).
            channels: of the input.
            classes: channels of the answer.
            given: options, and `preset`.

        Raises:
            BadCall: dimensions it is not made for, an unknown preset or option, or values that make no network.
        """
        if dims not in self.dims:
            raise BadCall(
                f"The backbone '{self.name}' takes {' or '.join(map(str, self.dims))} dimensions, not {dims}. "
                "Set `dims`, or take another backbone."
            )
        options = self.options(given)
        try:
            built: SegmentationNetwork = self.code().build(dims, channels, classes, **options)
        except (AssertionError, IndexError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
            said = f"{type(error).__name__}: {error}"
            raise BadCall(f"The options {options} make no '{self.name}' ({said}). Correct them.") from error
        return built
