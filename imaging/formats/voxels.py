"""Masks as images of 0 and 1, one file each: every format whose images are written and read can hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import Failed
from ..volume import BoolArray, Grid
from .segments import Segment
from .table import format_of, loaded


def write_masks(
    path: Path, segments: Sequence[Segment], grid: Grid, *, source: object, synthetic: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Write the one mask; no warnings, as nothing is lost."""
    (segment,) = segments
    row = format_of(path.name)
    assert row is not None
    loaded(row.write)(path, segment.load().array, grid, synthetic=synthetic)
    return {}


def read_masks(path: Path, segments: Sequence[Segment], grid: Grid) -> list[Callable[[], BoolArray]]:
    """A reader of the mask.

    Without a voxel size there is no place to compare: then the shape must be the same, and the size still unknown.

    Raises:
        Failed: it lies on another grid than it was written on.
    """
    row = format_of(path.name)
    assert row is not None
    found = loaded(row.read)(path)
    if found.grid.spacing_known != grid.volume_known or not _alike(found.grid, grid):
        raise Failed("reads back on another grid than it was written on")
    return [lambda: found.array > 0]


def _alike(found: Grid, grid: Grid) -> bool:
    return found.same_as(grid) if grid.volume_known else found.shape == grid.shape
