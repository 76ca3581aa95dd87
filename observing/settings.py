"""How a server is watched; passed on to every process of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LogFormat = Literal["text", "json"]
Level = Literal["warning", "info", "debug"]


@dataclass(frozen=True)
class Watching:
    """How a server tells what it does.

    Attributes:
        logs: lines as "text" or "json".
        level: the least that is logged; "info" has a line for each call.
        traces: send spans to where the OTEL_* variables say.
    """

    logs: LogFormat = "text"
    level: Level = "warning"
    traces: bool = False
