"""A call of a tool, as it is seen from outside: counted, timed, traced, and one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..imaging.errors import BadCall, Failed, OstensorError, Unavailable
from .counts import HERE
from .spans import span

log = logging.getLogger("ostensor.calls")
_WORDS: tuple[tuple[type[OstensorError], str], ...] = (
    (BadCall, "bad_call"),
    (Unavailable, "unavailable"),
    (Failed, "failed"),
)


@contextmanager
def observed_call(tool: str) -> Iterator[None]:
    """Watch the call that is the block; what it raises is told by its kind alone, never by its words."""
    outcome = "cancelled"
    with span("tool", tool=tool):
        number = HERE.begin_call(tool)
        try:
            yield
            outcome = "ok"
        except OstensorError as error:
            outcome = next(word for kind, word in _WORDS if isinstance(error, kind))
            raise
        finally:
            seconds = HERE.end_call(number, outcome)
            if log.isEnabledFor(logging.INFO):
                facts = {"tool": tool, "outcome": outcome, "seconds": round(seconds, 4)}
                log.info("call of %s: %s in %.3f s", tool, outcome, seconds, extra={"facts": facts})
