"""Networks with a fixed list of classes: every voxel gets one, and a word only picks which to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ...imaging.errors import BadCall
from ...imaging.geometry import resample
from ...imaging.volume import Grid
from ..interface import Decoded, Features

Classes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Labelled:
    """Class and its probability per voxel of the scan's own grid."""

    classes: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float16]

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.classes.nbytes + self.probability.nbytes


def winner(logits: torch.Tensor) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The most likely class of logits (classes x y z) and its softmax."""
    best, found = logits.max(0)
    return found.to(torch.uint8).numpy(), (best - logits.logsumexp(0)).exp().numpy()


def on_scan(classes: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32], grid: Grid, scan: Grid) -> Labelled:
    """Both, brought from the network's grid to the scan's."""
    return Labelled(
        resample(classes, grid, scan, order=0), resample(probability, grid, scan, order=0).astype(np.float16)
    )


def decode(model: str, features: Features, structures: Sequence[str], known: Classes) -> list[Decoded]:
    """One mask per structure.

    Raises:
        BadCall: a structure the network has no class for.
    """
    if not isinstance(features, Labelled):
        raise TypeError(f"features of another model: {type(features).__name__}")
    missing = [name for name in structures if name not in known]
    if missing:
        raise BadCall(f"{model} does not know '{missing[0]}'. It knows: {', '.join(known)}.")
    return [_one(features, name, known[name]) for name in structures]


def _one(features: Labelled, name: str, values: tuple[int, ...]) -> Decoded:
    mask = np.isin(features.classes, values)
    inside = features.probability[mask]
    confidence = float(inside.mean(dtype=np.float64)) if inside.size else 0.0
    return Decoded(name, mask, confidence, float(inside.max()) if inside.size else 0.0)
