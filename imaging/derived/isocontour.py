"""Masks by grey value: what lies between two values, or around a maximum, inside a mask or a box."""

from __future__ import annotations

import cc3d
import numpy as np

from ..errors import BadCall
from ..geometry import Box
from ..region import slices
from ..volume import Mask, Volume


def within_box(image: Volume, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Mask:
    """The voxels of a box, first index included, last one not.

    Raises:
        BadCall: the box is empty or leaves the scan.
    """
    shape = image.grid.shape
    if not all(0 <= a < b <= n for a, b, n in zip(start, stop, shape, strict=True)):
        raise BadCall(
            f"The box {list(start)} to {list(stop)} is empty or leaves the scan. Indices run from 0 to {list(shape)}, the end left out."
        )
    array = np.zeros(shape, dtype=np.bool_)
    array[slices(Box(start, stop))] = True
    return Mask(array, image.grid)


def threshold(image: Volume, where: Mask, at_least: float | None, at_most: float | None) -> Mask:
    """The mask's voxels between two grey values, ends included; None leaves an end open.

    Raises:
        BadCall: no value is given, they are in the wrong order, or no voxel is left.
    """
    if at_least is None and at_most is None:
        raise BadCall("No threshold is given. Pass at_least, at_most or both, in the image's unit.")
    low, high = -np.inf if at_least is None else at_least, np.inf if at_most is None else at_most
    kept = where.array & (image.array >= low) & (image.array <= high)
    if not kept.any():
        values = image.array[where.array]
        told = (
            f"Its values run from {float(values.min()):g} to {float(values.max()):g}."
            if values.size
            else "It is empty."
        )
        raise BadCall(f"No voxel of the mask lies between {low:g} and {high:g}. {told}")
    return Mask(kept, where.grid)


def iso_contour(image: Volume, where: Mask, percent_of_max: float, *, unit: str) -> Mask:
    """The connected piece (26 neighbours) around the brightest voxel that reaches a share of its value, inside a mask.

    Source: Boellaard et al. 2015, Eur J Nucl Med Mol Imaging 42:328 (EANM 2.0): 41 % and 50 % of the maximum.

    Args:
        unit: of the grey values; a share of HU means nothing, as their zero is water.

    Raises:
        BadCall: HU, a share outside 0 to 100, an empty mask, or a maximum that is not above 0.
    """
    if unit == "HU":
        raise BadCall(
            "A share of a maximum in HU means nothing: their zero is water. Use threshold with at_least in HU."
        )
    if not 0 < percent_of_max < 100:
        raise BadCall(
            f"{percent_of_max:g} % of the maximum is impossible. Give a share above 0 and below 100, e.g. 41."
        )
    if not where.array.any():
        raise BadCall("The mask is empty, so it has no maximum. Give another one.")
    values = np.where(where.array, image.array, -np.inf)
    brightest = np.unravel_index(int(values.argmax()), values.shape)
    if not values[brightest] > 0:
        raise BadCall(f"The maximum is {float(values[brightest]):g}; a share of it is only taken above 0.")
    labels = cc3d.connected_components(np.ascontiguousarray(values >= percent_of_max / 100 * float(values[brightest])))
    return Mask(np.asarray(labels == labels[brightest]), where.grid)
