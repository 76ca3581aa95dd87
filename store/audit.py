"""The audit log: one line of JSON for every tool call, appended and never changed."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..imaging.guards.private import open_private
from .records import now

log = logging.getLogger(__name__)

_HELD = 1000  # lines kept while the disk is full
_OUTCOME = 2000  # characters kept of how a call ended


class AuditLog:
    """Calls in the order in which they ended.

    A line is one write at the file's end, so processes of one machine share the file, and a kill
    leaves whole lines. It is not forced to disk: a power cut may cost the last seconds. Forcing
    cost each call more than all else the server adds to it (docs/benchmarks.md, `bench mcp`).
    On a full disk the last `_HELD` lines wait in memory, so that reading goes on; they are written with the first
    call after space has returned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._waiting: deque[bytes] = deque(maxlen=_HELD)
        self._cut = False  # the last line did not fit
        self._lock = threading.Lock()

    def write(self, tool: str, arguments: Mapping[str, Any], outcome: str) -> None:
        """Append one call."""
        entry = {"at": now(), "tool": tool, "arguments": dict(arguments), "outcome": outcome[:_OUTCOME]}
        line = (json.dumps(entry, default=str) + "\n").encode()
        with self._lock:
            self._waiting.append(line)
            try:
                self._append()
            except OSError as error:
                log.warning(
                    "the audit log cannot be written: %s; %d lines wait", type(error).__name__, len(self._waiting)
                )

    @property
    def behind(self) -> int:
        """Lines that could not be written yet."""
        return len(self._waiting)

    def _append(self) -> None:
        if self._file is None:
            self._file = open_private(str(self.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            weakref.finalize(self, os.close, self._file)
        while self._waiting:
            line = (b"\n" if self._cut else b"") + self._waiting[0]
            self._cut = os.write(self._file, line) < len(line)
            if self._cut:
                raise OSError(errno.ENOSPC, "cut short")
            self._waiting.popleft()
