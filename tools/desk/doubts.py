"""What opening an image left in doubt: kept with its record, so that it also holds for who comes later."""

from __future__ import annotations

from ...imaging.hounsfield import unit_by_values
from ...imaging.volume import Volume
from ...store.records import ImageRecord


def grey_unit(record: ImageRecord, image: Volume) -> str:
    """The unit of an image's grey values, such as "HU" or "SUV"; "" when nobody knows it.

    A CT counts as HU only where the file says so, or its values can be nothing else.
    """
    told = record.facts.get("unit")
    return unit_by_values(image) if told is None else str(told)
