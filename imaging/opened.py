"""What opening a file gives, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .dicom.series import SeriesSummary
from .dicom.source import DicomSource
from .volume import Grid, Modality, Volume


@dataclass(frozen=True)
class Opened:
    """A scan, or the list of series to choose from.

    Attributes:
        volume: None when several series were found and none was chosen.
        series: what the folder holds; empty for formats without series.
        warnings: what a careful reader should know, one sentence each.
        unit: of the voxel values when the file says so: "HU", "SUV", another; else "".
        acquisition: how the scan was made, as far as the header says: `kvp`, `contrast` (whether any was given).
        source: patient, study and slice UIDs of a DICOM scan; for the store only, never for a result.
    """

    volume: Volume | None
    series: tuple[SeriesSummary, ...]
    warnings: tuple[str, ...]
    format: str
    unit: str = ""
    acquisition: Mapping[str, float | bool] = field(default_factory=dict)
    source: DicomSource | None = field(default=None, repr=False)


# Source: our choice. The longest scanners see 2 m; no clinical voxel is longer than 10 cm or shorter than 5 micrometres.
_MOST_VOXEL_MM, _LEAST_VOXEL_MM, _MOST_FIELD_MM = 100.0, 0.005, 5000.0


def preflight(volume: Volume, unit: str = "") -> tuple[str, ...]:
    """Warnings about a scan that was read without error but may mislead.

    Args:
        unit: of the values, "" when it is not known.
    """
    found = [*_odd_sizes(volume.grid)]
    if not volume.grid.spacing_known:
        found.append("The file tells no voxel size: lengths and volumes cannot be given in mm or ml.")
    elif not volume.grid.thickness_known:
        found.append("The slice's thickness is not known: no volume can be given.")
    spacing = volume.grid.spacing_mm
    if volume.grid.spacing_known and max(spacing) > 3 * min(spacing) and not volume.grid.is_2d:
        found.append(f"Voxels are long: {spacing[0]:.2f} x {spacing[1]:.2f} x {spacing[2]:.2f} mm.")
    low, high = float(volume.array.min()), float(volume.array.max())
    if low == high:
        found.append(f"Every voxel has the value {low:g}: the scan is blank.")
    elif volume.modality == "ct" and unit != "HU":
        found.append(
            f"The values run from {low:g} to {high:g} and are not in HU (the scan was scaled, or its offset is missing): "
            "no HU are given, and models that need HU refuse it."
        )
    elif volume.modality == "ct" and not volume.synthetic and (low > -500 or high > 32767):
        found.append(f"The values run from {low:g} to {high:g}; Hounsfield units of a CT begin near -1000 in air.")
    if volume.modality == "unknown":
        found.append("The modality is not known; pass modality='ct' or 'mr' if you know it.")
    return tuple(found)


def _odd_sizes(grid: Grid) -> list[str]:
    """A warning when the voxels are of a size that no scanner makes: the unit in the header is wrong."""
    if not grid.spacing_known:
        return []
    spacing = grid.spacing_mm
    field = max(n * s for n, s in zip(grid.shape, spacing, strict=True))
    if max(spacing) <= _MOST_VOXEL_MM and min(spacing) >= _LEAST_VOXEL_MM and field <= _MOST_FIELD_MM:
        return []
    shown = " x ".join(f"{s:.4g}" for s in spacing)
    return [
        f"Voxels of {shown} mm ({field:.4g} mm in all) are of no patient: the unit in the header is likely wrong, "
        "so no length or volume can be trusted."
    ]


def guess_modality(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Modality:
    """ "ct" when the values look like Hounsfield units, else "unknown".

    The test: 16-bit-like whole numbers, air below -900 in at least 2 % of the voxels, nothing below -9000.
    """
    # "K": in memory order, so that no copy of a large scan is made; an odd step, so that no row or column is favoured.
    sample = np.asarray(array).ravel(order="K")[:: max(1, array.size // 500_000) | 1].astype(np.float32)
    air = float((sample < -900).mean())
    looks = air >= 0.02 and sample.min() >= -9000 and 100 < sample.max() <= 32767
    return "ct" if looks else "unknown"
