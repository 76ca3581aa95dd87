"""Where log lines go."""

from __future__ import annotations

import logging
import sys

from ..imaging.guards.withheld import withhold_header_values


def log_to_stderr(level: int = logging.WARNING) -> None:
    """One line per record on standard error, also for a process that was just started; replaces a library's own set-up.

    No header value is among them (`imaging/guards/withheld.py`).
    """
    withhold_header_values()
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
