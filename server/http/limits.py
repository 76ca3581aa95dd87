"""How often a caller may ask, counted for all server processes together."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ...imaging.guards.private import make_private_file
from ...store.catalogue.together import Buckets
from ...store.heartbeat import STORAGE_ERRORS

log = logging.getLogger(__name__)


class RateLimit:
    """Token buckets in a small database beside the store, so that every worker process sees the same count.

    Args:
        file: made if missing; what it holds may be lost at any time, so nothing is synced.
        per_minute: a bucket fills with so many requests a minute and holds a quarter of them.
        clock: seconds; the wall clock, which processes share.
        shared: buckets of all servers of a shared catalogue, which then count instead of the file's.
    """

    def __init__(
        self, file: Path, per_minute: int, *, clock: Callable[[], float] = time.time, shared: Buckets | None = None
    ) -> None:
        self.per_s = per_minute / 60
        self.burst = max(1.0, per_minute / 4)
        self._clock = clock
        self._lock = threading.Lock()
        self._own: dict[str, tuple[float, float]] = {}  # of this process, while the file cannot be written
        self._buckets = shared
        self._database = self._opened(file) if shared is None else None

    def _opened(self, file: Path) -> sqlite3.Connection | None:
        try:
            make_private_file(file)
            database = sqlite3.connect(file, timeout=5, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("CREATE TABLE IF NOT EXISTS buckets (caller TEXT PRIMARY KEY, left REAL, at REAL)")
        except (sqlite3.Error, OSError) as error:
            log.warning("requests are counted in this process alone: %s", type(error).__name__)
            return None
        return database

    def wait_s(self, caller: str, cost: float = 1.0) -> float:
        """0 when the request may go on (and is counted), else the seconds until it may.

        A full disk, or a database that is away, stops no reader: then the count is this process's own.
        """
        now = self._clock()
        if self._buckets is not None:
            try:
                return self._buckets.wait_s(caller, cost, self.burst, self.per_s)
            except STORAGE_ERRORS as error:
                log.warning("requests are counted in this process alone: %s", type(error).__name__)
        with self._lock:
            try:
                return self._shared_wait_s(caller, cost, now)
            except sqlite3.Error:
                row = self._own.get(caller)
                wait_s, left = self._taken(row, cost, now)
                self._own[caller] = (left, now)
                return wait_s

    def _shared_wait_s(self, caller: str, cost: float, now: float) -> float:
        if self._database is None:
            raise sqlite3.OperationalError("no file")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            row = self._database.execute("SELECT left, at FROM buckets WHERE caller = ?", (caller,)).fetchone()
            wait_s, left = self._taken(row, cost, now)
            self._database.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", (caller, left, now))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return wait_s

    def _taken(self, row: tuple[float, float] | None, cost: float, now: float) -> tuple[float, float]:
        """How long to wait, and what the bucket holds then."""
        left, at = row or (self.burst, now)
        left = min(self.burst, left + max(0.0, now - at) * self.per_s)
        return (0.0, left - cost) if left >= cost else ((cost - left) / self.per_s, left)

    def forget_idle(self) -> None:
        """Drop the buckets that are full again, so that the file stays small."""
        full_since = self._clock() - self.burst / self.per_s
        with self._lock:
            self._own = {caller: row for caller, row in self._own.items() if row[1] >= full_since}
            if self._buckets is not None:
                self._buckets.forget_idle(self.burst / self.per_s)
            elif self._database is not None:
                self._database.execute("DELETE FROM buckets WHERE at < ?", (full_since,))

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
