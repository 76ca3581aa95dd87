"""The figures of this process, counted where things happen; a few microseconds each, no library."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .figures import FIGURES, MOST, OTHER, QUICK_S, labelled

Key = tuple[str, tuple[str, ...]]


@dataclass
class Bins:
    """A histogram: how many fell into each bin (the last is open), and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(QUICK_S) + 1))
    total: float = 0.0


class Counts:
    """Counters, gauges and histograms; may be used from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[Key, float] = {}
        self._bins: dict[Key, Bins] = {}
        self._size: dict[str, int] = {}
        self._running: dict[int, tuple[str, float]] = {}
        self._last = 0

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count something, or move a gauge."""
        with self._lock:
            key = self._key(name, labels)
            self._numbers[key] = self._numbers.get(key, 0.0) + amount

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._numbers[self._key(name, labels)] = value

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """One more value of a histogram."""
        with self._lock:
            key = self._key(name, labels)
            bins = self._bins.setdefault(key, Bins())
            bins.counts[bisect_left(QUICK_S, seconds)] += 1
            bins.total += seconds

    @contextmanager
    def running(self, tool: str) -> Iterator[None]:
        """A call, while it runs."""
        with self._lock:
            self._last += 1
            mine = self._last
            self._running[mine] = (labelled("ostensor_call_seconds", {"tool": tool})[0], time.monotonic())
        self.add("ostensor_calls_running")
        try:
            yield
        finally:
            with self._lock:
                del self._running[mine]
            self.add("ostensor_calls_running", -1)

    def value(self, name: str, **labels: str) -> float:
        """A counter or gauge as it stands; of a histogram, how many values it has."""
        with self._lock:
            key = (name, labelled(name, labels))
            return float(sum(self._bins[key].counts)) if key in self._bins else self._numbers.get(key, 0.0)

    def snapshot(self) -> dict[str, Any]:
        """Everything as JSON: `numbers` and `bins` by figure as rows of label values and value, and `running` calls."""
        with self._lock:
            now = time.monotonic()
            numbers: dict[str, list[Any]] = {}
            for (name, values), number in self._numbers.items():
                numbers.setdefault(name, []).append([list(values), number])
            bins: dict[str, list[Any]] = {}
            for (name, values), found in self._bins.items():
                bins.setdefault(name, []).append([list(values), list(found.counts), found.total])
            running = [{"tool": tool, "seconds": round(now - since, 3)} for tool, since in self._running.values()]
        return {"numbers": numbers, "bins": bins, "running": running}

    def _key(self, name: str, labels: dict[str, str]) -> Key:
        key = (name, labelled(name, labels))
        if key not in self._numbers and key not in self._bins:
            self._size[name] = self._size.get(name, 0) + 1
            if self._size[name] > MOST:
                return name, (OTHER,) * len(FIGURES[name].labels)
        return key


HERE = Counts()
"""Of this process."""
