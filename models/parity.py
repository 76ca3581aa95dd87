"""What the authors' code answered, to hold ours against it: fixture folders and the rows that understand them. Torch-free.

A fixture is a folder: `config.json` (source, sizes, tolerances), weights under the official names, inputs, outputs.
Nothing of a size is written down here; systems read sizes from `config.json` and from the tensors.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..imaging.errors import BadCall

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Against:
    """Whose outputs a system is compared with.

    Attributes:
        source: repository of the official code, owner/name.
        words: what the fixture's `system` must say, where one repository gives several fixtures; lower case.
    """

    source: str
    words: tuple[str, ...] = ()

    def understands(self, fixture: Fixture) -> bool:
        """Whether a fixture is of this kind."""
        return fixture.source == self.source and all(word in fixture.system.lower() for word in self.words)


@dataclass(frozen=True)
class Tolerance:
    """How far a value may be from the official one: |ours - theirs| <= atol + rtol |theirs|."""

    atol: float
    rtol: float = 0.0


@dataclass(frozen=True)
class Fixture:
    """One folder of official outputs."""

    folder: Path

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.folder.resolve().name

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What `config.json` says.

        Raises:
            BadCall: there is none, or it is not one of a fixture.
        """
        try:
            found = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadCall(
                f"'{self.name}' holds no readable config.json, so it is no parity fixture. Give a fixture's folder."
            ) from error
        if not isinstance(found, dict) or not {"system", "source", "tolerance"} <= set(found):
            raise BadCall(
                f"config.json of '{self.name}' lacks system, source or tolerance, so it is no parity fixture. "
                "Give a fixture's folder."
            )
        return found

    @property
    def system(self) -> str:
        """Whose outputs they are, in words."""
        return str(self.config["system"])

    @property
    def source(self) -> str:
        """Repository of the official code, owner/name, without the remarks that may follow it."""
        return next(iter(str(self.config["source"]).removeprefix("github ").split()), "")

    @property
    def sizes(self) -> Mapping[str, Any]:
        """Arguments the official classes were built with."""
        sizes: Mapping[str, Any] = self.config.get("constructor_arguments", {})
        return sizes

    @cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        """What went in; half precision as float32, in which its values are exact."""
        return _tensors(self.folder / "inputs.npz")

    @cached_property
    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """What the official code gave."""
        return _arrays(self.folder / "outputs.npz")

    @cached_property
    def intermediates(self) -> dict[str, torch.Tensor]:
        """A few activations on the way, some cropped; some are inputs of a system whose towers were bypassed."""
        path = self.folder / "intermediates.npz"
        return _tensors(path) if path.exists() else {}

    @property
    def expected(self) -> tuple[str, ...]:
        """Every output that is stored or has a tolerance of its own."""
        return tuple(dict.fromkeys([*self.outputs, *self._tolerances]))

    def tolerance(self, output: str) -> Tolerance | None:
        """What `config.json` allows an output; None where it says nothing.

        It says a number (absolute), or `atol` and `rtol`: for all outputs alike, or for each by its name.

        Raises:
            BadCall: it says something else.
        """
        stated = self.config["tolerance"]
        said = self._tolerances.get(output) if _by_name(stated) else stated
        if said is None:
            return None
        values = said if isinstance(said, dict) else {"atol": said}
        try:
            found = Tolerance(float(values.get("atol", 0)), float(values.get("rtol", 0)))
        except (TypeError, ValueError):
            found = Tolerance(math.nan)
        if not (0 <= found.atol < math.inf and 0 <= found.rtol < math.inf):
            raise BadCall(
                f"The tolerance of '{output}' in config.json of '{self.name}' is {said!r}. "
                "Write a number from 0 up, or atol and rtol."
            )
        return found

    @property
    def loosest(self) -> Tolerance:
        """The greatest atol and the greatest rtol of any output."""
        stated = [one for name in self.expected if (one := self.tolerance(name)) is not None]
        return Tolerance(max((one.atol for one in stated), default=0.0), max((one.rtol for one in stated), default=0.0))

    @property
    def _tolerances(self) -> Mapping[str, Any]:
        stated = self.config["tolerance"]
        return stated if _by_name(stated) else {}

    def state(self, name: str = "model") -> dict[str, torch.Tensor]:
        """The weights of a file, by the official names, in full precision."""
        from .checkpoints import read_checkpoint

        state = read_checkpoint(self.folder / f"{name}.safetensors")
        return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _by_name(tolerance: object) -> bool:
    """Whether a stated tolerance has one for each output."""
    return isinstance(tolerance, dict) and not {"atol", "rtol"} & set(tolerance)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path) as file:
            return dict(file)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise BadCall(
            f"'{path.parent.resolve().name}' holds no readable {path.name}. Get the whole fixture."
        ) from error


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    import torch

    return {
        key: torch.from_numpy(v.astype(np.float32) if v.dtype == np.float16 else v) for key, v in _arrays(path).items()
    }
