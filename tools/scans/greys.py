"""Masks by grey value, as `edit_mask` makes them: inside a mask, or inside a box of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...imaging.derived.isocontour import iso_contour, threshold, within_box
from ...imaging.errors import BadCall
from ...imaging.volume import Mask, Volume

BY_GREY = ("threshold", "iso_contour")


@dataclass(frozen=True)
class Cut:
    """Between which grey values a mask lies; `unit` is the image's, "" when nobody knows it."""

    at_least: float | None
    at_most: float | None
    percent_of_max: float | None
    unit: str


def by_grey(
    operation: str, image: Volume, masks: Sequence[Mask], box_index: Sequence[Sequence[int]] | None, cut: Cut
) -> Mask:
    """The part of a mask, or of a box, that a threshold or an iso-contour keeps.

    Raises:
        BadCall: not one place to look into, a value that is missing or of the other operation, or nothing is left.
    """
    if len(masks) + (box_index is not None) != 1:
        raise BadCall(
            f"'{operation}' looks into one mask, or into the box of an image: pass one of mask_ids and box_index. "
            "box_index=[[0, 0, 0], shape] is the whole image."
        )
    where = masks[0] if box_index is None else within_box(image, *_corners(box_index))
    if operation == "threshold":
        if cut.percent_of_max is not None:
            raise BadCall("'threshold' takes at_least and at_most. For a share of the maximum use iso_contour.")
        return threshold(image, where, cut.at_least, cut.at_most)
    if cut.percent_of_max is None or cut.at_least is not None or cut.at_most is not None:
        raise BadCall("'iso_contour' takes percent_of_max, e.g. 41 for 41 % of the greatest SUV, and no other value.")
    return iso_contour(image, where, cut.percent_of_max, unit=cut.unit)


def _corners(box: Sequence[Sequence[int]]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    if [len(corner) for corner in box] != [3, 3]:
        raise BadCall("box_index is not two corners of three indices. Write e.g. [[10, 20, 5], [40, 60, 25]].")
    (a, b, c), (d, e, f) = box
    return (a, b, c), (d, e, f)
