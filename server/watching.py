"""A server as it is watched: its log, its spans, and the figures that only a look at its processes tells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..observing.counts import HERE, Counts
from ..observing.settings import Watching
from ..observing.snapshots import Server, Snapshots
from ..observing.spans import begin_tracing, end_tracing
from ..tools.desk.desk import Desk
from .logs import log_to_stderr

_MIB = 1024 * 1024  # memory is told in whole ones, so that an idle server's figures stay as they are


def begin(watching: Watching) -> None:
    """Set up log and spans of this process."""
    log_to_stderr(watching=watching)
    if watching.traces:
        begin_tracing(__version__)


def end() -> None:
    """Send what waits."""
    end_tracing()


def snapshots_of(desk: Desk, server: Server) -> Snapshots:
    """The files with the figures of a desk's process; not begun yet."""

    def look(counts: Counts) -> Sequence[dict[str, Any]]:
        counts.put("ostensor_memory_bytes", _resident(os.getpid()), process="server", device="cpu")
        if not desk.has_workers:
            return ()
        workers, rows = desk.workers, []
        for device, pid in zip(workers.devices, workers.pids, strict=True):
            resident = 0 if pid is None else _resident(pid)
            counts.put("ostensor_memory_bytes", resident, process="worker", device=device.name)
            if device.budget_mb is not None:
                counts.put("ostensor_device_budget_bytes", device.budget_mb * 1_000_000, device=device.name)
            rows.append({"device": device.name, "pid": pid, "bytes": resident, "budget_mb": device.budget_mb})
        return rows

    return Snapshots(desk.settings.store, server, HERE, look)


def _resident(pid: int) -> int:
    """Bytes of memory a process of this machine holds; 0 when it has ended."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss) // _MIB * _MIB
    except psutil.Error:
        return 0
