"""A server's log and spans, set up in each of its processes."""

from __future__ import annotations

from .. import __version__
from ..observing.settings import Watching
from ..observing.spans import begin_tracing, end_tracing
from .logs import log_to_stderr


def begin(watching: Watching) -> None:
    """Set up log and spans of this process."""
    log_to_stderr(watching=watching)
    if watching.traces:
        begin_tracing(__version__)


def end() -> None:
    """Send what waits."""
    end_tracing()
