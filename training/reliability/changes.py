"""Ways a scan may differ from those a network was taught, applied to a labelled case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.geometry import Box, crop, reorient_array, resample, respaced_grid
from ..cases import Case

Change = Callable[[Case, np.random.Generator], Case]


def changed_greys(case: Case, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]) -> Case:
    """The case with other grey values, labels unchanged."""
    assert case.volume is not None
    values = change(np.asarray(case.volume.array, dtype=np.float32)).astype(np.float32)
    return replace(case, volume=replace(case.volume, array=values))


def _span(case: Case) -> float:
    assert case.volume is not None
    low, high = np.percentile(case.volume.array, (1, 99))
    return float(high - low)


def _turned(codes: str) -> Change:
    def change(case: Case, rng: np.random.Generator) -> Case:
        assert case.volume is not None
        array, grid = reorient_array(np.asarray(case.volume.array), case.grid, codes)
        labels, _ = reorient_array(case.labels, case.grid, codes)
        return case.on(grid, array, labels)

    return change


def _respaced(*spacing_mm: float) -> Change:
    def change(case: Case, rng: np.random.Generator) -> Case:
        assert case.volume is not None
        target = respaced_grid(case.grid, spacing_mm)
        array = resample(np.asarray(case.volume.array, dtype=np.float32), case.grid, target)
        labels = resample(case.labels.astype(np.uint8), case.grid, target, order=0)
        return case.on(target, array, labels)

    return change


def cropped(case: Case, rng: np.random.Generator) -> Case:
    """Three quarters of every side longer than 16 voxels, at a random place."""
    assert case.volume is not None
    shape = np.array(case.grid.shape)
    kept = np.where(shape > 16, np.ceil(0.75 * shape), shape).astype(int)
    start = [int(rng.integers(0, n - k + 1)) for n, k in zip(shape, kept, strict=True)]
    stop = [a + int(k) for a, k in zip(start, kept, strict=True)]
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    array, grid = crop(np.asarray(case.volume.array), case.grid, box)
    labels, _ = crop(case.labels, case.grid, box)
    return case.on(grid, array, labels)


def noisy(share: float) -> Change:
    """White noise of this share of the grey values' range."""
    return lambda case, rng: changed_greys(case, lambda a: a + share * _span(case) * rng.standard_normal(a.shape))


def bent(power: float) -> Change:
    """Another contrast: grey values, as a share of their range, raised to a power."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        low = float(np.min(np.asarray(case.volume.array))) if case.volume else 0.0
        span = _span(case) + 1e-6
        return changed_greys(case, lambda a: np.clip((a - low) / span, 0, None) ** power * span + low)

    return change


_ALWAYS: dict[str, Change] = {
    "unchanged": lambda case, rng: case,
    "three quarters of each side": cropped,
    "noise, 5 % of the range": noisy(0.05),
    "noise, 10 % of the range": noisy(0.1),
}
_CONTRAST: dict[str, Change] = {"gamma 0.7": bent(0.7), "gamma 1.4": bent(1.4)}
_SHIFT: dict[str, Change] = {
    "30 HU brighter": lambda case, rng: changed_greys(case, lambda a: a + 30),
    "30 HU darker": lambda case, rng: changed_greys(case, lambda a: a - 30),
}
_WITH_GEOMETRY: dict[str, Change] = {
    "axes LPI": _turned("LPI"),
    "axes ASR": _turned("ASR"),
    "axes PIL": _turned("PIL"),
    "spacing 0.7 mm": _respaced(0.7, 0.7, 0.7),
    "spacing 3 mm": _respaced(3.0, 3.0, 3.0),
    "slices of 6 mm": _respaced(1.0, 1.0, 6.0),
}
_FEW_VOXELS = 30_000_000  # 0.7 mm is tried where the scan stays below this


def changes_for(case: Case) -> dict[str, Change]:
    """The changes that make sense for a scan: spacing and axes only where they are known."""
    assert case.volume is not None
    contrast = _SHIFT if case.volume.modality == "ct" else {} if case.volume.modality == "pet" else _CONTRAST
    found = {**_ALWAYS, **contrast}
    if case.grid.spacing_known and not case.grid.is_2d:
        found |= _WITH_GEOMETRY
        covered = np.prod(np.array(case.grid.shape) * np.array(case.grid.spacing_mm))
        if covered / 0.7**3 > _FEW_VOXELS:
            del found["spacing 0.7 mm"]
    return found
