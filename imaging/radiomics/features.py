"""Radiomics of a mask on its scan: features under their IBSI tags, each checked against the IBSI's phantom.

Ours, because the library that agrees with the IBSI and installs here (mirp 2.7) brings 1.5 GB of
a second ITK, and pyradiomics does not build on Python 3.11.

Source: Zwanenburg et al., IBSI reference manual (arXiv 1612.07003); values published with
"The Image Biomarker Standardization Initiative", Radiology 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..geometry import Box
from ..hounsfield import unit_by_values
from ..masks.measures import EMPTY, no_number
from ..volume import Mask, Volume
from .intensity import PEAK_RADIUS_MM, histogram, local_peaks, statistics, volume_histogram
from .shape import shape_and_grey, shape_features
from .texture import Aggregation, texture_features

LARGEST_VOXELS = 20_000_000  # bounding box; above it textures take minutes and gigabytes
CT_BIN_HU = 25.0  # fixed bin size of IBSI configuration A
OTHER_BINS = 32  # fixed bin number of IBSI configurations B and D
_IVH_STEPS = 1000  # points of the volume histogram where units are not whole; IBSI section 3.5


@dataclass(frozen=True)
class Settings:
    """How grey values become levels.

    Attributes:
        window: only voxels with values in it count (re-segmentation), in the image's unit; None for all.
        bin_width: fixed bin size in the image's unit, counted from the window's low end or the minimum.
        bin_count: fixed bin number between minimum and maximum. With neither, values are levels already.
        whole_units: values are whole numbers with a meaning, as HU; the volume histogram steps by 1.
    """

    window: tuple[float, float] | None = None
    bin_width: float | None = None
    bin_count: int | None = None
    aggregation: Aggregation = "3D_comb"
    whole_units: bool = True

    @classmethod
    def usual(cls, volume: Volume) -> Settings:
        """25 HU bins for CT in HU, 32 bins over the region's range for anything else."""
        if unit_by_values(volume) == "HU":
            return cls(bin_width=CT_BIN_HU)
        return cls(bin_count=OTHER_BINS, whole_units=False)

    @property
    def sentence(self) -> str:
        """One sentence for the answer."""
        if self.bin_width is not None:
            bins = f"fixed bin size {self.bin_width:g}"
        else:
            bins = "values as they are" if self.bin_count is None else f"{self.bin_count} bins"
        window = "no window" if self.window is None else f"window {self.window[0]:g} to {self.window[1]:g}"
        return f"IBSI tags; {bins}, {window}, no interpolation, textures {self.aggregation}."


@dataclass(frozen=True)
class Radiomics:
    """Features by IBSI tag, what could not be given, and the settings."""

    features: dict[str, float]
    reasons: tuple[str, ...]
    settings: Settings


def radiomics(mask: Mask, volume: Volume, settings: Settings | None = None) -> Radiomics:
    """Shape, grey values and textures of a mask.

    Raises:
        BadCall: mask and image lie on different grids, or both kinds of bins are asked for.
    """
    chosen = settings or Settings.usual(volume)
    if not mask.grid.same_as(volume.grid):
        raise BadCall("The mask and the image lie on different grids. Measure a mask on its own image.")
    if chosen.bin_width is not None and chosen.bin_count is not None:
        raise BadCall("A fixed bin size and a fixed number of bins exclude each other. Give one of them.")
    box = Box.of(mask.array)
    if box is None or not mask.grid.volume_known:
        return Radiomics({}, (no_number(mask) or EMPTY,), chosen)
    if int(np.prod(box.shape)) > LARGEST_VOXELS:
        reason = f"The mask's box has {np.prod(box.shape):,} voxels; radiomics takes at most {LARGEST_VOXELS:,}."
        return Radiomics({}, (reason,), chosen)
    axes_mm = mask.grid.affine[:3, :3]
    region = mask.array[_cut(box)]
    scan = np.asarray(volume.array[_cut(box)], dtype=np.float64)
    features = shape_features(region, axes_mm)
    low, high = chosen.window or (-np.inf, np.inf)
    valued = region & (scan >= low) & (scan <= high)
    if not valued.any():
        return Radiomics(features, (f"No voxel of the mask lies between {low:g} and {high:g}.",), chosen)
    features |= shape_and_grey(scan, region, valued, axes_mm, features["morph_volume"])
    features |= _peaks(volume, box, valued, axes_mm)
    values = scan[valued]
    features |= statistics(values) | _volume_histogram(values, chosen)
    levels = np.zeros(region.shape, dtype=np.int32)
    levels[valued] = discretised(values, chosen)
    features |= histogram(levels[valued]) | texture_features(levels, region, chosen.aggregation)
    return Radiomics(features, _reasons(features, mask, chosen), chosen)


def discretised(values: npt.NDArray[np.float64], settings: Settings) -> npt.NDArray[np.int32]:
    """Grey levels from 1.

    Source: IBSI section 2.7: a fixed bin size counts from the window's low end, a fixed number spans the range.
    """
    low = float(values.min())
    if settings.bin_width is not None:
        start = low if settings.window is None else settings.window[0]
        return np.asarray(np.floor((values - start) / settings.bin_width) + 1, dtype=np.int32)
    if settings.bin_count is not None:
        span = float(np.ptp(values)) or 1.0
        bins = np.floor(settings.bin_count * (values - low) / span) + 1
        return np.asarray(np.minimum(bins, settings.bin_count), dtype=np.int32)
    if low < 1 or not np.array_equal(values, np.round(values)):
        raise BadCall("The values are not whole numbers from 1. Give a bin size or a number of bins.")
    return np.asarray(values, dtype=np.int32)


def _cut(box: Box) -> tuple[slice, ...]:
    return box.slices


def _peaks(
    volume: Volume, box: Box, valued: npt.NDArray[np.bool_], axes_mm: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Local peaks need the scan around the region, as far as there is one."""
    margin = [int(np.ceil(PEAK_RADIUS_MM / np.linalg.norm(axes_mm[:, a]))) for a in range(3)]
    start = [max(0, a - m) for a, m in zip(box.start, margin, strict=True)]
    stop = [min(n, b + m) for n, b, m in zip(volume.grid.shape, box.stop, margin, strict=True)]
    scan = np.asarray(volume.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))], dtype=np.float64)
    inside = np.zeros(scan.shape, dtype=bool)
    inside[tuple(slice(a - s, b - s) for a, b, s in zip(box.start, box.stop, start, strict=True))] = valued
    return local_peaks(scan, inside, axes_mm)


def _volume_histogram(values: npt.NDArray[np.float64], settings: Settings) -> dict[str, float]:
    low, high = settings.window or (float(values.min()), float(values.max()))
    step = 1.0 if settings.whole_units else (high - low) / _IVH_STEPS or 1.0
    return volume_histogram(values, low=low, high=high, step=step)


def _reasons(features: dict[str, float], mask: Mask, settings: Settings) -> tuple[str, ...]:
    found = []
    if "morph_moran_i" not in features:
        found.append("Moran's I and Geary's C are left out: all values are equal, or the mask is too large.")
    spacing = mask.grid.spacing_mm
    if settings.aggregation.startswith("3D") and max(spacing) > 1.5 * min(spacing):
        found.append(
            "The voxels are not cubes: textures in space mix distances and compare only with the same spacing."
        )
    return tuple(found)
