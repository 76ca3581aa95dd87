"""The same scan seen a little differently: what a mask owes to chance. Torch-free.

Every view keeps the voxel grid; a view that moves the scan moves its masks back. A sound mask hardly changes.

Source: test-time augmentation after Wang et al. 2019, Neurocomputing 338 (arXiv 1807.07356); the views are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from ...imaging.consensus.votes import entropy
from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray, Volume

SHIFT = 3  # voxels
NOISE = 0.03  # of the grey values' range between the 1st and 99th percentile
HU, GAIN = 20.0, 1.08  # brighter, and of more contrast
BLUR = 0.6  # voxels
Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """A change of a scan, and the way back for its masks."""

    name: str
    change: Callable[[Float], Float]
    back: Callable[[BoolArray], BoolArray]


def _moved(axis: int, steps: int) -> View:
    def move(array: npt.NDArray[np.generic], by: int) -> npt.NDArray[np.generic]:
        places = np.clip(np.arange(array.shape[axis]) - by, 0, array.shape[axis] - 1)
        return np.take(array, places, axis=axis)

    return View(
        f"moved {steps} voxels along axis {axis}",
        lambda a: np.asarray(move(a, steps), dtype=np.float32),
        lambda m: np.asarray(move(m, -steps), dtype=np.bool_),
    )


def _greys(name: str, change: Callable[[Float], Float]) -> View:
    return View(name, change, lambda mask: mask)


def _noise(array: Float) -> Float:
    low, high = np.percentile(array, (1, 99))
    grain = np.random.default_rng(0).standard_normal(array.shape, dtype=np.float32)
    return array + NOISE * np.float32(high - low) * grain


VIEWS: tuple[View, ...] = (
    _greys("as it is", lambda a: a),
    _moved(0, SHIFT),
    _moved(1, -SHIFT),
    _greys("noisier", _noise),
    _greys("brighter", lambda a: a * np.float32(GAIN) + np.float32(HU if float(a.min()) < -500 else 0)),
    _greys("smoother", lambda a: np.asarray(scipy.ndimage.gaussian_filter(a, BLUR), dtype=np.float32)),
)


def seen_as(view: View, volume: Volume) -> Volume:
    """The scan under a view."""
    return replace(volume, array=view.change(np.asarray(volume.array, dtype=np.float32)))


@dataclass(frozen=True)
class Agreement:
    """What several masks of one structure say together.

    Attributes:
        dice: mean Dice over pairs of masks; 1 when all are empty.
        share: (x y z) of the masks that hold a voxel.
        voxels: of each mask.
    """

    dice: float
    share: Float
    voxels: tuple[int, ...]

    @property
    def entropy(self) -> Float:
        """(x y z) in nats, 0 to ln 2: -s ln s - (1-s) ln(1-s) of the share s."""
        return entropy(self.share)


def agreement(masks: Sequence[BoolArray]) -> Agreement:
    """How far masks of one structure agree; at least two."""
    if len(masks) < 2:
        raise ValueError(f"{len(masks)} masks cannot agree; at least two are needed")
    sizes = [int(np.count_nonzero(mask)) for mask in masks]
    pairs = [dice(one, other) for n, one in enumerate(masks) for other in masks[:n]]
    share = np.asarray(np.mean(masks, axis=0, dtype=np.float32))
    return Agreement(float(np.mean(pairs)), share, tuple(sizes))
