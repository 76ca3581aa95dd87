"""Areas inside an organ that are darker or brighter than the rest of it, found without a network.

An honest stand-in for a lesion model: it finds what differs, not what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
import numpy.typing as npt
import scipy

from ..geometry import Box
from ..volume import BoolArray, Mask, Volume
from .relations import without_holes

Kind = Literal["low", "high", "any"]

# Own choices, set on phantoms; not taken from a publication.
SPREADS = 3.0  # how many robust standard deviations from the organ's median count as different
LEAST_HU = 12.0  # and at least so many HU in CT
_RIM_MM = 3.0  # the organ's border is mixed with its surroundings and starts no region
_SMOOTH_MM = 1.2
_LEAST_VOXELS = {2: 12, 3: 20}
SPOT_SPREADS, SPOT_HU = 8.0, 130.0  # a spot too small for an area stands out by so much
# Source of 130 HU, from which voxels count as calcium: Agatston et al. 1990, J Am Coll Cardiol 15:827.
_LEAST_SPOT = 2  # voxels; a single one may be noise
_MOST = 24


@dataclass(frozen=True)
class Area:
    """An area that differs from its organ.

    Attributes:
        kind: "low" is darker, "high" brighter than the organ.
        median, organ_median: grey values inside it (smoothed, but for spots) and in the organ.
        spread: robust standard deviation of the organ's grey values.
        contrast: difference in spreads; its sign is that of `kind`.
    """

    mask: Mask
    kind: Literal["low", "high"]
    median: float
    organ_median: float
    spread: float

    @property
    def contrast(self) -> float:
        """How many spreads it differs from the organ."""
        return (self.median - self.organ_median) / self.spread


def different_areas(image: Volume, organ: Mask, kind: Kind = "any") -> tuple[Area, ...]:
    """Areas inside an organ whose grey value differs, largest first; at most 24.

    Seeds lie at least 3 mm inside the organ and differ by 3 robust standard deviations (12 HU in CT);
    each is grown to half its depth, the usual place of a blurred border. Spots too small for that, such as stones and
    plaques, count when they stand out by 8 spreads (130 HU in CT); dark ones only inside the rim.

    Args:
        organ: on the image's grid; holes are filled first, as networks leave lesions out.
    """
    whole = without_holes(organ.array)
    box = Box.of(whole)
    if box is None:
        return ()
    cut = box.slices
    inside = np.ascontiguousarray(whole[cut])
    step = image.grid.spacing_mm if image.grid.spacing_known else (1.0, 1.0, 1.0)
    raw = np.asarray(image.array[cut], dtype=np.float32)
    values = _smoothed(raw, inside, step)
    core = _core(inside, step)
    middle = float(np.median(values[core]))
    spread = 1.4826 * float(np.median(np.abs(values[core] - middle)))  # MAD of a normal distribution
    spread = max(spread, _floor(image))
    found: list[Area] = []
    for sign, name in ((-1.0, "low"), (1.0, "high")):
        if kind not in (name, "any"):
            continue
        depth = sign * (raw - middle)
        stands_out = depth > max(SPOT_SPREADS * spread, SPOT_HU if image.modality == "ct" else 0.0)
        stands_out &= inside if sign > 0 else core
        areas = [
            area
            for area in _areas(sign * (values - middle), inside, core, SPREADS * spread)
            if not _is_halo(area, stands_out, depth, spread)
        ]
        spots = _spots(stands_out, areas)
        for area, greys in [*((one, values) for one in areas), *((one, raw) for one in spots)]:
            kept = np.zeros(image.grid.shape, dtype=np.bool_)
            kept[cut] = area
            median = float(np.median(greys[area]))
            found.append(Area(Mask(kept, image.grid), "low" if sign < 0 else "high", median, middle, spread))
    found.sort(key=lambda region: -int(np.count_nonzero(region.mask.array)))
    return tuple(found[:_MOST])


def _areas(depth: npt.NDArray[np.float32], inside: BoolArray, core: BoolArray, least: float) -> list[BoolArray]:
    """Connected seeds deeper than `least`, each grown to half its own depth."""
    seeds = (depth > least) & core
    flat = depth.shape[2] == 1 or min(depth.shape) == 1
    cross = scipy.ndimage.generate_binary_structure(3, 1)
    if flat:
        thin = int(np.argmin(depth.shape))
        cross = cross & np.moveaxis(np.arange(3)[:, None, None] == 1, 0, thin)
    seeds = scipy.ndimage.binary_opening(seeds, cross)
    labels, count = cc3d.connected_components(np.ascontiguousarray(seeds), return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    order = [n for n in np.argsort(-sizes[1:]) + 1 if sizes[n] >= 4][: 2 * _MOST]
    taken = np.zeros(depth.shape, dtype=np.bool_)
    grown = []
    for number in order:
        seed = labels == number
        if (taken & seed).any():
            continue  # it flowed together with a larger one
        half = float(np.median(depth[seed])) / 2
        wide = cc3d.connected_components(np.ascontiguousarray((depth > half) & inside))
        touched = np.unique(wide[seed])
        area: BoolArray = np.isin(wide, touched[touched > 0])
        if np.count_nonzero(area) >= _LEAST_VOXELS[2 if flat else 3]:
            grown.append(area & ~taken)
            taken |= area
    return grown


def _is_halo(area: BoolArray, stands_out: BoolArray, depth: npt.NDArray[np.float32], spread: float) -> bool:
    """Whether an area is but a spot and what smoothing spread of it."""
    around = area & ~stands_out
    return bool((area & stands_out).any()) and (not around.any() or float(np.median(depth[around])) < spread)


def _spots(stands_out: BoolArray, areas: list[BoolArray]) -> list[BoolArray]:
    """Connected voxels that stand out and touch no area, largest first."""
    labels, count = cc3d.connected_components(np.ascontiguousarray(stands_out), return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    known = np.unique(labels[np.logical_or.reduce(areas)]) if areas else np.zeros(0, dtype=int)
    order = [n for n in np.argsort(-sizes[1:]) + 1 if sizes[n] >= _LEAST_SPOT and n not in known]
    return [np.asarray(labels == n) for n in order[:_MOST]]


def _smoothed(
    values: npt.NDArray[np.float32], inside: BoolArray, step: tuple[float, float, float]
) -> npt.NDArray[np.float32]:
    """Gaussian mean of the organ's own voxels, so that its surroundings do not leak in."""
    sigma = [_SMOOTH_MM / s if n > 1 else 0.0 for s, n in zip(step, values.shape, strict=True)]
    weight = inside.astype(np.float32)
    total = scipy.ndimage.gaussian_filter(values * weight, sigma, mode="constant")
    count = scipy.ndimage.gaussian_filter(weight, sigma, mode="constant")
    mean: npt.NDArray[np.float32] = np.where(inside, total / np.maximum(count, 1e-6), 0)
    return mean


def _core(inside: BoolArray, step: tuple[float, float, float]) -> BoolArray:
    """The organ without its rim; a thin organ keeps all of itself."""
    rim = [max(1, round(_RIM_MM / s)) if n > 1 else 0 for s, n in zip(step, inside.shape, strict=True)]
    eroded = inside
    for axis, width in enumerate(rim):
        if width:
            eroded = scipy.ndimage.minimum_filter1d(eroded, 2 * width + 1, axis=axis, mode="constant", cval=0)
    return eroded if np.count_nonzero(eroded) > 0.2 * np.count_nonzero(inside) else inside


def _floor(image: Volume) -> float:
    """The least spread that counts: 4 HU in CT, 2 % of the grey range elsewhere."""
    if image.modality == "ct":
        return LEAST_HU / SPREADS
    low, high = np.percentile(image.array[:: max(1, image.array.shape[0] // 64)], (1, 99))
    return max(0.02 * float(high - low), 1e-6)
