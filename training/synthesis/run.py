"""Runs that teach a network to make images, as their TOML files say them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...imaging.errors import BadCall
from ...imaging.geometry import respaced_grid
from ...imaging.volume import Grid
from ...models.synthesis.conditions import ConditionPlan
from ...models.synthesis.networks.denoiser import NetworkConfig
from ...models.synthesis.scales import Float, Made
from ..cases import Dataset
from ..data.datasets import DATASETS
from ..trainer import Schedule

CONFIGS = Path(__file__).parents[1] / "configs" / "synthesis"
RIVAL = "-pix2pix"
Part = Literal["train", "test"]


@dataclass(frozen=True)
class PaintingRun:
    """A run as its TOML file says it.

    Attributes:
        task: "synthesize" (masks to image) or "translate" (image to image, both ways).
        spacing_mm: of the network's pixels where a scan tells its own; `longest` pixels where it does not.
        patch: pixels along x, y shown in training; pictures are padded to it.
        flip: axes that may be mirrored.
        rival_steps: of pix2pix on the same data.
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
    rival_steps: int
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


def is_painting(config: str | Path) -> bool:
    """Whether `fit` should train a synthesis network."""
    return _path(config) is not None


def _path(config: str | Path) -> Path | None:
    name = Path(config).name.removesuffix(".toml").removesuffix(RIVAL)
    path = CONFIGS / f"{name}.toml"
    return path if path.exists() else None


def read_run(config: str | Path) -> PaintingRun:
    """The run of a bundled configuration.

    Raises:
        BadCall: there is none of this name.
    """
    path = _path(config)
    if path is None:
        known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.toml")))
        raise BadCall(f"No synthesis configuration '{config}'. Bundled ones: {known}.")
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    network = NetworkConfig.from_json(values.pop("network"))
    schedule = Schedule(**values.pop("schedule"))
    for key in ("structures", "patch", "flip"):
        values[key] = tuple(values.get(key, ()))
    run = PaintingRun(name=path.stem, network=network, schedule=schedule, **{"longest": None, **values})
    if run.task == "synthesize" and network.maps != run.plan.channels:
        raise BadCall(f"'{run.name}' has {run.plan.channels} condition channels, its network takes {network.maps}.")
    return run


def work_grid(grid: Grid, spacing_mm: float, longest: int | None) -> Grid:
    """The grid a painter works on: square pixels in the plane, slices as they are."""
    step = grid.spacing_mm[0] * max(grid.shape[:2]) / longest if longest and not grid.spacing_known else spacing_mm
    return respaced_grid(grid, (step, step, None))


def padded(array: Float, sides: Sequence[int], fill: float) -> Float:
    """(... x y) padded at the end to at least `sides`."""
    grow = [(0, 0)] * (array.ndim - 2) + [
        (0, max(0, side - n)) for side, n in zip(sides, array.shape[-2:], strict=True)
    ]
    return np.pad(array, grow, constant_values=fill)
