"""The engine without a network: intensity priors, tissue grain, point spread and scanner noise. Torch-free.

The order is a scanner's: tissue first, then the blur of the system, then noise that is not blurred away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from .priors import Prior, of_tissue, paint_values
from .scales import MR_MOST, Background, Float, Made

# Source: seg2med's prior (arXiv 2504.09182) softens edges by a Gaussian of 0.7 voxels.
POINT_SPREAD_VOXELS = 0.7
GRAIN_VOXELS = 0.8  # tissue grain is a little coarser than a voxel; our choice
NOISE = {"ct": 12.0, "mr": 15.0}  # HU as in a usual abdominal CT; MR about 2 % of fat; our choice
BODY_MM, BODY_VOXELS = 20.0, 8  # how far the body reaches beyond the hull of its masks; our choice
CROP_MM = 120.0  # a field of view below this lies wholly inside the body; our choice


@dataclass(frozen=True)
class Variation:
    """How far a picture strays from the priors; all zero paints the table's values.

    Attributes:
        value: spread of each structure's value as a share of its distance from air or black.
        noise: factor on the noise.
    """

    value: float = 0.0
    noise: float = 1.0


def classical(
    labels: npt.NDArray[np.integer],
    priors: Mapping[int, Prior],
    modality: Made,
    rng: np.random.Generator,
    *,
    outside: Prior | None = None,
    variation: Variation | None = None,
) -> Float:
    """HU or MR brightness (x y z) of a label map; the same generator state gives the same picture.

    Args:
        outside: of voxels without a label; None is air.
    """
    varied = variation or Variation()
    known = dict(priors)
    known[0] = outside or of_tissue("air", modality)
    floor = -1000.0 if modality == "ct" else 0.0
    if varied.value:
        known = {
            label: replace(one, value=one.value + varied.value * (one.value - floor) * rng.normal())
            for label, one in sorted(known.items())
        }
    values = paint_values(labels, {label: one.value for label, one in known.items()}, outside=known[0].value)
    spread = paint_values(labels, {label: one.texture for label, one in known.items()}, outside=known[0].texture)
    sigma = [blur if side > 1 else 0.0 for blur, side in zip([GRAIN_VOXELS] * 3, labels.shape, strict=True)]
    grain = scipy.ndimage.gaussian_filter(rng.standard_normal(labels.shape).astype(np.float32), sigma)
    picture = values + spread * grain / max(float(grain.std()), 1e-6)
    blur = [POINT_SPREAD_VOXELS if side > 1 else 0.0 for side in labels.shape]
    picture = scipy.ndimage.gaussian_filter(picture, blur)
    picture += NOISE[modality] * varied.noise * rng.standard_normal(labels.shape).astype(np.float32)
    answer: Float = np.clip(picture, floor, 3000.0 if modality == "ct" else MR_MOST).astype(np.float32)
    return answer


def with_body(
    labels: npt.NDArray[np.integer], spacing_mm: tuple[float, float, float] | None, value: int
) -> npt.NDArray[np.integer]:
    """The map with `value` in every unlabelled voxel of a body around the masks.

    The body of a slice is the convex hull of its masks, widened by 20 mm (8 voxels without a known spacing).
    """
    from skimage.morphology import convex_hull_image

    body = np.zeros(labels.shape, np.bool_)
    for z in np.flatnonzero((labels > 0).any(axis=(0, 1))):
        body[:, :, z] = convex_hull_image(labels[:, :, z] > 0)
    in_plane = np.array(spacing_mm[:2]) if spacing_mm else np.array([BODY_MM / BODY_VOXELS] * 2)
    for z in np.flatnonzero(body.any(axis=(0, 1))):
        away = scipy.ndimage.distance_transform_edt(~body[:, :, z], sampling=in_plane)
        body[:, :, z] = away <= BODY_MM
    return np.where((labels == 0) & body, value, labels)


def background_of(
    wanted: Background, shape: tuple[int, ...], spacing_mm: tuple[float, float, float] | None
) -> Background:
    """What "auto" means here: tissue everywhere in a small crop, else a body around the masks."""
    if wanted != "auto":
        return wanted
    if spacing_mm is None:
        return "body"
    return "tissue" if max(n * mm for n, mm in zip(shape[:2], spacing_mm[:2], strict=True)) < CROP_MM else "body"
