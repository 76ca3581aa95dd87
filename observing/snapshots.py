"""The figures of every process of a server, side by side in files: each writes its own, whoever is asked adds them up.

A server's figures must only grow, whichever process is asked and whenever one ends, or Prometheus would take it for a
restart. So the files alone are added up, also one's own, and those of ended processes stay as long as their server runs.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..imaging.guards.machine import is_running, machine
from ..imaging.guards.private import make_folder, open_private
from .counts import Counts
from .figures import FIGURES

log = logging.getLogger(__name__)

EVERY_S = 1.0
_AT_LEAST_S = 5.0  # also without a change: who has been silent longer than three of these is not shown as at work
_NAME = "{machine}-{server}-{pid}.json"


@dataclass(frozen=True)
class Server:
    """Which server a process belongs to.

    Attributes:
        pid: of the process that was started first, which all others were started by.
        transport: "stdio" or "http".
    """

    pid: int
    transport: str
    version: str


@dataclass(frozen=True)
class Process:
    """A process as it last said it was.

    Attributes:
        at: when, seconds since 1970.
        started: seconds since 1970.
        counts: as `Counts.snapshot`.
        workers: rows of device, pid, bytes, budget_mb and requests waiting, of this process's workers.
    """

    server: int
    transport: str
    version: str
    pid: int
    started: float
    at: float
    counts: dict[str, Any]
    workers: tuple[dict[str, Any], ...] = ()

    @property
    def is_at_work(self) -> bool:
        """Whether it still runs."""
        return is_running(self.pid) and time.time() - self.at < 3 * _AT_LEAST_S


Look = Callable[[Counts], Sequence[dict[str, Any]]]
"""Sets gauges that only a look tells, and answers rows of the workers."""


@dataclass
class Snapshots:
    """The files in a store's folder.

    Args:
        folder: of the store; files lie below it in `observed`.
        look: called before each writing.
    """

    folder: Path
    server: Server
    counts: Counts
    look: Look = lambda counts: ()
    _started: float = field(default_factory=time.time)
    _last: tuple[float, str] = (0.0, "")
    _said: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Write now and from time to time, in a thread, until `stop`."""
        make_folder(self.folder / "observed")
        forget(self.folder)
        self.write(anew=True)
        threading.Thread(target=self._run, daemon=True, name="observing").start()

    def stop(self) -> None:
        """Write a last time."""
        self._stop.set()
        self.write(anew=True)

    def write(self, *, anew: bool = False) -> None:
        """Bring this process's file up to date; a disk that is full or gone stops nobody.

        Args:
            anew: also when nothing has changed.
        """
        with self._writing:
            workers = self.look(self.counts)
            said = self.counts.snapshot()
            now, content = time.time(), json.dumps({"counts": said, "workers": list(workers)})
            if not anew and content == self._last[1] and now - self._last[0] < _AT_LEAST_S:
                return
            self._last = (now, content)
            head = {**vars(self.server), "server": self.server.pid, "pid": os.getpid(), "started": self._started}
            text = json.dumps({**head, "at": now})[:-1] + ", " + content[1:]
            name = _NAME.format(machine=machine(), server=self.server.pid, pid=os.getpid())
            try:
                _replace(self.folder / "observed" / name, text)
            except OSError as error:
                if not self._said:
                    log.warning("figures of this process are not written: %s", type(error).__name__)
                self._said = True

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.write()


def _replace(path: Path, text: str) -> None:
    """Whole or not at all; not forced to disk, for figures may be lost."""
    temporary = path.with_suffix(".new")
    try:
        with open(temporary, "w", encoding="utf-8", opener=open_private) as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def processes(folder: Path, server: int | None = None) -> tuple[Process, ...]:
    """What the processes of this machine wrote, of one server or of all, also those that have ended."""
    found = []
    for path in _files(folder):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["workers"] = tuple(values["workers"])
            one = Process(**values)
        except (OSError, ValueError, TypeError, KeyError):  # being replaced, or of another version
            continue
        if server is None or one.server == server:
            found.append(one)
    return tuple(found)


def forget(folder: Path) -> None:
    """Take away the files of servers that have ended."""
    for path in _files(folder):
        parts = path.stem.split("-")
        if len(parts) == 3 and all(part.isdigit() and not is_running(int(part)) for part in parts[1:]):
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / "observed").glob(f"{machine()}-*.json"))


def added_up(found: Sequence[Process]) -> dict[str, dict[tuple[str, ...], Any]]:
    """Figure -> label values -> number, or [counts of bins, sum]; gauges of those at work, counters of all."""
    total: dict[str, dict[tuple[str, ...], Any]] = {}
    for one in found:
        for name, rows in one.counts["numbers"].items():
            if name not in FIGURES or (FIGURES[name].kind == "gauge" and not one.is_at_work):
                continue
            into = total.setdefault(name, {})
            for values, number in rows:
                into[tuple(values)] = into.get(tuple(values), 0.0) + number
        for name, rows in one.counts["bins"].items():
            for values, counts, seconds in rows if name in FIGURES else ():
                before = total.setdefault(name, {}).get(tuple(values), ([0] * len(counts), 0.0))
                summed = [a + b for a, b in zip(before[0], counts, strict=True)]
                total[name][tuple(values)] = (summed, before[1] + seconds)
    return total
