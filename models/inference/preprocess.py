"""From a scan to what a bundled network eats, and its answer back onto the scan's grid.

Training and inference share this file, so a network never meets numbers it was not taught.
Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall
from ...imaging.geometry import Box, crop, reorient_array, resample, respaced_grid
from ...imaging.hounsfield import check_hu, unit_by_values
from ...imaging.volume import BoolArray, FloatArray, Grid, Volume
from ...observing.stages import staged

Intensity = Literal["ct", "mr", "pet"]
SUV_MOST = 20.0  # brighter than any tumour has to be told apart from
CT_WINDOW_HU = (-250.0, 350.0)  # keeps fat, organs, contrast and the edge of bone apart
AIR_HU = -1000.0
BODY_SHARE = 0.05  # of the range above air
AIR_NOISES = 4.0  # standard deviations of the air's noise that are still air


@dataclass(frozen=True)
class Preparation:
    """How a network wants its input.

    Attributes:
        dims: 3 for volumes, 2 for slices.
        spacing_mm: voxel size along x, y, z after resampling; in 2-D the last is ignored.
        longest: in-plane size of the longer side, in pixels, for 2-D images of unknown spacing.
        intensity: "ct" (Hounsfield window), "mr" (z-score of the body) or "pet" (logarithm of the SUV).
        canonical: True turns the axes to RAS; False keeps the file's (cine short-axis stacks,
            whose planes follow the heart, not the body).
        noisy_air: "mr" only: what the noise of the air around the body reaches does not count as body.
        scale: what values are cut to, low and high, then what is taken off and what they are divided by, as networks of others
            say it (nnU-Net: percentiles, mean and standard deviation of its training set); None for our own way.
    """

    dims: int
    spacing_mm: tuple[float, float, float]
    intensity: Intensity
    longest: int | None = None
    canonical: bool = True
    noisy_air: bool = False
    scale: tuple[float, float, float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        values = {**vars(self), "spacing_mm": list(self.spacing_mm)}
        scale = values.pop("scale")
        return values if scale is None else {**values, "scale": list(scale)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preparation:
        """The preparation written by `to_json`."""
        x, y, z = values["spacing_mm"]
        scale = values.get("scale")
        return cls(**{**values, "spacing_mm": (x, y, z), "scale": None if scale is None else tuple(scale)})


@dataclass(frozen=True)
class Prepared:
    """A scan ready for a network.

    Attributes:
        array: float32 (x y z) on `grid`, about -3 to 3.
        grid: the network's grid.
        source: the grid of the scan it came from.
        canonical: whether the axes were turned to RAS.
    """

    array: npt.NDArray[np.float32]
    grid: Grid
    source: Grid
    canonical: bool


@staged("preprocess")
def prepare(volume: Volume, how: Preparation) -> Prepared:
    """The scan on the network's grid, with the network's intensities.

    Raises:
        BadCall: a 3-D network and a 2-D image, no known spacing where one is needed, or a 3-D CT that is not in HU.
    """
    if how.dims == 3 and volume.grid.is_2d:
        raise BadCall(
            "This is a 2-D image (one slice). The model needs a 3-D scan. Open the whole series, or pick a 2-D model."
        )
    if not volume.grid.spacing_known and how.longest is None:
        raise BadCall(
            "The file tells no voxel size. This model needs it in mm. Open a file with spacing, such as DICOM or NIfTI."
        )
    if how.intensity == "ct":
        check_hu(volume, "This model")
    array, grid = reorient_array(volume.array, volume.grid, "RAS") if how.canonical else (volume.array, volume.grid)
    target = working_grid(grid, how)
    calibrated = unit_by_values(volume) == "HU"
    values = normalised(
        np.asarray(array), how.intensity, calibrated=calibrated, noisy_air=how.noisy_air, scale=how.scale
    )
    return Prepared(resample(values, grid, target).astype(np.float32), target, volume.grid, how.canonical)


def working_grid(grid: Grid, how: Preparation) -> Grid:
    """The grid the network works on, over the field of view of a (reoriented) scan's grid."""
    x, y, z = how.spacing_mm
    if how.dims == 3:
        return respaced_grid(grid, (x, y, z))
    if grid.spacing_known:
        return respaced_grid(grid, (x, y, None))
    assert how.longest is not None
    factor = max(grid.shape[:2]) / how.longest
    spacing = grid.spacing_mm
    return respaced_grid(grid, (spacing[0] * factor, spacing[1] * factor, None))


def normalised(
    array: npt.NDArray[Any],
    intensity: Intensity,
    *,
    calibrated: bool,
    noisy_air: bool = False,
    scale: tuple[float, float, float, float] | None = None,
) -> npt.NDArray[np.float32]:
    """Intensities as the networks were taught: about -3 to 3, float32.

    Args:
        calibrated: the values are Hounsfield units; otherwise a CT window is guessed from air
            and soft tissue (8-bit exports keep neither unit nor offset).
        noisy_air, scale: see `Preparation`.
    """
    values = array.astype(np.float32)
    if scale is not None:
        lowest, highest, middle, sd = scale
        given = guessed_hu(values) if intensity == "ct" and not calibrated else values
        return np.asarray((np.clip(given, lowest, highest) - middle) / sd, dtype=np.float32)
    if intensity == "ct":
        hu = values if calibrated else guessed_hu(values)
        low, high = CT_WINDOW_HU
        scaled: npt.NDArray[np.float32] = (np.clip(hu, low, high) - (low + high) / 2) / ((high - low) / 4)
        return scaled
    if intensity == "pet":
        return np.asarray(2 * np.log1p(np.clip(values, 0, SUV_MOST)) - 1, dtype=np.float32)
    sample = values.ravel()[:: max(1, values.size // 200_000)]
    low, high = np.percentile(sample, (0.5, 99.5))
    values = np.clip(values, low, high)
    sample = np.clip(sample, low, high)
    body = sample[sample > (above_air(sample, low, high) if noisy_air else low + BODY_SHARE * (high - low))]
    body = body if body.size > 10 else sample
    centred: npt.NDArray[np.float32] = (values - body.mean()) / max(float(body.std()), 1e-6)
    return centred.astype(np.float32)


def above_air(sample: npt.NDArray[np.float32], low: float, high: float) -> float:
    """The value from which voxels count as body where the air around it may be noisy.

    Air is the commonest value of the darker half; its noise is told by the values below, which no tissue reaches.
    In air without noise this is `low` and a share of the range, as without `noisy_air`.
    """
    counts, edges = np.histogram(sample, bins=256, range=(low, high))
    first = int(np.argmax(counts[:128]))
    air = float(np.median(sample[(sample >= edges[first]) & (sample <= edges[first + 1])]))
    below = air - sample[sample <= air]
    noise = 1.4826 * float(np.median(below))  # of a normal law, from its median distance
    return air + max(BODY_SHARE * (high - low), AIR_NOISES * noise)


def guessed_hu(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """HU of a CT without unit: air is put at -1000 and the middle of the body at 40; a straight line through both."""
    air, bright = np.percentile(values, (2, 95))
    body = values[values > (air + bright) / 2]
    middle = float(np.median(body)) if body.size else air + 1.0
    guessed: npt.NDArray[np.float32] = (values - air) / max(middle - air, 1e-6) * (40.0 - AIR_HU) + AIR_HU
    return guessed.astype(np.float32)


def restore(logit: FloatArray, prepared: Prepared, box: Box | None = None) -> BoolArray:
    """The mask `logit > 0` on the scan's own grid, cut smoothly between voxels.

    Args:
        logit: (x y z) on the network's grid, or its part inside `box`.
        box: which part of the network's grid `logit` covers.
    """
    box = box or Box((0, 0, 0), prepared.grid.shape)
    found = Box.of(logit > 0, margin=2)
    result = np.zeros(prepared.source.shape, dtype=np.bool_)
    if found is None:
        return result
    turned, whole = reorient_array(result, prepared.source, "RAS") if prepared.canonical else (result, prepared.source)
    assert np.shares_memory(turned, result)  # what is written below reaches the result; the rest of it is never touched
    start = tuple(a + b for a, b in zip(box.start, found.start, strict=True))
    small = logit[found.slices]
    shift = np.eye(4)
    shift[:3, 3] = start
    small_grid = Grid(small.shape, prepared.grid.affine @ shift, prepared.grid.spacing_known)
    region = _region_of(small_grid, whole)
    _, region_grid = crop(np.broadcast_to(np.uint8(0), whole.shape), whole, region)
    inside = resample(np.clip(small, -8, 8).astype(np.float32), small_grid, region_grid, fill=-8.0) > 0
    turned[region.slices] = inside
    return result


def _region_of(small: Grid, whole: Grid) -> Box:
    """The voxels of `whole` that the field of view of `small` covers."""
    corners = np.array([[i, j, k, 1] for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
    corners[:, :3] = (corners[:, :3] + 0.5) * np.array(small.shape) - 0.5
    points = (np.linalg.inv(whole.affine) @ small.affine @ corners.T)[:3]
    low = np.clip(np.floor(points.min(axis=1)), 0, np.array(whole.shape) - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=1)) + 1, low + 1, np.array(whole.shape)).astype(int)
    return Box((int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2])))
