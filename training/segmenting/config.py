"""A training run as a TOML file says it: data, network, view, schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from ...imaging.errors import BadCall
from ...models.backbones.table import backbone
from ...models.inference.preprocess import Preparation
from ...models.language.satmini.engine import Segmenter
from ...models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ...models.language.satmini.network import SatMini, SatMiniConfig
from ...models.language.satmini.queried import QueriedBackbone, QueriedConfig
from ...retrieval.anatomy.structures import StructureTable
from ..cases import Dataset
from ..configuration import Configuration
from ..data.datasets import DATASETS
from ..regimes.row import ObjectiveRow, Option
from ..regimes.table import OBJECTIVES, objective_row
from ..regimes.tuning.adapters import Adapters
from ..sampling import View
from ..trainer import Schedule


@dataclass(frozen=True)
class Source:
    """A data set of the run and how often it is drawn, relative to the others."""

    dataset: Dataset
    weight: float


@dataclass(frozen=True)
class Groups:
    """Where it stands which group a patient is of.

    Attributes:
        table: CSV file below the data folder, with the column "patient".
        column: of the groups.
    """

    table: str
    column: str


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs; `title` and `modality` go onto the card.

    Attributes:
        sides: "network" when the network tells left from right, "midplane" when the body's middle plane does.
        single: structures that are one piece.
        views: mirrored and swapped views the network averages over when it is used (`windows.turned`).
        along_mm, mirrored_edge: what is done around a 2-D network when it is used (`Decisions`).
        objective: row of `OBJECTIVES`; "text" asks by words, "supervised" has one channel per structure.
        options: of the objective, where they differ from its defaults.
        labelled_cases: of each data set, how many keep their labels, as whole patients drawn by the seed; the others are the
            unlabelled stream of objectives that have one, and unseen by those that have none. 0 labels all.
        groups: which group each patient is of; batches then draw the groups in turn.
        start: name of the bundled weights it begins with; "" begins with random ones.
        start_run: name of the run whose averaged weights it begins with, heads dropped unless there are adapters; "" for none.
        adapters: which layers change by a low rank while everything else stays.
        missed: goals that the bundled weights miss and what was tried, for the card.
    """

    name: str
    title: str
    modality: str
    sources: tuple[Source, ...]
    tests: tuple[Dataset, ...]
    network: SatMiniConfig | ClassesConfig | QueriedConfig
    preparation: Preparation
    view: View
    schedule: Schedule
    batch: int
    real_share: float
    sides: str
    single: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    along_mm: float = 0.0
    mirrored_edge: int = 0
    objective: str = "text"
    options: Mapping[str, Option] = field(default_factory=dict)
    labelled_cases: int = 0
    groups: Groups | None = None
    start: str = ""
    start_run: str = ""
    adapters: Adapters | None = None
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


def read(given: Configuration) -> RunConfig:
    """The run of a configuration.

    Raises:
        BadCall: a key, a data set, an objective or a backbone that is not known, or sizes that do not fit.
    """
    values = given.values
    row = objective_row(str(values.get("objective", "text")))
    own = {field.name for field in fields(RunConfig)} - {"sources", "options"}
    of_others = {key for one in OBJECTIVES for key in one.options} - set(row.options)
    given.refuse_unknown({*own, "data", *row.options, *(of_others & given.inherited)})
    missing = set(values["data"]) - set(DATASETS)
    if missing:
        raise BadCall(f"Unknown data sets {sorted(missing)}. Known: {', '.join(DATASETS)}.")
    network = _network(values["network"], values["view"]["patch"], words=row.words)
    stride = stride_of(network)
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
        options={key: _option(values[key], default) for key, default in row.options.items() if key in values},
        sides=str(values.get("sides", "network")),
        single=tuple(values.get("single", ())),
        views=tuple(values.get("views", ())),
        along_mm=float(values.get("along_mm", 0.0)),
        mirrored_edge=int(values.get("mirrored_edge", 0)),
        objective=row.name,
        labelled_cases=_labelled_cases(values),
        groups=Groups(**values["groups"]) if "groups" in values else None,
        start=given.start(),
        start_run=_start_run(values),
        adapters=_adapters(values, row),
        missed=str(values.get("missed", "")),
    )


def _labelled_cases(values: Mapping[str, Any]) -> int:
    count = int(values.get("labelled_cases", 0))
    if count and "groups" in values:
        raise BadCall("Groups are drawn from all labelled cases. Take labelled_cases or [groups] out.")
    if count < 0:
        raise BadCall(
            f"labelled_cases is {count}. Set how many cases of each data set keep their labels, or 0 for all."
        )
    return count


def _start_run(values: Mapping[str, Any]) -> str:
    name = str(values.get("start_run", ""))
    if name and values.get("start", "random") != "random":
        raise BadCall(
            f"A run begins with the weights of '{name}' or with the bundled ones. Take start or start_run out."
        )
    return name


def _adapters(values: Mapping[str, Any], row: ObjectiveRow) -> Adapters | None:
    if "adapters" not in values:
        return None
    if row.pretext or (values.get("start", "random") == "random" and "start_run" not in values):
        raise BadCall(
            "Adapters change a trained network that segments. Say which with start_run or start, or take [adapters] out."
        )
    return Adapters.from_json(values["adapters"])


def _option(given: Any, default: Option) -> Option:
    return str(given) if isinstance(default, str) else float(given)


def _network(
    values: Mapping[str, Any], patch: Sequence[int], *, words: bool
) -> SatMiniConfig | ClassesConfig | QueriedConfig:
    """The `[network]` table: a backbone, asked by words or of a fixed list, or the bundled networks' own shape."""
    if words and "backbone" not in values:
        return SatMiniConfig.from_json(dict(values))
    network = QueriedConfig.from_json(values) if words else ClassesConfig.from_json(values)
    if network.dims == 3 and not backbone(network.backbone).in_tiles:
        return replace(network, window=tuple(patch))
    return network


def stride_of(network: SatMiniConfig | ClassesConfig | QueriedConfig) -> int:
    """What the sides of a patch must be multiples of."""
    if isinstance(network, SatMiniConfig):
        return network.stride
    with torch.device("meta"):  # its shape alone is asked for
        return _built(network, ("any",)).config.stride


def network_of(plan: RunConfig) -> Segmenter:
    """The untrained network of a run; seed the generator first."""
    return _built(plan.network, list(plan.structures))


def _built(network: SatMiniConfig | ClassesConfig | QueriedConfig, structures: Sequence[str]) -> Segmenter:
    if isinstance(network, SatMiniConfig):
        return SatMini(network)
    return QueriedBackbone(network) if isinstance(network, QueriedConfig) else FixedClasses(network, structures)
