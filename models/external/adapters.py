"""The kinds of engine there are, one row each. Torch-free."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..rows import row_of
from .engine import Engine


class Describes(Protocol):
    """What a kind of engine tells before it is loaded; a module offers it as functions."""

    def describe(self, folder: Path | None, options: Mapping[str, Any]) -> Engine:
        """The engine as its files tell it, classes unresolved.

        Raises:
            OstensorError: not such an engine, half of one, or one that our adapter does not take.
        """

    def find(self, places: Mapping[str, str], home: Path) -> list[Path]:
        """Folders in the usual places that look like such an engine; only JSON is read."""


@dataclass(frozen=True)
class Adapter:
    """A kind of engine.

    Attributes:
        name: as engine.toml says it.
        module: below `ostensor.models.external`, offers `Describes`.
        hosted: file of `hosted/` that runs it in the engine's own process; "" for servers.
        client: module below `ostensor.models.external` whose `Client` speaks with its server; "" for hosted ones.
        package, program: what is looked for to find its interpreter.
        install: line that installs what it needs; "" for nothing.
        takes_code: whether its folder holds code that runs, so that the user must trust it.
        environment: variables its process needs.
    """

    name: str
    module: str
    hosted: str = ""
    client: str = ""
    package: str = ""
    program: str = ""
    install: str = ""
    takes_code: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def client_of(self) -> Any:
        """The class that speaks with its server."""
        return importlib.import_module(f"ostensor.models.external.{self.client}").Client

    def code(self) -> Any:
        """The module that describes it."""
        return importlib.import_module(f"ostensor.models.external.{self.module}")


_NO_TRAINING = {
    name: "" for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
}  # it warns where they are unset
ADAPTERS: tuple[Adapter, ...] = (
    Adapter("nnunet", "folders.nnunet", hosted="run_nnunet", package="nnunetv2", program="nnUNetv2_predict",
            install="pip install nnunetv2", environment={"nnUNet_compile": "F", **_NO_TRAINING}),
    Adapter("totalsegmentator", "folders.totalsegmentator", hosted="run_totalsegmentator", package="totalsegmentator",
            program="TotalSegmentator", install="pip install TotalSegmentator", environment={"nnUNet_compile": "F"}),
    Adapter("lungmask", "folders.lungmask", hosted="run_lungmask", package="lungmask", program="lungmask",
            install="pip install lungmask"),
    Adapter("monai-bundle", "folders.bundle", hosted="run_bundle", package="monai", takes_code=True,
            install="pip install 'monai[nibabel,ignite]'"),
    Adapter("nninteractive", "servers.nninteractive", client="servers.nninteractive",
            install="pip install nnInteractive, then nninteractive-server --model-dir DIR"),
    Adapter("voxtell", "servers.voxtell", client="servers.voxtell",
            install="pip install 'voxtell[server]', then voxtell-server -m DIR"),
    Adapter("command", "folders.command", hosted="run_command"),
)  # fmt: skip


def adapter_of(name: str) -> Adapter:
    """The row of an adapter.

    Raises:
        BadCall: there is none.
    """
    return row_of(ADAPTERS, name, "adapter")
