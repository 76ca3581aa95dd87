"""What a data set must say about itself, and the cases it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..imaging.errors import Unavailable
from ..imaging.volume import Grid, Modality, Volume

LabelMap = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Case:
    """One labelled scan, or a label map without a scan (`volume` None: its image is synthesised).

    Attributes:
        patient: whose it is; a patient's cases never lie on both sides of a split.
        labels: (x y z) integers on `grid`.
    """

    patient: str
    name: str
    volume: Volume | None
    labels: LabelMap
    grid: Grid

    def on(self, grid: Grid, array: npt.NDArray[Any], labels: LabelMap) -> Case:
        """The same scan with its voxels and labels on another grid; what else is known of it stays."""
        assert self.volume is not None
        return replace(self, volume=replace(self.volume, array=array, grid=grid), labels=labels, grid=grid)

    def told(self, modality: Modality) -> Case:
        """The case with the kind of scan that whoever opens it says it is."""
        assert self.volume is not None
        return replace(self, volume=replace(self.volume, modality=modality))


@dataclass(frozen=True)
class Dataset:
    """A source of cases, with what may be done with it.

    Attributes:
        folder: below the data folder.
        structures: canonical name -> label values it consists of; names may share labels.
        absent: structures that are certainly not in these scans, for empty queries.
        mirrored: label value -> its partner on the other side; both must be listed.
        licence: as its README states it.
        use: "any", or "research-only" when the licence is non-commercial or unverified.
        load: yields every case below the folder.
        held_out: patients never trained on.
        plausible: False when sizes of its structures mean nothing (no voxel size).
        region_mm: lowest and highest corner in patient space where its labels are complete; masks
            are compared only there. None is everywhere.
    """

    name: str
    folder: str
    structures: Mapping[str, tuple[int, ...]]
    absent: tuple[str, ...]
    licence: str
    use: Literal["any", "research-only"]
    sources: tuple[str, ...]
    load: Callable[[Path], Iterator[Case]]
    held_out: Callable[[list[str]], set[str]]
    mirrored: Mapping[int, int]
    plausible: bool = True
    region_mm: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None

    def cases(self, data: Path, part: Literal["train", "test"]) -> list[Case]:
        """Every case of one side of the split.

        Raises:
            Unavailable: the folder is not there.
        """
        folder = data / self.folder
        if not folder.is_dir():
            raise Unavailable(
                f"The data set '{self.name}' is not there. It is looked for in '{self.folder}' of the data folder. "
                "Say --data FOLDER, or set OSTENSOR_DATA to the folder that holds it."
            )
        every = list(self.load(folder))
        kept_out = self.held_out(sorted({case.patient for case in every}))
        return [case for case in every if (case.patient in kept_out) == (part == "test")]


def hold_out(count: int, seed: int) -> Callable[[list[str]], set[str]]:
    """A split that keeps `count` patients out, drawn once from `seed`."""

    def choose(patients: list[str]) -> set[str]:
        drawn = np.random.default_rng(seed).permutation(len(patients))[:count]
        return {patients[i] for i in drawn}

    return choose
