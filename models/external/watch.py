"""Looking after a process from outside: its memory, its processor time, what it has started. Torch-free."""

from __future__ import annotations

import contextlib
import time

import psutil

from ...imaging.errors import OstensorError
from .refusals import refusal

SILENT_S = 120.0  # an engine that neither says a word nor computes for so long hangs
_WATCH_S = 0.5  # between two looks at memory and processor time
_IDLE_S = 0.5  # processor time that counts as computing


class Watch:
    """Whether a process still works, and within its memory.

    Args:
        name: of the engine, for words.
        memory_mb: ceiling; 0 for none.
    """

    def __init__(self, name: str, pid: int, memory_mb: int) -> None:
        self.name, self.pid, self.memory_mb = name, pid, memory_mb
        self._looked = self._worked = time.monotonic()
        self._seconds = 0.0

    def heard(self, now: float) -> None:
        """A message came."""
        self._worked = now

    def trouble(self, now: float) -> OstensorError | None:
        """What is wrong with it, if anything is."""
        if now - self._looked < _WATCH_S:
            return None
        self._looked = now
        used, seconds = _used(self.pid)
        if self.memory_mb and used > self.memory_mb << 20:
            return refusal(
                "engine_out_of_memory",
                f"'{self.name}' used {used >> 20} MB of memory; {self.memory_mb} MB are allowed. "
                "Use a smaller scan, or raise memory_mb in its engine.toml.",
            )
        if seconds - self._seconds > _IDLE_S:
            self._seconds, self._worked = seconds, now
        if now - self._worked > SILENT_S:
            return refusal(
                "engine_hangs",
                f"'{self.name}' neither said a word nor computed for {SILENT_S:.0f} s and was ended. Call again; "
                "if it hangs again, try a smaller scan.",
            )
        return None


def below(pid: int) -> list[psutil.Process]:
    """Everything a process has started that is still there."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _used(pid: int) -> tuple[int, float]:
    """Memory in bytes and processor seconds of a process and everything below it."""
    memory, seconds = 0, 0.0
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(pid)
        for one in [top, *below(pid)]:
            with contextlib.suppress(psutil.Error):
                memory += one.memory_info().rss
                times = one.cpu_times()
                seconds += times.user + times.system
    return memory, seconds
