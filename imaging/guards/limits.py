"""How much a file may unpack to, and how much memory all openings of a process may take together.

A few bytes of header or archive must not fill the memory. Limits are on what decoding allocates: it is estimated before
the work, reserved while it lasts, and refused when it is out of all proportion to the file.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from ..errors import BadCall, Unavailable

MOST_BYTES = 4 * 1024**3  # of one image, unpacked; a CT of 512 x 512 x 2000 voxels has 1 GiB
MOST_RATIO = 100  # unpacked to packed; scans reach 2 to 10, masks more but are small
FREE_BYTES = 256 * 1024**2  # below this, any ratio will do
MOST_WORK = 8 * 1024**3  # of all openings of a process at one time
_SHARE = 0.6  # of the machine's memory that openings may take
_WAIT_S = 30.0  # for other openings to end
_GIB = 1024**3


def check_size(name: str, shape: Sequence[int], voxel_bytes: int) -> int:
    """Bytes of an image of this shape.

    Raises:
        BadCall: more than `MOST_BYTES`.
    """
    needed = math.prod(max(0, int(n)) for n in shape) * voxel_bytes
    if needed > MOST_BYTES:
        raise BadCall(
            f"'{name}' says it holds {needed / 1024**3:.1f} GiB of voxels. At most {MOST_BYTES // 1024**3} GiB are read. "
            "Crop or resample it first."
        )
    return needed


def check_ratio(name: str, packed: int, unpacked: int) -> None:
    """Refuse a file that is much smaller than what it holds.

    Args:
        unpacked: bytes that reading it allocates.

    Raises:
        BadCall: it unpacks to more than `FREE_BYTES` and `MOST_RATIO` times its size.
    """
    if unpacked > FREE_BYTES and unpacked > MOST_RATIO * packed:
        raise BadCall(
            f"'{name}' unpacks to {unpacked // max(1, packed)} times its size, which no scan does. At most {MOST_RATIO} "
            "times are unpacked. Unpack it yourself if it is what you think."
        )


def memory_bytes() -> int:
    """Memory this process may have: the machine's, or its control group's when that is less."""
    total = int(psutil.virtual_memory().total)
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(text)) if text.isdigit() else total


class Budget:
    """Bytes that openings hold at one time, in all threads of a process.

    Args:
        most: together; None takes `MOST_WORK`, or a share of the memory when that is less.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = min(MOST_WORK, int(_SHARE * memory_bytes())) if most is None else most
        self._held = 0
        self._changed = threading.Condition()
        self._mine = threading.local()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """What is reserved within stays so to the end of this block: the scan lives on until it is stored."""
        outer = getattr(self._mine, "bytes", None)
        if outer is not None:
            yield
            return
        self._mine.bytes = 0
        try:
            yield
        finally:
            self._release(self._mine.bytes)
            self._mine.bytes = None

    @contextmanager
    def reserved(self, name: str, needed: int, *, wait_s: float = _WAIT_S) -> Iterator[None]:
        """Room for so many bytes while the block runs, or to the end of the opening around it.

        Raises:
            BadCall: more than may ever be had.
            Unavailable: others hold it, and go on holding it.
        """
        if needed > self.most:
            raise BadCall(
                f"Reading '{name}' would take {needed / _GIB:.1f} GiB of memory. At most {self.most / _GIB:.1f} GiB are "
                "given to it. Crop or resample it first."
            )
        self._take(name, needed, wait_s)
        if getattr(self._mine, "bytes", None) is not None:
            self._mine.bytes += needed
            yield
            return
        try:
            yield
        finally:
            self._release(needed)

    def _take(self, name: str, needed: int, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        with self._changed:
            while self._held + needed > self.most:
                if not self._changed.wait(timeout=max(0.0, until - time.monotonic())) and time.monotonic() >= until:
                    raise Unavailable(
                        f"There is no memory for '{name}' now: other scans are being opened, and "
                        f"{needed / _GIB:.1f} GiB are needed. Open it again in a minute."
                    )
            self._held += needed

    def _release(self, held: int) -> None:
        with self._changed:
            self._held -= held
            self._changed.notify_all()


BUDGET = Budget()
"""Of this process."""
