"""The figures of this process, counted where things happen; a few microseconds each, no library."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
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
            self._observe(name, seconds, labels)

    def begin_call(self, tool: str) -> int:
        """A call has begun; answers what `end_call` is to be told."""
        with self._lock:
            self._last += 1
            self._running[self._last] = (tool, time.perf_counter())
            return self._last

    def end_call(self, number: int, outcome: str) -> float:
        """A call has ended; answers its seconds."""
        with self._lock:
            tool, began = self._running.pop(number)
            seconds = time.perf_counter() - began
            counted = self._key("ostensor_calls_total", {"tool": tool, "outcome": outcome})
            self._numbers[counted] = self._numbers.get(counted, 0.0) + 1
            self._observe("ostensor_call_seconds", seconds, {"tool": tool})
            return seconds

    def value(self, name: str, **labels: str) -> float:
        """A counter or gauge as it stands; of a histogram, how many values it has."""
        with self._lock:
            key = (name, labelled(name, labels))
            return float(sum(self._bins[key].counts)) if key in self._bins else self._numbers.get(key, 0.0)

    def snapshot(self) -> dict[str, Any]:
        """Everything as JSON: `numbers` and `bins` by figure as rows of label values and value, and `running` calls."""
        with self._lock:
            now = time.perf_counter()
            numbers: dict[str, list[Any]] = {"ostensor_calls_running": [[[], len(self._running)]]}
            for (name, values), number in self._numbers.items():
                numbers.setdefault(name, []).append([list(values), number])
            bins: dict[str, list[Any]] = {}
            for (name, values), found in self._bins.items():
                bins.setdefault(name, []).append([list(values), list(found.counts), found.total])
            running = [
                {"tool": labelled("ostensor_call_seconds", {"tool": tool})[0], "seconds": round(now - since, 3)}
                for tool, since in self._running.values()
            ]
        return {"numbers": numbers, "bins": bins, "running": running}

    def _observe(self, name: str, seconds: float, labels: dict[str, str]) -> None:
        key = self._key(name, labels)
        bins = self._bins.setdefault(key, Bins())
        bins.counts[bisect_left(QUICK_S, seconds)] += 1
        bins.total += seconds

    def _key(self, name: str, labels: dict[str, str]) -> Key:
        key = (name, labelled(name, labels))
        if key not in self._numbers and key not in self._bins:
            self._size[name] = self._size.get(name, 0) + 1
            if self._size[name] > MOST:
                return name, (OTHER,) * len(FIGURES[name].labels)
        return key


HERE = Counts()
"""Of this process."""
