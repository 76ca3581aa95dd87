"""What was found on images while this process runs, so that the next sentence does not look again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from ...imaging.masks.relations import Place
from .results import MaskRow

_MOST = 4000  # entries of each kind; a row is a few kilobytes


@dataclass
class Seen:
    """Answers of `segment`, measured places and whether scans bear HU, by what they are about. Thread-safe; the oldest entry goes first.

    Weights do not change while a process runs, so an answer stays true; masks lie in the store.
    """

    _rows: OrderedDict[tuple[str, str], tuple[MaskRow, ...]] = field(default_factory=OrderedDict)
    _places: OrderedDict[str, tuple[Place, float]] = field(default_factory=OrderedDict)
    _hu: OrderedDict[str, bool] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rows(self, image_id: str, name: str) -> tuple[MaskRow, ...] | None:
        """What was found for a name on an image; None when nobody looked."""
        with self._lock:
            return self._rows.get((image_id, name))

    def keep_rows(self, image_id: str, name: str, rows: tuple[MaskRow, ...]) -> None:
        """Remember what was found."""
        with self._lock:
            self._rows[image_id, name] = rows
            _shorten(self._rows)

    def place(self, mask_id: str) -> tuple[Place, float] | None:
        """Where a mask lies and its median grey value; None when nobody measured."""
        with self._lock:
            return self._places.get(mask_id)

    def keep_place(self, mask_id: str, place: Place, grey: float) -> None:
        """Remember a measured mask."""
        with self._lock:
            self._places[mask_id] = (place, grey)
            _shorten(self._places)

    def bears_hu(self, image_id: str) -> bool | None:
        """Whether models that read Hounsfield units take the scan; None when nobody looked."""
        with self._lock:
            return self._hu.get(image_id)

    def keep_bears_hu(self, image_id: str, bears: bool) -> None:
        """Remember what the values of a scan told."""
        with self._lock:
            self._hu[image_id] = bears
            _shorten(self._hu)


def _shorten(entries: OrderedDict[Any, Any]) -> None:
    while len(entries) > _MOST:
        entries.popitem(last=False)
