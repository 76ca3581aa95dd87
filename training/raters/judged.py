"""Four raters who disagree, made from an expert's label: for teaching networks that must tell how far people differ.

No data at hand has several people's masks of one scan. These four differ as people do: one follows the expert, one
draws tightly, one generously, one leaves a part out; each with a wavering hand of their own. They are made up, and every
figure from them says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from ...models.inference.preprocess import Preparation
from ..cases import Case
from ..sampling import Ready, make_ready

RATERS = ("as the expert", "tight", "generous", "without the head")
OFFSETS = (0.0, -1.0, 1.2, 0.0)  # voxels by which a rater's outline lies outside the expert's
HAND = 0.6  # voxels, standard deviation of the wavering
GRAIN = 2.5  # voxels over which it is alike
HOW = Preparation(dims=2, spacing_mm=(1.0, 1.0, 1.0), intensity="mr")


def sets_of_raters(
    labels: npt.NDArray[np.integer], inside: Sequence[int], head: Sequence[int], name: str
) -> npt.NDArray[np.uint8]:
    """(x y z) whose bit r says that rater r marked the voxel.

    Args:
        inside: label values of the structure.
        head: label values that the last rater leaves out.
        name: of the case; the hands waver by it alone.
    """
    truth = np.isin(labels, inside)
    depth = _depth(truth)
    rest = _depth(truth & ~np.isin(labels, head))
    found = np.zeros(labels.shape, dtype=np.uint8)
    for rater, offset in enumerate(OFFSETS):
        rng = np.random.default_rng([zlib.crc32(name.encode()), rater])
        hand = ndimage.gaussian_filter(rng.standard_normal(labels.shape), GRAIN)
        own = rest if RATERS[rater] == "without the head" else depth
        found |= np.asarray(own + offset + HAND * hand / hand.std() > 0).astype(np.uint8) << rater
    return found


def _depth(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Signed distance in voxels to the outline, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -np.inf)
    return np.asarray(
        ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask) + np.where(mask, -0.5, 0.5)
    )


@dataclass(frozen=True)
class Judged:
    """A slice with all raters' masks in its labels (bits)."""

    patient: str
    ready: Ready


def judged_slices(cases: Sequence[Case], inside: Sequence[int], head: Sequence[int]) -> Iterator[Judged]:
    """Slices along z that at least one rater marked; slices that some left empty are among them."""
    for case in cases:
        sets = sets_of_raters(case.labels, inside, head, case.name)
        for ready in make_ready(Case(case.patient, case.name, case.volume, sets, case.grid), HOW, as_slices=True):
            if torch.any(ready.labels > 0):
                yield Judged(case.patient, ready)
