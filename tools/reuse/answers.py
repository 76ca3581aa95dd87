"""Answers of an earlier call, of this or another process, where nothing they depend on has changed.

An answer is kept under everything that made it: the image's content, the weights by their hash, what was asked, and the
program itself. Whatever is not known to be the same is looked at again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ...imaging.errors import BadCall, Failed
from ...observing.counts import HERE
from ...store.store import result_key
from ..desk.desk import Desk
from ..desk.results import MaskRow, SegmentResult
from .program import program_key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class About:
    """What an answer depends on beside the image and the program.

    Attributes:
        asked: the question, JSON.
        weights: model -> sha256, of every model that may have had a say.
    """

    asked: Sequence[Any]
    weights: Mapping[str, str]


def kept_or_made(desk: Desk, image_id: str, about: About | None, make: Callable[[], SegmentResult]) -> SegmentResult:
    """What the store has for this image and question, or what `make` answers, which is then kept.

    Args:
        about: None for an answer that must not be reused, such as one of an engine whose parts have no known hash.
    """
    if about is None or not desk.settings.reuse:
        return make()
    key = _key(desk, image_id, about)
    kept = _kept(desk, key)
    HERE.add("ostensor_cache_lookups_total", cache="answers", outcome="miss" if kept is None else "hit")
    if kept is not None:
        return kept
    made = make()
    if all(_is_of(row, about) for row in made.masks):
        desk.store.keep_result(key, made.model_dump(mode="json"))
    return made


def _is_of(row: MaskRow, about: About) -> bool:
    """Whether the worker looked with the weights that were meant: they may be exchanged while a server runs."""
    by = row.provenance
    return by.model is None or about.weights.get(by.model) == by.weights_sha256


def _key(desk: Desk, image_id: str, about: About) -> str:
    """64 hex digits that begin with the image's own, so that its answers are forgotten with it."""
    image = desk.store.image(image_id)
    seen = [image_id, image.content_hash, image.modality, image.synthetic]
    how = [desk.settings.purpose, desk.settings.device, desk.settings.factory, program_key()]
    if desk.settings.workers != "local":  # other processors, whose sums may differ in the last bit
        how.append(desk.settings.workers)
    asked = [about.asked, sorted(about.weights.items())]
    return result_key(image_id, json.dumps([seen, how, asked], sort_keys=True))


def _kept(desk: Desk, key: str) -> SegmentResult | None:
    """The answer under a key, while every mask it names can be read from the store."""
    values = desk.store.kept_result(key)
    if values is None:
        return None
    try:
        kept = SegmentResult.model_validate(values)
    except ValidationError:
        log.warning("an answer in the store cannot be read; the image is looked at again")
        return None
    handles = {row.mask_id for row in kept.masks if row.mask_id is not None}
    return kept if all(_is_there(desk, handle) for handle in handles) else None


def _is_there(desk: Desk, mask_id: str) -> bool:
    """Whether a mask can be read: a lost or damaged one is made again, as by any other call of `segment`."""
    try:
        desk.store.region(mask_id)
    except (BadCall, Failed):
        return False
    return True
