"""Lines of the log as JSON objects, for programs that collect them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from ..imaging.errors import bare_trace
from .settings import LogFormat
from .spans import trace_id

_format: LogFormat = "text"


def choose_format(chosen: LogFormat) -> None:
    """How lines are written from now on, in this process and the workers it starts."""
    global _format
    _format = chosen


def chosen_format() -> LogFormat:
    """How lines are written."""
    return _format


def formatter(words: str) -> logging.Formatter:
    """What writes lines in the chosen format.

    Args:
        words: how a line of text looks.
    """
    return JsonLines() if _format == "json" else logging.Formatter(words)


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, event; of a call tool, outcome and seconds; the trace, where there is one.

    Of an exception its type and frames are told, not its words, which are a library's.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if found := trace_id():
            line["trace_id"] = found
        if record.exc_info and record.exc_info[1] is not None:
            line["trace"] = bare_trace(record.exc_info[1])
        elif record.exc_text:
            line["trace"] = record.exc_text
        return json.dumps(line, default=str)
