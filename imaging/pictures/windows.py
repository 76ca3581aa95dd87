"""Which grey values a picture shows: windows by name, by numbers, or chosen for the scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import BadCall
from ..hounsfield import unit_by_values
from ..volume import Volume

# Window centre and width in HU. Source: usual presets of CT workstations.
WINDOWS_HU: dict[str, tuple[float, float]] = {
    "soft_tissue": (40, 400),
    "lung": (-600, 1500),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (80, 150),
}
_BYTE = (127.5, 255.0)


def window_of(volume: Volume, window: str | Sequence[float]) -> tuple[float, float]:
    """Centre and width in the image's unit.

    "auto" is soft tissue for a CT in HU, everything for bytes, which somebody has windowed before, and else the middle 98 %.

    Raises:
        BadCall: an unknown preset, a preset on an image without Hounsfield units, or no centre and width.
    """
    if not isinstance(window, str):
        if len(window) != 2 or not np.isfinite(window).all() or not window[1] > 0:
            raise BadCall(f"The window {list(window)} is impossible. Give [centre, width], with a width above 0.")
        return float(window[0]), float(window[1])
    if window == "auto":
        if unit_by_values(volume) == "HU":
            return WINDOWS_HU["soft_tissue"]
        if volume.array.dtype == np.uint8:
            return _BYTE
        low, high = (float(v) for v in np.percentile(volume.array, (1, 99)))
        return (low + high) / 2, max(high - low, 1e-6)
    if window not in WINDOWS_HU:
        raise BadCall(f"Unknown window '{window}'. Allowed: auto, {', '.join(WINDOWS_HU)}, or [centre, width].")
    if unit_by_values(volume) != "HU":
        what = "a CT that is not in HU" if volume.modality == "ct" else f"a {volume.modality} image"
        raise BadCall(f"The window '{window}' is in Hounsfield units, but this is {what}. Use auto or [centre, width].")
    return WINDOWS_HU[window]
