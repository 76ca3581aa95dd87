"""Voxels as millilitres, where an image allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...imaging.volume import Grid


@dataclass(frozen=True)
class Sizes:
    """Of one image: never in ml without a known voxel size, and never for a synthetic image."""

    grid: Grid
    synthetic: bool

    def ml(self, voxels: int) -> float | None:
        """Volume, or None."""
        return round(voxels * self.grid.voxel_ml, 3) if self.grid.volume_known and not self.synthetic else None

    def range_ml(self, voxels: Sequence[int]) -> list[float] | None:
        """Smallest and largest volume, or None."""
        low, high = self.ml(min(voxels)), self.ml(max(voxels))
        return None if low is None or high is None else [low, high]

    def say(self, voxels: int) -> str:
        """In ml, else in voxels."""
        volume = self.ml(voxels)
        return f"{voxels} voxels" if volume is None else f"{volume:g} ml"
