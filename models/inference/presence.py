"""From a network's logits to the chance that a structure is in the scan at all, mask or none. Torch-free.

An empty mask proves little by itself: every network overlooks some structures. How often it overlooks this one, when its logits
rise no higher than here, is known from held-out patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...imaging.geometry import Box

TRACES = (
    "highest logit",
    "highest logit smoothed over two voxels",
    "log10 of expected voxels (per slice in 2-D networks)",
)
Traces = tuple[float, ...]
FAINT = -6.0  # logits below add nothing to the expected voxels
_SMOOTH = 2.0  # standard deviation in voxels
NEAR = 4.0  # the highest smoothed logit lies where logits are this near to the highest
MARGIN = 6  # voxels around those, over which smoothing reaches


def traces_of(logit: npt.NDArray[np.float32], *, by_slice: bool = False) -> Traces:
    """What logits (x y z; cutoff taken off) tell about whether the structure is there; in the order of `TRACES`.

    Args:
        by_slice: the network looks at slices one by one: smooth within them, and count the fullest one.
    """
    top = float(logit.max())
    near = Box.of(logit > top - NEAR, margin=MARGIN)
    assert near is not None  # the highest logit lies in it
    seen = logit[near.slices]
    smooth = ndimage.gaussian_filter(seen, (_SMOOTH, _SMOOTH, 0.0 if by_slice else _SMOOTH))
    over = logit > FAINT
    chances = 1 / (1 + np.exp(-np.clip(logit[over], -30, 30)))
    expected = np.bincount(np.nonzero(over)[2], chances).max(initial=0) if by_slice else chances.sum(dtype=np.float64)
    return top, float(smooth.max()), float(np.log10(1e-3 + expected))


@dataclass(frozen=True)
class Law:
    """A fitted logistic regression.

    Attributes:
        centre, scale, weights, bias: signs are centred and scaled first.
        offsets: structure -> what is added to the bias.
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    offsets: Mapping[str, float]

    def value(self, structure: str, signs: Sequence[float]) -> float:
        """What it foretells of a structure with these signs, 0 to 1."""
        x = (np.array(signs) - self.centre) / self.scale
        z = float(x @ np.array(self.weights)) + self.bias + self.offsets.get(structure, 0.0)
        return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values read from JSON, which has lists only, as frozen classes hold them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


@dataclass(frozen=True)
class Presence(Law):
    """The law of "it is there" on traces, and its limits.

    Attributes:
        absent_below: chance below which a structure counts as absent.
        present_from: chance from which its mask may count as present.
    """

    absent_below: float = 0.0
    present_from: float = 0.0

    def chance(self, structure: str, traces: Traces) -> float:
        """Chance, 0 to 1, that the structure is in the scan."""
        return self.value(structure, traces)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        return {**vars(self), "offsets": dict(self.offsets)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Presence:
        """The regression written by `to_json`."""
        return cls(**with_tuples(values))
