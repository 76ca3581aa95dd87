"""A voxel size that the user states because the file tells none: marked, and never put in the place of the file's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import BadCall
from ..volume import Grid

_AGREES = 0.01  # share by which the user's number may differ from the file's, which he may have rounded
_NO_VOLUME, _NO_MM = "no volume can be given", ", so none are given in mm"


def with_stated_spacing(
    grid: Grid, notes: tuple[str, ...], spacing_mm: Sequence[float]
) -> tuple[Grid, tuple[str, ...]]:
    """The grid with the user's voxel size, and what is to be said of the image then.

    Where the file tells the same size, nothing changes.

    Args:
        spacing_mm: along x, y, z; of a single slice, x and y are enough, and its thickness stays unknown.

    Raises:
        BadCall: the file tells another size, or a size is missing.
    """
    wanted = np.array(spacing_mm, dtype=np.float64)
    if len(wanted) == 2 and not grid.is_2d:
        raise BadCall(f"The image has {grid.shape[2]} slices, so spacing_mm needs three numbers: along x, y and z.")
    told = np.array(grid.spacing_mm)[: len(wanted)]
    if grid.spacing_known:
        if not np.allclose(wanted, told, rtol=_AGREES):
            raise _differs(told, wanted)
        return grid, notes
    in_plane = told[:2]
    if not np.allclose(in_plane, 1.0) and not np.allclose(wanted[:2], in_plane, rtol=_AGREES):
        raise _differs(in_plane, wanted)
    sizes = np.array([*wanted, 1.0][:3])
    affine = grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] / np.array(grid.spacing_mm) * sizes
    stated = replace(grid, affine=affine, spacing_known=True, thickness_known=len(wanted) == 3, stated=True)
    if stated.thickness_known:
        notes = tuple(note for note in notes if _NO_VOLUME not in note)
    said = " x ".join(f"{size:g}" for size in wanted)
    mark = f"The voxel size {said} mm is stated by the user, not by the file: every length and volume rests on it."
    return stated, (*(note.replace(_NO_MM, "") for note in notes), mark)


def _differs(told: np.ndarray, wanted: np.ndarray) -> BadCall:
    own, given = (" x ".join(f"{size:.4g}" for size in sizes) for sizes in (told, wanted))
    return BadCall(
        f"The file tells a voxel size of {own} mm, and spacing_mm says {given} mm. A file's own size is never replaced. "
        "Leave spacing_mm out; if the file is wrong, mend it first."
    )
