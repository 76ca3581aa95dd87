"""How much a caller may keep, counted on the disk: scans, masks, exports and uploads under way alike."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..imaging.errors import BadCall
from ..observing.counts import HERE

_FRESH_S = 5.0  # a count is believed so long; what is added meanwhile is added to it
_MB = 1_000_000


def bytes_kept(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  # a hundred times as many as Path allows
            except OSError:  # removed meanwhile
                continue
    return total


class NoRoom(BadCall):
    """A caller keeps as much as it may; deleting something helps."""


class Quota:
    """The room of one caller.

    Args:
        folder: everything below it counts, whoever wrote it: other processes and uploads under way, too.
        most: bytes.
        also: bytes kept elsewhere that count, such as arrays that servers share.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        most: int,
        *,
        also: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.most, self._also = folder, most, also
        self._clock = clock
        self._lock = threading.Lock()
        self._kept, self._counted_at = 0, -_FRESH_S
        self._promised = 0

    def left(self, *, anew: bool = False) -> int:
        """Bytes that may still be kept; negative when there are more than may be.

        Args:
            anew: count now, however fresh the last count is.
        """
        with self._lock:
            return self._left(anew)

    def promise(self, needed: int) -> None:
        """Set room aside for something that is about to be written; `keep` ends the promise.

        Raises:
            NoRoom: there is none for it.
        """
        with self._lock:
            if not 0 < self._left(False) >= needed:
                left = self._left(True)  # something may have been deleted meanwhile
                if not 0 < left >= needed:
                    raise self._refusal(left, needed)
            self._promised += needed

    def _refusal(self, left: int, needed: int) -> NoRoom:
        HERE.add("ostensor_refusals_total", reason="quota")
        return NoRoom(
            f"There is no room: {(self.most - left) // _MB} MB of the {self.most // _MB} MB you may keep are taken, and "
            f"{-(-needed // _MB)} MB are needed. Delete files or images, then call it again."
        )

    def keep(self, promised: int, written: int = 0) -> None:
        """Something promised is done, and took so much."""
        with self._lock:
            self._promised -= promised
            self._kept += written

    def _left(self, anew: bool) -> int:
        now = self._clock()
        if anew or now - self._counted_at >= _FRESH_S:
            self._kept, self._counted_at = bytes_kept(self.folder) + self._also(), now
        return self.most - self._kept - self._promised
