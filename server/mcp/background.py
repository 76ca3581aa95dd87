"""Whether a call runs on behind an answer already given, as a task: then nobody waits for it in person."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Background:
    """Where the progress of such a call goes."""

    report: Callable[[float, str], None]


in_background: ContextVar[Background | None] = ContextVar("in_background", default=None)
