"""How often a caller may ask and how much it may keep, counted for all server processes together."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ...imaging.guards.private import make_private_file


class RateLimit:
    """Token buckets in a small database beside the store, so that every worker process sees the same count.

    Args:
        file: made if missing; what it holds may be lost at any time, so nothing is synced.
        per_minute: a bucket fills with so many requests a minute and holds a quarter of them.
        clock: seconds; the wall clock, which processes share.
    """

    def __init__(self, file: Path, per_minute: int, *, clock: Callable[[], float] = time.time) -> None:
        self.per_s = per_minute / 60
        self.burst = max(1.0, per_minute / 4)
        self._clock = clock
        self._lock = threading.Lock()
        make_private_file(file)
        self._database = sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE IF NOT EXISTS buckets (caller TEXT PRIMARY KEY, left REAL, at REAL)")

    def wait_s(self, caller: str, cost: float = 1.0) -> float:
        """0 when the request may go on (and is counted), else the seconds until it may."""
        now = self._clock()
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                row = self._database.execute("SELECT left, at FROM buckets WHERE caller = ?", (caller,)).fetchone()
                left, at = row or (self.burst, now)
                left = min(self.burst, left + max(0.0, now - at) * self.per_s)
                allowed = left >= cost
                if allowed:
                    left -= cost
                self._database.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", (caller, left, now))
            finally:
                self._database.execute("COMMIT")
        return 0.0 if allowed else (cost - left) / self.per_s

    def forget_idle(self) -> None:
        """Drop the buckets that are full again, so that the file stays small."""
        full_since = self._clock() - self.burst / self.per_s
        with self._lock:
            self._database.execute("DELETE FROM buckets WHERE at < ?", (full_since,))

    def close(self) -> None:
        """Close the database."""
        self._database.close()


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
