"""What opening an image left in doubt: kept with its record, so that it also holds for who comes later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ...imaging.errors import BadCall
from ...imaging.formats.table import UNSURE_SIDES
from ...imaging.hounsfield import unit_by_values
from ...imaging.volume import Volume
from ...store.records import ImageRecord
from .desk import Answer, Desk
from .results import ImageAnswer

_HANDLE = re.compile(r"(img|msk|ref)_[0-9a-f]{12}|job_[0-9a-f]{16}")


def grey_unit(record: ImageRecord, image: Volume) -> str:
    """The unit of an image's grey values, such as "HU" or "SUV"; "" when nobody knows it.

    A CT counts as HU only where the file says so, or its values can be nothing else.
    """
    told = record.facts.get("unit")
    return unit_by_values(image) if told is None else str(told)


def knows_directions(record: ImageRecord) -> bool:
    """Whether the file told how the patient lies, so that lengths along the body may bear its directions' names."""
    return not any(UNSURE_SIDES in warning for warning in record.facts.get("warnings") or ())


def with_doubts(desk: Desk, arguments: Mapping[str, Any], answer: Answer) -> Answer:
    """The answer with the warnings of every image it rests on, in its words and in its data."""
    if not isinstance(answer.result, ImageAnswer):
        return answer
    images = list(dict.fromkeys(_images(desk, arguments)))
    doubts = [
        f"{image_id}: {warning}" if len(images) > 1 else warning
        for image_id in images
        for warning in desk.store.image(image_id).facts.get("warnings") or ()
    ]
    if not doubts:
        return answer
    result = answer.result.model_copy(update={"image_warnings": doubts})
    return replace(answer, text=f"{answer.text} Of the image: {' '.join(doubts)}", result=result)


def _images(desk: Desk, value: Any) -> Iterator[str]:
    """Images that the arguments of a call name, by themselves, by a mask or by a job."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _images(desk, one)
    elif isinstance(value, str) and _HANDLE.fullmatch(value):
        with suppress(BadCall):  # forgotten since
            if value.startswith("img_"):
                yield desk.store.image(value).image_id
            elif value.startswith("msk_"):
                yield desk.store.mask_record(value).image_id
            elif value.startswith("ref_"):
                yield desk.store.refinements.lines(value)[0].image_id
            else:
                yield from _images(desk, desk.store.job(value).arguments)
