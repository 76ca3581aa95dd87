"""Whether an image looks like a label map that was opened as an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LOOKS_LIKE_LABELS = (
    "It looks like a label map, not a scan: {count} whole {values}, in blocks. If it is one, call import_mask on the scan "
    "it belongs to."
)
# Our choice: the longest lists of structures stay below 300, and 8-bit scans repeat their neighbour's value in far less
# than half of the places where anything is.
_MOST_VALUES, _LEAST_ALIKE = 300, 0.5


def label_warning(array: npt.NDArray[Any]) -> str:
    """A warning when few whole values from 0 on lie in blocks; "" otherwise."""
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array[0, 0, 0] < 0 or float(array.min()) != 0:
        return ""
    high = float(array.max())
    sample = array[:: max(1, array.shape[0] // 64)]
    if high == 0 or high > 2**31 or (array.dtype.kind == "f" and not np.array_equal(sample, np.rint(sample))):
        return ""
    values = np.unique(sample)
    if len(values) > _MOST_VALUES or _share_alike(array) < _LEAST_ALIKE:
        return ""
    count = max(1, int((values > 0).sum()))
    return LOOKS_LIKE_LABELS.format(count=count, values="values" if count > 1 else "value")


def _share_alike(array: npt.NDArray[Any]) -> float:
    """Of neighbours in a plane of which one is not 0, how many have the same value."""
    alike = pairs = 0
    for x in range(0, array.shape[0], max(1, array.shape[0] // 64)):
        plane = array[x]
        for one, other in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            some = (one != 0) | (other != 0)
            pairs += int(np.count_nonzero(some))
            alike += int(np.count_nonzero((one == other) & some))
    return alike / pairs if pairs else 0.0
