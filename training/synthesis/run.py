"""Runs that teach a network to make images, as their TOML files say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from ...imaging.errors import BadCall
from ...imaging.geometry import respaced_grid
from ...imaging.volume import Grid
from ...models.synthesis.conditions import ConditionPlan
from ...models.synthesis.networks.denoiser import NetworkConfig
from ...models.synthesis.scales import Float, Made
from ..cases import Dataset
from ..configuration import Configuration
from ..data.datasets import DATASETS
from ..trainer import Schedule

Part = Literal["train", "test"]


@dataclass(frozen=True)
class SynthesisRun:
    """A run as its TOML file says it.

    Attributes:
        task: "synthesize" (masks to image) or "translate" (image to image, both ways).
        spacing_mm: of the network's pixels where a scan tells its own; `longest` pixels where it does not.
        patch: pixels along x, y shown in training; pictures are padded to it.
        flip: axes that may be mirrored.
        objective: "diffusion" teaches the network that is exported, "pix2pix" its rival on the same data.
        rival: name of the rival's run, shown beside it where it was trained.
    """

    name: str
    title: str
    task: Literal["synthesize", "translate"]
    modality: Made
    data: str
    structures: tuple[str, ...]
    neighbours: int
    spacing_mm: float
    longest: int | None
    canonical: bool
    patch: tuple[int, int]
    flip: tuple[int, ...]
    batch: int
    network: NetworkConfig
    schedule: Schedule
    objective: Literal["diffusion", "pix2pix"] = "diffusion"
    rival: str = ""
    drop: float = 0.1

    @property
    def dataset(self) -> Dataset:
        """Where its cases come from."""
        return DATASETS[self.data]

    @property
    def plan(self) -> ConditionPlan:
        """Its condition channels."""
        return ConditionPlan(self.modality, self.structures, self.neighbours)

    @property
    def names(self) -> dict[int, str]:
        """Label value -> structure."""
        return {value: name for name in self.structures for value in self.dataset.structures[name]}


@dataclass(frozen=True)
class Slices:
    """One case on the network's grid.

    Attributes:
        pictures: (z x y) in [-1, 1].
        maps: (z c x y).
        labels: (z x y); zeros for translation.
    """

    patient: str
    name: str
    pictures: Float
    maps: Float
    labels: np.ndarray[Any, np.dtype[np.uint8]]


def read(given: Configuration) -> SynthesisRun:
    """The run of a configuration.

    Raises:
        BadCall: a key, task, objective or data set that is not known, or condition channels that do not fit.
    """
    given.refuse_unknown({field.name for field in fields(SynthesisRun)})
    values = dict(given.values)
    network = NetworkConfig.from_json(values.pop("network"))
    schedule = Schedule(**values.pop("schedule"))
    for key in ("structures", "patch", "flip"):
        values[key] = tuple(values.get(key, ()))
    run = SynthesisRun(network=network, schedule=schedule, **{"name": given.stem, "longest": None, **values})
    for key, allowed in (("task", ("synthesize", "translate")), ("objective", ("diffusion", "pix2pix"))):
        if getattr(run, key) not in allowed:
            raise BadCall(f"The {key} '{getattr(run, key)}' of '{run.name}' is not known. Use {' or '.join(allowed)}.")
    if run.data not in DATASETS:
        raise BadCall(f"Unknown data set '{run.data}'. Known: {', '.join(DATASETS)}.")
    if unknown := sorted(set(run.structures) - set(run.dataset.structures)):
        raise BadCall(
            f"'{run.data}' does not outline {', '.join(unknown)}. It has {', '.join(run.dataset.structures)}."
        )
    if run.task == "synthesize" and network.maps != run.plan.channels:
        raise BadCall(f"'{run.name}' has {run.plan.channels} condition channels, its network takes {network.maps}.")
    return run


def work_grid(grid: Grid, spacing_mm: float, longest: int | None) -> Grid:
    """The grid a synthesis network works on: square pixels in the plane, slices as they are."""
    step = grid.spacing_mm[0] * max(grid.shape[:2]) / longest if longest and not grid.spacing_known else spacing_mm
    return respaced_grid(grid, (step, step, None))


def padded(array: Float, sides: Sequence[int], fill: float) -> Float:
    """(... x y) padded at the end to at least `sides`."""
    grow = [(0, 0)] * (array.ndim - 2) + [
        (0, max(0, side - n)) for side, n in zip(sides, array.shape[-2:], strict=True)
    ]
    return np.pad(array, grow, constant_values=fill)
