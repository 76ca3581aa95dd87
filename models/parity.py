"""What the authors' code answered, to hold ours against it: fixture folders and the rows that understand them. Torch-free.

A fixture is a folder: `config.json` (source, sizes, tolerances), weights under the official names, inputs, outputs.
Nothing of a size is written down here; systems read sizes from `config.json` and from the tensors.
"""

from __future__ import annotations

import json
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
class Fixture:
    """One folder of official outputs."""

    folder: Path

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
                f"'{self.folder.name}' holds no readable config.json, so it is no parity fixture. Give its folder."
            ) from error
        if not isinstance(found, dict) or not {"system", "source", "tolerance"} <= set(found):
            raise BadCall(f"config.json of '{self.folder.name}' lacks system, source or tolerance.")
        return found

    @property
    def system(self) -> str:
        """Whose outputs they are, in words."""
        return str(self.config["system"])

    @property
    def source(self) -> str:
        """Repository of the official code, owner/name."""
        return str(self.config["source"]).removeprefix("github ").strip()

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
    def outputs(self) -> dict[str, npt.NDArray[np.float32]]:
        """What the official code gave."""
        with np.load(self.folder / "outputs.npz") as file:
            return dict(file)

    @cached_property
    def intermediates(self) -> dict[str, torch.Tensor]:
        """A few activations on the way; some are inputs of a system whose towers were bypassed."""
        return _tensors(self.folder / "intermediates.npz")

    def state(self, name: str = "model") -> dict[str, torch.Tensor]:
        """The weights of a file, by the official names, in full precision."""
        from .checkpoints import full_precision

        return full_precision(self.folder / f"{name}.safetensors")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    import torch

    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    return {key: torch.from_numpy(v.astype(np.float32) if v.dtype == np.float16 else v) for key, v in arrays.items()}
