"""A calcium score of the Agatston type: bright areas of each slice, weighed by their brightest voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from ..masks.measures import EMPTY, NO_SPACING
from ..region import Region, slices
from ..volume import Volume
from .estimates import NoNumberError

# Source of all four: Agatston et al. 1990, J Am Coll Cardiol 15:827.
CALCIUM_HU = 130.0
LEAST_MM2 = 1.0
STEPS_HU = (200.0, 300.0, 400.0)  # from which a lesion weighs 2, 3 and 4; below it weighs 1
SLICE_MM = 3.0
NEAR_MM = 0.01  # slices that differ from 3 mm by less count as 3 mm: rounding in headers
MOST_SLICE_MM = 5.0  # our choice: thicker slices average small plaques away below 130 HU
BLOOD_HU, BLOOD_ML = (
    100.0,
    1.0,
)  # our choice: unenhanced blood and muscle are 30 to 60 HU, no tissue of a mask's size more
_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)  # in the slice, corners too


@dataclass(frozen=True)
class Calcium:
    """A score and what it is made of.

    Attributes:
        score: of slices of 3 mm; of others, their sum times their distance / 3 mm.
        summed: of all slices as they are.
        lesions: areas that counted, over all slices.
    """

    score: float
    summed: float
    lesions: int
    volume_ml: float
    slice_mm: float


def calcium_score(region: Region, image: Volume) -> Calcium:
    """Area (mm2) times weight of every lesion of every axial slice, summed up, inside a mask.

    A lesion is a connected area (8 neighbours) of at least 1 mm2 of voxels from 130 HU. With another distance between
    slices than the protocol's 3 mm, more or fewer slices would count the same plaque, so the sum is scaled to 3 mm: our
    choice, as workstations give an "equivalent Agatston score" (Siemens syngo Calcium Scoring, operating instructions).

    Source: Agatston et al. 1990, J Am Coll Cardiol 15:827.

    Raises:
        NoNumberError: the mask is empty, the voxel size unknown, slices are not axial, too thick, or the mask is bright throughout, as blood is with contrast.
    """
    if region.box is None or not region.grid.spacing_known:
        raise NoNumberError(EMPTY if region.box is None else NO_SPACING)
    axes = region.axes_mm
    axial = region.axial_axis
    one, two = (axes[:, a] for a in range(3) if a != axial)
    normal = np.cross(one, two)
    pixel_mm2 = float(np.linalg.norm(normal))
    slice_mm = 1000 * region.grid.voxel_ml / pixel_mm2
    spacing = region.grid.spacing_mm
    if abs(normal[2]) < 0.9 * pixel_mm2 or max(spacing) > 1.5 * spacing[axial]:
        raise NoNumberError(
            "The score is defined on axial slices, which this scan does not have. Open the axial series."
        )
    if slice_mm > MOST_SLICE_MM:
        raise NoNumberError(
            f"Slices are {slice_mm:.2g} mm apart; the score is defined for 3 mm, and above {MOST_SLICE_MM:g} mm small plaques vanish."
        )
    greys = np.asarray(image.array[slices(region.box)], dtype=np.float64)
    _check_blood(region, greys)
    bright = np.moveaxis(region.array & (greys >= CALCIUM_HU), axial, 0)
    summed, lesions, voxels = 0.0, 0, 0
    for area, grey in zip(bright, np.moveaxis(greys, axial, 0), strict=True):
        labels, count = scipy.ndimage.label(area, _NEIGHBOURS)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        counting = 1 + np.flatnonzero(sizes[1:] * pixel_mm2 >= LEAST_MM2)
        if not len(counting):
            continue
        brightest = np.asarray(scipy.ndimage.maximum(grey, labels, counting))
        weights = 1 + np.searchsorted(STEPS_HU, brightest, side="right")
        summed += float((weights * sizes[counting]).sum()) * pixel_mm2
        lesions, voxels = lesions + len(counting), voxels + int(sizes[counting].sum())
    scale = 1.0 if abs(slice_mm - SLICE_MM) < NEAR_MM else slice_mm / SLICE_MM
    return Calcium(summed * scale, summed, lesions, voxels * region.grid.voxel_ml, slice_mm)


def _check_blood(region: Region, greys: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    middle = float(np.median(greys[region.array]))
    if region.voxels * region.grid.voxel_ml >= BLOOD_ML and middle > BLOOD_HU:
        raise NoNumberError(
            f"The mask's median is {middle:.0f} HU: blood with contrast, which would count as calcium. The score needs a scan "
            "without contrast."
        )
