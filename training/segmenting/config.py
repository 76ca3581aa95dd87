"""A training run as a TOML file says it: data, network, view, schedule."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...imaging.errors import BadCall
from ...models.inference.preprocess import Preparation
from ...models.language.satmini.network import SatMiniConfig
from ...retrieval.anatomy.structures import StructureTable
from ..cases import Dataset
from ..data.datasets import DATASETS
from ..folders import CONFIGS
from ..sampling import View
from ..trainer import Schedule


@dataclass(frozen=True)
class Source:
    """A data set of the run and how often it is drawn, relative to the others."""

    dataset: Dataset
    weight: float


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs; `title` and `modality` go onto the card.

    Attributes:
        sides: "network" when the network tells left from right, "midplane" when the body's middle plane does.
        single: structures that are one piece.
        views: mirrored and swapped views the network averages over when it is used (`windows.turned`).
        along_mm, mirrored_edge: what is done around a 2-D network when it is used (`Decisions`).
        objective: "text" asks by words, "supervised" has one channel per structure.
        start: "bundled" begins with the weights that ship under this name.
        missed: goals that the bundled weights miss and what was tried, for the card.
    """

    name: str
    title: str
    modality: str
    sources: tuple[Source, ...]
    tests: tuple[Dataset, ...]
    network: SatMiniConfig
    preparation: Preparation
    view: View
    schedule: Schedule
    batch: int
    real_share: float
    negatives: int
    queries: int
    balance: float
    sides: str
    single: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    along_mm: float = 0.0
    mirrored_edge: int = 0
    objective: Literal["text", "supervised"] = "text"
    start: Literal["random", "bundled"] = "random"
    missed: str = ""

    @property
    def sided(self) -> dict[str, tuple[str, str]]:
        """Name -> (pair, side) of structures answered by cutting their pair at the body's middle plane."""
        if self.sides != "midplane":
            return {}
        rows = [StructureTable.bundled().resolve(name) for name in self.structures]
        return {
            row.name: (row.parent, row.side)
            for row in rows
            if row.side in ("left", "right") and row.parent in self.structures
        }

    @property
    def structures(self) -> dict[str, tuple[int, ...]]:
        """Name -> label values over all sources; they must agree."""
        merged: dict[str, tuple[int, ...]] = {}
        for source in self.sources:
            merged.update(source.dataset.structures)
        return merged


def read_config(name_or_path: str | Path) -> RunConfig:
    """The run of a TOML file, or of a bundled configuration by its name.

    Raises:
        BadCall: no such file, a key that is not known, or a data set that is not known.
    """
    path = Path(name_or_path)
    if not path.exists():
        path = CONFIGS / f"{name_or_path}.toml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.toml")))
        raise BadCall(f"No configuration '{name_or_path}'. Bundled ones: {known}. Give one of them or a TOML file.")
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return _build(values)
    except (KeyError, TypeError) as error:
        raise BadCall(f"The configuration '{path.name}' is wrong: {error}. Compare it with a bundled one.") from error


def _build(values: dict[str, Any]) -> RunConfig:
    unknown = set(values) - {
        "name",
        "title",
        "modality",
        "data",
        "tests",
        "network",
        "preparation",
        "view",
        "schedule",
        "batch",
        "real_share",
        "negatives",
        "queries",
        "balance",
        "sides",
        "single",
        "views",
        "along_mm",
        "mirrored_edge",
        "objective",
        "start",
        "missed",
    }
    if unknown:
        raise BadCall(f"Unknown keys {sorted(unknown)} in the configuration. Remove them.")
    missing = set(values["data"]) - set(DATASETS)
    if missing:
        raise BadCall(f"Unknown data sets {sorted(missing)}. Known: {', '.join(DATASETS)}.")
    network = SatMiniConfig.from_json(values["network"])
    stride = 2 ** (len(network.features) - 1)
    if any(size % stride for size in values["view"]["patch"]):
        raise BadCall(
            f"The patch {values['view']['patch']} is not a multiple of {stride}, the network's stride. Change it."
        )
    if network.neighbours and network.dims != 2:
        raise BadCall("Only 2-D networks see neighbours beside a slice. Set neighbours = 0.")
    view: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values["view"].items()
    }
    return RunConfig(
        name=values["name"],
        title=values["title"],
        modality=values["modality"],
        sources=tuple(Source(DATASETS[name], float(weight)) for name, weight in values["data"].items()),
        tests=tuple(DATASETS[name] for name in values.get("tests", values["data"])),
        network=network,
        preparation=Preparation.from_json(values["preparation"]),
        view=View(**view),
        schedule=Schedule(**values["schedule"]),
        batch=int(values["batch"]),
        real_share=float(values.get("real_share", 1.0)),
        negatives=int(values.get("negatives", 2)),
        queries=int(values.get("queries", 0)),
        balance=float(values.get("balance", 0.0)),
        sides=str(values.get("sides", "network")),
        single=tuple(values.get("single", ())),
        views=tuple(values.get("views", ())),
        along_mm=float(values.get("along_mm", 0.0)),
        mirrored_edge=int(values.get("mirrored_edge", 0)),
        objective=_one_of(values.get("objective", "text"), ("text", "supervised")),
        start=_one_of(values.get("start", "random"), ("random", "bundled")),
        missed=str(values.get("missed", "")),
    )


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise BadCall(f"'{value}' is not among {', '.join(allowed)}. Change the configuration.")
    return value
