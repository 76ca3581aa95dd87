"""What `/healthz` says, after trying it: whether the store can be written, the worker lives, and upkeep goes on."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...imaging.errors import Unavailable
from ...imaging.guards.private import open_private
from ...store.heartbeat import STORAGE_ERRORS
from ...tools.desk.desk import Desk

log = logging.getLogger(__name__)

TICK_S = 20.0
_LATE_S = 3 * TICK_S
_FRESH_S = 1.0  # answers are not worked out more often
_PROBE_BYTES = 64 * 1024

State = Literal["ok", "full", "gone", "late", "dead", "idle"]


@dataclass(frozen=True)
class Health:
    """How a server is.

    Attributes:
        store: "ok", "full" (or read-only), or "gone".
        worker: "ok", "idle" (not started, or none needed now), or "dead".
        tick: "ok", or "late" when upkeep has not run for a minute.
        audit_behind: lines of the audit log that could not be written yet.
    """

    store: State
    worker: State
    tick: State
    audit_behind: int

    @property
    def is_well(self) -> bool:
        """True when everything that should work does."""
        return self.store == "ok" and self.worker != "dead" and self.tick == "ok" and not self.audit_behind


class Checkup:
    """Looks after a server's upkeep and says how it is.

    Args:
        chores: done every `TICK_S` seconds; one that fails stops neither the others nor the server.
    """

    def __init__(self, desk: Desk, chores: tuple[Callable[[], object], ...]) -> None:
        self.desk, self.chores = desk, chores
        self._ticked = time.monotonic()
        self._last: tuple[float, Health] | None = None

    def tick(self) -> None:
        """Do the chores once."""
        for chore in self.chores:
            try:
                chore()
            except (*STORAGE_ERRORS, sqlite3.Error, Unavailable) as error:
                log.warning("upkeep was put off: %s", type(error).__name__)
        self._ticked = time.monotonic()

    def health(self) -> Health:
        """How the server is now, or was a moment ago."""
        if self._last is None or time.monotonic() - self._last[0] > _FRESH_S:
            self._last = (time.monotonic(), self._looked())
        return self._last[1]

    def _looked(self) -> Health:
        late = time.monotonic() - self._ticked > _LATE_S
        return Health(self._store(), self._worker(), "late" if late else "ok", self.desk.store.audit.behind)

    def _store(self) -> State:
        try:
            self.desk.store.check_there()
            _probe(self.desk.store.folder)
            self.desk.store.try_to_write()
            if not self.desk.store.arrays.is_there:
                return "gone"
        except Unavailable:
            return "gone"
        except STORAGE_ERRORS:
            return "gone" if self.desk.settings.shared.catalogue else "full"
        return "ok"

    def _worker(self) -> State:
        if not self.desk.has_workers:
            return "idle"
        workers = self.desk.workers
        if workers.pid is not None:
            return "ok"
        return "dead" if workers.is_stuck else "idle"


def _probe(folder: Path) -> None:
    """Write a little and take it away again."""
    path = folder / f".probe.{os.getpid()}"
    try:
        with open(path, "wb", opener=open_private) as file:
            file.write(b"\0" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
