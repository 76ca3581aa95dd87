"""Where log lines go, and how they look."""

from __future__ import annotations

import logging
import sys

from ..imaging.guards.withheld import withhold_header_values
from ..observing.logs import choose_format, formatter
from ..observing.settings import Watching

_NOTHING = Watching()


def log_to_stderr(level: int = logging.WARNING, *, watching: Watching = _NOTHING) -> None:
    """One line per record on standard error, also for a process that was just started; replaces a library's own set-up.

    No header value is among them (`imaging/guards/withheld.py`).

    Args:
        level: the least that libraries and we tell.
        watching: how lines look, and how much more we tell than libraries.
    """
    withhold_header_values()
    choose_format(watching.logs)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    ours = logging.NOTSET if watching.level == "warning" else watching.level.upper()
    logging.getLogger("ostensor").setLevel(ours)
