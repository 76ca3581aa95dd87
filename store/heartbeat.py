"""Which processes are at work on a store: each says so every other second, and who falls silent is taken for dead.

Times are the database's, so that neither host names nor clocks of machines matter. Silence is believed when it is
met twice, some time apart: a machine that was asleep speaks again in between.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import psutil
import sqlalchemy as sa

from ..imaging.errors import Unavailable
from ..imaging.guards.machine import machine
from .catalogue.engines import put_row
from .records import beats

log = logging.getLogger(__name__)

BEAT_S = 2.0
SILENT_S = 6.0
CONFIRMED_S = 1.5  # of silence, after it was first met
LOOK_S = 0.25  # between two looks at what others did to jobs of this process
STORAGE_ERRORS = (
    sa.exc.OperationalError, sa.exc.InternalError, sa.exc.InterfaceError, sa.exc.TimeoutError, OSError, Unavailable,
)  # fmt: skip
"""What a full, vanished or locked store raises; Unavailable is our own word for one that is gone."""


def this_process() -> str:
    """Machine, process number and start time: no two processes share all three."""
    process = psutil.Process()
    return f"{machine()}:{process.pid}:{process.create_time():.2f}"


def is_gone(owner: str) -> bool:
    """True for a process of this machine that has ended; False when it runs or cannot be known."""
    where, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if where != machine() or not pid.isdigit():
        return False
    try:
        # The start time is worked out from the boot time, which moves a little when the clock is set.
        return abs(psutil.Process(int(pid)).create_time() - float(started)) >= 2.0
    except (psutil.NoSuchProcess, ValueError):
        return True
    except psutil.AccessDenied:
        return False


def database_time(engine: sa.Engine) -> sa.ColumnElement[Any]:
    """Seconds since 1970 by the clock of the database."""
    if engine.dialect.name == "sqlite":
        return (sa.func.julianday("now") - 2440587.5) * 86400.0
    return sa.extract("epoch", sa.func.clock_timestamp())


def beat(connection: sa.Connection, engine: sa.Engine, owner: str) -> None:
    """Say that a process is at work, within a transaction."""
    connection.execute(put_row(engine, beats, "owner", owner=owner, at=database_time(engine)))


class Silence:
    """Who was met silent, and since when."""

    def __init__(self) -> None:
        self._met: dict[str, tuple[float | None, float]] = {}

    def is_dead(self, owner: str, at: float | None, age_s: float | None) -> bool:
        """Whether a process with this last beat is believed to be dead.

        Args:
            at: its last beat; None when it never had one.
            age_s: of the beat, by the database's clock.
        """
        if is_gone(owner):
            return True
        if age_s is not None and age_s <= SILENT_S:
            self._met.pop(owner, None)
            return False
        known, since = self._met.setdefault(owner, (at, time.monotonic()))
        if known != at:
            self._met[owner] = (at, time.monotonic())
            return False
        return time.monotonic() - since >= CONFIRMED_S


class Pulse:
    """A thread that calls `work` every quarter of a second while there is any, as long as its owner lives.

    Args:
        work: bound method; answers whether it is to be called again.
    """

    def __init__(self, work: Callable[[], bool]) -> None:
        self._work = weakref.WeakMethod(work)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wanted = False
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin, unless it beats already."""
        with self._lock:
            self._wanted = True
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")
                self._thread.start()

    def stop(self) -> None:
        """End for good."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def _run(self) -> None:
        again, failing = True, False
        while not self._stop.wait(LOOK_S):
            with self._lock:
                if not (again or self._wanted):
                    self._thread = None
                    return
                self._wanted = False
            work = self._work()
            if work is None:
                return
            try:
                again, failing = work(), False
            except STORAGE_ERRORS as error:
                if not failing:  # said once, not four times a second
                    log.warning("the store does not answer the heartbeat: %s", type(error).__name__)
                again = failing = True
            del work
