"""Ways a scan may differ from those a network was taught, applied to a labelled case."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from ...imaging.geometry import Box, crop, reorient_array, resample, respaced_grid
from ...imaging.hounsfield import may_be_hu
from ...models.inference.preprocess import AIR_HU
from ..bodies.swelling import ball_of, swollen
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


def blurred_by_motion(case: Case, rng: np.random.Generator) -> Case:
    """Breathing: the scan averaged with itself moved by up to 6 % of its width along its second axis."""
    length = case.grid.shape[1]
    steps = [round(share * length) for share in (-0.06, -0.03, 0.0, 0.03, 0.06)]
    return changed_greys(
        case, lambda a: np.mean([ndimage.shift(a, (0, n, 0), order=0, mode="nearest") for n in steps], axis=0)
    )


def low_dose(case: Case, rng: np.random.Generator) -> Case:
    """Few photons: strong noise whose grain is two voxels wide, as after a smooth reconstruction."""
    assert case.volume is not None
    low, high = np.percentile(case.volume.array, (1, 99))
    grain = ndimage.gaussian_filter(rng.standard_normal(case.grid.shape), (1, 1, 0))
    return changed_greys(case, lambda a: a + 0.2 * float(high - low) * grain / grain.std())


def inverted(case: Case, rng: np.random.Generator) -> Case:
    """Another modality: dark becomes bright."""
    return changed_greys(case, lambda a: a.max() + a.min() - a)


def halved(case: Case, rng: np.random.Generator) -> Case:
    """One half along the first axis, the case's name says which, so that structures leave the view partly or wholly."""
    assert case.volume is not None
    wide, deep, high = case.grid.shape
    first = wide // 2 * (zlib.crc32(case.name.encode()) % 2)
    box = Box((first, 0, 0), (first + wide // 2, deep, high))
    array, grid = crop(np.asarray(case.volume.array), case.grid, box)
    labels, _ = crop(case.labels, case.grid, box)
    return case.on(grid, array, labels)


SCREEN_HU = {"abdomen": (-160.0, 240.0), "mediastinum": (-125.0, 225.0), "liver": (-45.0, 105.0)}
"""Windows in which CT is looked at on screens (level 40 width 400, 50 and 350, 30 and 150), as lowest and highest HU."""

ORGANS_HU = 100.0  # liver, spleen and kidneys when contrast medium has reached the veins; only to make pictures
FIELD = 0.95  # radius of the round field of view as a share of the picture's half width: beyond it scanners write what they like


def on_screen(window: str) -> Change:
    """A CT as a picture taken off a screen: the window's ends are black and white, 256 grey values between.

    Where the values are not HU, air is put at -1000 and the labelled organs at `ORGANS_HU`.
    """
    low, high = SCREEN_HU[window]

    def change(case: Case, rng: np.random.Generator) -> Case:
        assert case.volume is not None
        values = np.asarray(case.volume.array, dtype=np.float32)
        if case.volume.modality != "ct" or not may_be_hu(values):
            x, y = (np.linspace(-1, 1, n, dtype=np.float32)[:, None] for n in values.shape[:2])
            air = float(np.percentile(values[x**2 + y.T**2 < FIELD**2], 2))
            organs = float(np.median(values[case.labels > 0])) if (case.labels > 0).any() else float(values.max()) / 2
            values = (values - air) / max(organs - air, 1e-6) * (ORGANS_HU - AIR_HU) + AIR_HU
        return changed_greys(case, lambda _: np.round(255 * (np.clip(values, low, high) - low) / (high - low)))

    return change


def resized(values: Sequence[int], factor: float) -> Change:
    """The case with one organ, of these labels, of `factor` times its area or volume; its surroundings make room."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        assert case.volume is not None
        inside = np.isin(case.labels, values)
        if not inside.any():
            return case
        flat = case.grid.is_2d
        spacing = (1.0, 1.0, 1.0) if flat or not case.grid.spacing_known else case.grid.spacing_mm
        centre, radius = ball_of(inside, spacing)
        axes = [torch.arange(n, dtype=torch.float32) * step for n, step in zip(case.grid.shape, spacing, strict=True)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        looked = np.moveaxis(swollen(points, centre, radius, factor ** (1 / (2 if flat else 3))).numpy(), -1, 0)
        at = looked / np.array(spacing, dtype=np.float32)[:, None, None, None]
        array = np.asarray(case.volume.array, dtype=np.float32)
        moved = ndimage.map_coordinates(array, at, order=1, mode="nearest")
        labels = ndimage.map_coordinates(case.labels, at, order=0, mode="constant", cval=0)
        return case.on(case.grid, moved, labels)

    return change


def any_resized(factor: float) -> Change:
    """One organ of the case, drawn at random, of `factor` times its area or volume."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        values = np.unique(case.labels[case.labels > 0])
        return resized([int(rng.choice(values))], factor)(case, rng) if len(values) else case

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
