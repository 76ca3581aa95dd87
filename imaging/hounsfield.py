"""Whether the values of a CT can be Hounsfield units at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BadCall
from .volume import Volume

# Source: our choice. Fat is near -100 HU, so any scan of a body in HU goes below -50; no window in use is
# narrower than 200 HU and reaches both fat and organs; values above 32767 do not fit into a CT's 16 bits.
FAT_HU, LEAST_RANGE_HU, MOST_HU = -50.0, 200.0, 32767.0
_SAMPLE = 1_000_000  # voxels looked at; fat and air fill far more than a millionth of a scan


def may_be_hu(array: npt.NDArray[Any]) -> bool:
    """False for values that are no Hounsfield units of a body: scaled to 0..1 or 0..255, or stored without offset."""
    sample = np.asarray(array).ravel(order="K")[:: max(1, array.size // _SAMPLE) | 1]  # as a large scan is mapped
    low, high = float(sample.min()), float(sample.max())
    return low < FAT_HU and high - low >= LEAST_RANGE_HU and high <= MOST_HU


def unit_by_values(volume: Volume) -> str:
    """ "HU" for a CT whose values may be HU, where no header says the unit; else ""."""
    return "HU" if volume.modality == "ct" and (volume.synthetic or may_be_hu(volume.array)) else ""


def bears_hu(volume: Volume) -> bool:
    """Whether a model that reads Hounsfield units may look at a scan.

    A single slice passes: pictures keep no unit, and models for slices were taught to guess it. So does a blank scan:
    there is nothing to see in any unit, and opening it said so.
    """
    if volume.modality not in ("ct", "unknown") or volume.synthetic or volume.grid.is_2d or may_be_hu(volume.array):
        return True
    return bool(volume.array.min() == volume.array.max())


def check_hu(volume: Volume, model: str) -> None:
    """Refuse a CT scan whose values are no Hounsfield units, for a model that reads them as such; see `bears_hu`.

    Raises:
        BadCall: a 3-D CT, or a scan of unknown modality, scaled or without its offset.
    """
    if bears_hu(volume):
        return
    low, high = float(volume.array.min()), float(volume.array.max())
    raise BadCall(
        f"The scan's values run from {low:g} to {high:g}, which are no Hounsfield units (HU: air -1000, water 0). "
        f"{model} needs HU. Open the CT as the scanner wrote it, before it was scaled or clipped"
        + (", or say what the scan is: modality='mr'." if volume.modality == "unknown" else ".")
    )
