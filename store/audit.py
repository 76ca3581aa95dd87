"""The audit log: one line of JSON for every tool call, appended and never changed."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .records import Facts, now

_OUTCOME = 2000  # characters kept of how a call ended
_BLOCK = 64 * 1024  # bytes read at once from the end


@dataclass(frozen=True)
class AuditEntry:
    """One tool call, as it was asked and how it ended."""

    at: str
    tool: str
    arguments: Facts
    outcome: str


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
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                weakref.finalize(self, os.close, self._file)
            os.write(self._file, line)

    def last(self, count: int) -> tuple[AuditEntry, ...]:
        """The latest entries, newest first; a line cut short by a full disk is left out."""
        if not self.path.exists():
            return ()
        found = []
        for line in reversed(_lines_at_the_end(self.path, count + 1)):
            try:
                found.append(AuditEntry(**json.loads(line)))
            except ValueError:
                continue
        return tuple(found[:count])


def _lines_at_the_end(path: Path, count: int) -> list[bytes]:
    """Up to `count` lines, oldest first, without reading what lies before them."""
    with path.open("rb") as file:
        left, tail = file.seek(0, os.SEEK_END), b""
        while left and tail.count(b"\n") <= count:
            start = max(0, left - _BLOCK)
            file.seek(start)
            tail, left = file.read(left - start) + tail, start
    lines = tail.splitlines()
    return lines[-count:] if left or len(lines) > count else lines
