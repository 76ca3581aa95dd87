"""What a mask says about a tumour, as prognosis models take it. Torch-free."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...imaging.volume import BoolArray, Grid

MEASURES = ("tumour_volume_ml", "tumour_axis_mm", "organ_volume_ml", "tumour_mean", "tumour_sd")


def tumour_measures(
    tumour: BoolArray, organ: BoolArray | None, grid: Grid, image: npt.NDArray[Any] | None = None
) -> dict[str, float | None]:
    """Volume and longest axis of the tumour, volume of its organ, and grey values inside; None where not known.

    The longest axis is that of the ellipsoid with the same inertia, 2 sqrt(5 x the largest variance of
    the voxels' places): no face of the scan or direction of the grid enters.

    Args:
        tumour, organ: (x y z) on `grid`; the organ without the tumour.
        image: (x y z) grey values; none leaves their measures out.
    """
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    if grid.volume_known:
        found["tumour_volume_ml"] = float(np.count_nonzero(tumour)) * grid.voxel_ml
        if organ is not None:
            found["organ_volume_ml"] = float(np.count_nonzero(organ)) * grid.voxel_ml
        found["tumour_axis_mm"] = _longest_axis_mm(tumour, grid)
    if image is not None and tumour.any():
        values = np.asarray(image[tumour], dtype=np.float64)
        found["tumour_mean"], found["tumour_sd"] = float(values.mean()), float(values.std())
    return found


def _longest_axis_mm(tumour: BoolArray, grid: Grid) -> float:
    index = np.argwhere(tumour)
    if len(index) < 2:
        return 0.0
    places = index @ grid.affine[:3, :3].T
    return float(2 * np.sqrt(5 * np.linalg.eigvalsh(np.cov(places.T, bias=True))[-1]))
