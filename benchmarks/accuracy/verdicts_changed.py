"""Questions whose scans keep all that they show: as they are, and slices and hearts changed in ways people meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...imaging.volume import BoolArray, Volume
from ...training.cases import Case
from ...training.data import acdc, btcv
from ...training.reliability.calibrate import halves
from ...training.reliability.changes import SCREEN_HU, Change, bent, on_screen, resized

Kind = Literal["as it is", "kind not told", "on a screen", "organ resized", "other grey values", "cut", "other region"]
SIZES = (0.5, 2.0, 3.0, 6.0)  # of an organ's own area or volume
GREYS: Mapping[str, Change] = {"gamma 0.7": bent(0.7), "gamma 1.4": bent(1.4)}
LEAST_PIXELS = 400  # of an organ in a slice that is worth resizing, or missing
LEAST_VOXELS = 30  # a truth of fewer voxels is a sliver that nobody must see


@dataclass(frozen=True)
class Question:
    """A scan and what is truly in it.

    Attributes:
        truth: structure -> its voxels (None: certainly not in the scan).
        share: structure -> share of the structure that lies in the scan, 0 to 1.
        whose: patient; figures over patients need it.
    """

    name: str
    kind: Kind
    volume: Volume
    truth: Mapping[str, BoolArray | None]
    share: Mapping[str, float]
    whose: str


def whole(case: Case, names: Mapping[str, tuple[int, ...]], absent: tuple[str, ...] = ()) -> Question:
    """A scan that keeps all it shows; `absent` names what it certainly does not hold."""
    assert case.volume is not None
    truth: dict[str, BoolArray | None] = {name: np.isin(case.labels, values) for name, values in names.items()}
    truth |= dict.fromkeys(absent)
    share = {name: float(one is not None and bool(one.any())) for name, one in truth.items()}
    return Question(case.name, "as it is", case.volume, truth, share, case.patient)


def slices(data: Path) -> Iterator[Question]:
    """Axial CT slices: as they are, of a kind nobody told, as screens show them, in other contrasts, with organs resized.

    They are pictures without voxel size; whoever opens them says that they are CT.
    """
    names = btcv.DATASET.structures
    every = [case.told("ct") for case in halves(btcv.DATASET.cases(data, "test"))[1]]
    for case in every:
        yield whole(case, names)
    for case in every[::4]:
        yield replace(whole(case.told("unknown"), names), name=f"{case.name}, kind not told", kind="kind not told")
    rng = np.random.default_rng(0)
    for case in every:
        for window in SCREEN_HU:
            yield _changed(case, on_screen(window), rng, names, f"{window} window", "on a screen")
    for case in every[::2]:
        for name, change in GREYS.items():
            yield _changed(case, change, rng, names, name, "other grey values")
    single = {name: values for name, values in names.items() if len(values) == 1}
    for case in every:
        for name, values in single.items():
            if int(np.isin(case.labels, values).sum()) < LEAST_PIXELS:
                continue
            for size in SIZES:
                yield _changed(case, resized(values, size), rng, {name: values}, f"{name} x {size:g}", "organ resized")


def resized_hearts(data: Path) -> Iterator[Question]:
    """Left ventricles of half to three times their volume, and the other way round for the right ones."""
    rng = np.random.default_rng(0)
    for case in halves(acdc.DATASET.cases(data, "test"))[1][:2]:
        for name, values in acdc.DATASET.structures.items():
            if len(values) == 1 and name != "myocardium":
                for size in SIZES[:3]:
                    yield _changed(
                        case, resized(values, size), rng, {name: values}, f"{name} x {size:g}", "organ resized"
                    )


def _changed(
    case: Case, change: Change, rng: np.random.Generator, names: Mapping[str, tuple[int, ...]], how: str, kind: Kind
) -> Question:
    return replace(whole(change(case, rng), names), name=f"{case.name}, {how}", kind=kind)
