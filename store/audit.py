"""The audit log: one line of JSON for every tool call, appended and never changed."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..imaging.guards.private import open_private
from .records import now

_OUTCOME = 2000  # characters kept of how a call ended


class AuditLog:
    """Calls in the order in which they ended.

    A line is one write at the file's end, so processes of one machine share the file, and a kill
    leaves whole lines. It is not forced to disk: a power cut may cost the last seconds. Forcing
    cost each call more than all else the server adds to it (docs/benchmarks.md, `bench mcp`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._lock = threading.Lock()

    def write(self, tool: str, arguments: Mapping[str, Any], outcome: str) -> None:
        """Append one call."""
        entry = {"at": now(), "tool": tool, "arguments": dict(arguments), "outcome": outcome[:_OUTCOME]}
        line = (json.dumps(entry, default=str) + "\n").encode()
        with self._lock:
            if self._file is None:
                self._file = open_private(str(self.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                weakref.finalize(self, os.close, self._file)
            os.write(self._file, line)
