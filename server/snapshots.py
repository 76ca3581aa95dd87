"""The files with a server's figures, and those figures that only a look at its processes tells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..observing.counts import HERE, Counts
from ..observing.snapshots import Server, Snapshots
from ..tools.desk.desk import Desk

_MIB = 1024 * 1024  # memory is told in whole ones, so that an idle server's figures stay as they are


def server_here(transport: str) -> Server:
    """The server that this process starts."""
    return Server(os.getpid(), transport, __version__)


def snapshots_of(desk: Desk, server: Server) -> Snapshots:
    """The files with the figures of a desk's process; not begun yet."""

    def look(counts: Counts) -> Sequence[dict[str, Any]]:
        counts.put("ostensor_memory_bytes", _resident(os.getpid()), process="server", device="cpu")
        if not desk.has_workers:
            return ()
        workers, rows = desk.workers, []
        for device, pid in zip(workers.devices, workers.pids, strict=False):
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
