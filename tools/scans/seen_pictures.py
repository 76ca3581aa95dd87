"""Pictures that were shown, so that somebody may point at their pixels: where slices lie in them, not the pictures themselves."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict

from ...imaging.errors import BadCall
from ...imaging.pictures.spots import Spot
from ...store.heartbeat import STORAGE_ERRORS
from ...store.store import result_key
from ..desk.desk import Desk

log = logging.getLogger(__name__)


def keep_picture(desk: Desk, image_id: str, spots: Sequence[Spot]) -> str | None:
    """The handle of a picture of an image; None for one whose pixels are no places, or when nothing can be kept."""
    if not spots:
        return None
    layout = [asdict(one) for one in spots]
    picture_id = f"pic_{hashlib.sha256(json.dumps([image_id, layout]).encode()).hexdigest()[:12]}"
    key = result_key(image_id, picture_id)
    try:
        if desk.store.kept_result(key) is None:
            desk.store.keep_result(key, {"spots": layout})
    except STORAGE_ERRORS as error:
        log.warning("a picture's layout could not be kept: %s", type(error).__name__)
        return None
    return picture_id


def spots_of(desk: Desk, image_id: str, picture_id: str) -> tuple[Spot, ...]:
    """The slices in a picture of an image.

    Raises:
        BadCall: no such picture was made of it.
    """
    kept = desk.store.kept_result(result_key(image_id, picture_id))
    if kept is None:
        raise BadCall(
            f"No picture '{picture_id[:40]}' of {image_id} is known. Pictures of other images cannot be used; call render."
        )
    return tuple(Spot(**{**one, "across": tuple(one["across"]), "down": tuple(one["down"])}) for one in kept["spots"])
