"""Mean grey values with an interval, and what PET tells about a lesion's uptake."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from ..radiomics.intensity import PEAK_RADIUS_MM, local_peaks
from ..region import Region, slices
from ..volume import Volume
from .estimates import Estimate, propagate, volume_by_border

_Z = 1.645  # nine tenths of a normal distribution lie within so many standard deviations


def mean_grey(region: Region, image: Volume) -> Estimate:
    """Mean grey value inside a mask that is not empty.

    Its error is that of a mean of so many voxels, and, in quadrature, how far the mean moves when the outermost layer
    of voxels, which is mixed with what lies outside, is left out; a mask that is all outermost has the first alone.
    """
    values = _values(region, image)
    spread = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    padded = np.pad(region.array, 1)
    core = scipy.ndimage.binary_erosion(padded, scipy.ndimage.generate_binary_structure(3, 1))[1:-1, 1:-1, 1:-1]
    if region.grid.is_2d:
        core = scipy.ndimage.binary_erosion(padded, np.ones((3, 3, 1)))[1:-1, 1:-1, 1:-1]
    mean = float(values.mean())
    moved = mean - float(values[core[region.array]].mean()) if core.any() else 0.0
    reach = math.hypot(_Z * spread, moved)
    return Estimate(mean, mean - reach, mean + reach)


@dataclass(frozen=True)
class Uptake:
    """A lesion in PET; the unit of uptake is the image's (SUV).

    Attributes:
        highest: of a single voxel. No interval: one scan does not tell a voxel's noise.
        peak: greatest mean of a sphere of 1 ml whose centre is a voxel of the mask; it may reach out of the mask.
        volume_ml: metabolic tumour volume, the mask's.
        total: total lesion glycolysis, mean times volume.
    """

    highest: Estimate
    mean: Estimate
    peak: Estimate
    volume_ml: Estimate
    total: Estimate


def uptake(region: Region, image: Volume) -> Uptake:
    """SUVmax, SUVmean, SUVpeak, MTV and TLG of a mask on a PET image with known voxel size.

    Source: Boellaard et al. 2015, Eur J Nucl Med Mol Imaging 42:328 (EANM 2.0): SUVpeak is the sphere of 1 ml placed
    where its mean is highest, MTV the volume and TLG = MTV x SUVmean. A voxel belongs to the sphere when its centre
    does: the global intensity peak of the IBSI (0F91, arXiv 1612.07003, section 3.2).

    Raises:
        NoNumberError: the mask is empty, or the voxel size unknown.
    """
    volume = volume_by_border(region)
    mean = mean_grey(region, image)
    return Uptake(
        highest=Estimate(float(_values(region, image).max())),
        mean=mean,
        peak=Estimate(_peak(region, image)),
        volume_ml=volume,
        total=propagate(lambda suv, ml: suv * ml, mean, volume),
    )


def _values(region: Region, image: Volume) -> npt.NDArray[np.float64]:
    assert region.box is not None
    return np.asarray(image.array[slices(region.box)][region.array], dtype=np.float64)


def _peak(region: Region, image: Volume) -> float:
    assert region.box is not None
    margin = [1 + int(PEAK_RADIUS_MM / step) for step in region.grid.spacing_mm]
    ends = zip(region.box.start, region.box.stop, margin, region.grid.shape, strict=True)
    around = tuple(slice(max(0, a - m), min(n, b + m)) for a, b, m, n in ends)
    inside = np.zeros([cut.stop - cut.start for cut in around], dtype=np.bool_)
    where = zip(region.box.start, region.box.stop, around, strict=True)
    inside[tuple(slice(a - cut.start, b - cut.start) for a, b, cut in where)] = region.array
    scan = np.asarray(image.array[around], dtype=np.float64)
    return local_peaks(scan, inside, region.axes_mm)["loc_peak_glob"]
