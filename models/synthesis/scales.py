"""Grey values as the synthesis networks see them, in [-1, 1], and back. Torch-free."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Made = Literal["ct", "mr"]
Background = Literal["auto", "air", "body", "tissue"]
Float = npt.NDArray[np.float32]

# Three quarters of the range go to soft tissue, where CT contrast is small; our choice.
_HU = np.array([-1000.0, -200.0, 300.0, 1500.0])
_UNIT = np.array([-1.0, -0.8, 0.7, 1.0])
MR_MOST = 1000.0  # MR has no unit; synthetic MR runs from 0 to this


def hu_to_unit(hu: npt.NDArray[Any]) -> Float:
    """Hounsfield units as [-1, 1]; clipped at -1000 and 1500 HU."""
    answer: Float = np.interp(hu, _HU, _UNIT).astype(np.float32)
    return answer


def unit_to_hu(unit: npt.NDArray[Any]) -> Float:
    """The inverse of `hu_to_unit`."""
    answer: Float = np.interp(unit, _UNIT, _HU).astype(np.float32)
    return answer


def mr_to_unit(values: npt.NDArray[Any]) -> Float:
    """MR values as [-1, 1]: percentiles 0.5 and 99.5 of the image become the ends.

    Source: seg2med (arXiv 2504.09182), MR normalisation.
    """
    low, high = np.percentile(values, (0.5, 99.5))
    unit = (values.astype(np.float32) - low) / max(float(high - low), 1e-6)
    answer: Float = (2 * np.clip(unit, 0, 1) - 1).astype(np.float32)
    return answer


def to_unit(values: npt.NDArray[Any], modality: Made) -> Float:
    """Values of an image of this modality as [-1, 1]."""
    return hu_to_unit(values) if modality == "ct" else mr_to_unit(values)


def from_unit(unit: npt.NDArray[Any], modality: Made) -> npt.NDArray[np.int16]:
    """[-1, 1] as whole Hounsfield units, or as MR brightness from 0 to 1000."""
    values = unit_to_hu(unit) if modality == "ct" else (np.clip(unit, -1, 1) + 1) / 2 * MR_MOST
    return np.rint(values).astype(np.int16)
