"""A run that teaches a SAM classes, as a TOML file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...imaging.errors import BadCall
from ...models.inference.preprocess import Preparation
from ..cases import Dataset
from ..configuration import Configuration
from ..data.datasets import DATASETS
from ..sampling import View
from ..segmenting.config import Source
from ..trainer import Schedule
from .methods import check_options, method

_KEYS = {
    "name", "title", "modality", "method", "start", "batch", "labelled", "data", "tests", "network", "preparation", "view",
    "schedule",
}  # fmt: skip


@dataclass(frozen=True)
class FinetuneRun:
    """Everything a run needs; `title` and `modality` go onto the card.

    Attributes:
        method: row of `METHODS`.
        network: the method's sizes.
        start: name of the model of the catalogue whose weights it begins with; "" for random ones.
        labelled: patients whose outlines are looked at, drawn once by the seed; 0 for all.
        preparation: of the copied atlas, the rival; the network itself takes slices as displayed.
    """

    name: str
    title: str
    modality: str
    method: str
    network: Any
    start: str
    options: Mapping[str, Any]
    sources: tuple[Source, ...]
    tests: tuple[Dataset, ...]
    preparation: Preparation
    view: View
    schedule: Schedule
    batch: int
    labelled: int = 0

    @property
    def structures(self) -> dict[str, tuple[int, ...]]:
        """Name -> label values over all sources."""
        return structures_of(self.sources)


def structures_of(sources: tuple[Source, ...]) -> dict[str, tuple[int, ...]]:
    """Name -> label values over all sources.

    Raises:
        BadCall: two structures share a label value, so that a pixel would have two classes.
    """
    merged: dict[str, tuple[int, ...]] = {}
    for source in sources:
        merged.update(source.dataset.structures)
    values = [value for some in merged.values() for value in some]
    if len(set(values)) != len(values):
        raise BadCall(
            "Some structures of these data sets share labels, but every pixel gets one class. Take other data."
        )
    return merged


def read(given: Configuration) -> FinetuneRun:
    """The run of a configuration.

    Raises:
        BadCall: a key, a data set, a method or a start that is not known, or sizes that do not fit.
    """
    values = given.values
    row = method(str(values["method"]))
    given.refuse_unknown({*_KEYS, *row.options})
    missing = set(values["data"]) - set(DATASETS)
    if missing:
        raise BadCall(f"Unknown data sets {sorted(missing)}. Known: {', '.join(DATASETS)}.")
    start = str(values.get("start", "random"))
    if start not in ("random", *row.starts):
        raise BadCall(f"'{start}' is not among random, {', '.join(row.starts)}. Change `start`.")
    sources = tuple(Source(DATASETS[name], float(weight)) for name, weight in values["data"].items())
    network = row.configure({**values.get("network", {}), "classes": len(structures_of(sources))})
    size = network.size if hasattr(network, "size") else network.encoder.size
    view: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values["view"].items()}
    options = {key: values.get(key, default) for key, default in row.options.items()}
    check_options(row, options)
    labelled = int(values.get("labelled", 0))
    if "unlabelled" in row.streams and labelled < 1:
        raise BadCall(f"The method '{row.name}' learns from scans without outlines, too. Set `labelled` to 1 or more.")
    return FinetuneRun(
        name=values["name"],
        title=values["title"],
        modality=values["modality"],
        method=row.name,
        network=network,
        start="" if start == "random" else start,
        options=options,
        sources=sources,
        tests=tuple(DATASETS[name] for name in values.get("tests", values["data"])),
        preparation=Preparation.from_json(values["preparation"]),
        view=View(patch=(size, size), **view),
        schedule=Schedule(**values["schedule"]),
        batch=int(values["batch"]),
        labelled=labelled,
    )
