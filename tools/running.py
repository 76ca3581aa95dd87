"""Running a tool with checked arguments: what the server, the command line and Python scripts share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..imaging.errors import BadCall, OstensorError, as_one_of_ours, log_crash
from ..models.interface import Cancelled
from ..observing.calls import observed_call
from ..retrieval.anatomy.structures import UnknownStructure
from ..store.archives.addresses import without_patients
from .desk.desk import Answer, Call, Desk
from .desk.doubts import with_doubts
from .desk.tool import Tool
from .registry import tool

log = logging.getLogger(__name__)


def use(desk: Desk, name: str, **arguments: Any) -> Answer:
    """Run a tool by name, as an MCP client would: the same checks, the same errors.

    Example: `use(desk, "open_image", path="ct.nii.gz").result`

    Raises:
        OstensorError: BadCall, Unavailable or Failed.
    """
    return run_named(desk, Call(), name, arguments)


def run_named(desk: Desk, call: Call, name: str, arguments: Mapping[str, Any]) -> Answer:
    """Run a tool by name within a call, which may be listened to and cancelled; otherwise as `use`."""
    entry = tool(name)
    return run_tool(entry, desk, call, checked(entry, arguments))


def checked(entry: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, converted and with defaults; null or nothing for an optional one means its default.

    Raises:
        BadCall: one is missing, unknown or out of range.
    """
    try:
        model = entry.arguments.model_validate(entry.given(arguments))
    except ValidationError as error:
        raise BadCall(explained(error, entry.name, list(entry.arguments.model_fields))) from None
    return {name: getattr(model, name) for name in entry.arguments.model_fields}


def run_tool(entry: Tool, desk: Desk, call: Call, arguments: Mapping[str, Any]) -> Answer:
    """Run a tool here and now, and write the call to the audit log.

    Raises:
        OstensorError: BadCall, Unavailable or Failed; an unknown structure is a BadCall.
    """
    with observed_call(entry.name):
        return _run(entry, desk, call, arguments)


def _run(entry: Tool, desk: Desk, call: Call, arguments: Mapping[str, Any]) -> Answer:
    outcome, answer = "failed", None
    try:
        answer = with_doubts(desk, arguments, entry.function(desk, call, **arguments))
        outcome = "ok"
    except UnknownStructure as error:
        outcome = str(error)
        raise BadCall(str(error)) from None
    except OstensorError as error:
        outcome = str(error)
        raise
    except Cancelled:
        raise
    except Exception as error:
        found = as_one_of_ours(error, entry.name)
        log_crash(log, entry.name, error)
        outcome = str(found)
        raise found from None
    finally:
        noted = without_patients(arguments)
        desk.store.write_audit(entry.name, noted, outcome)
        if desk.recorder is not None:
            desk.recorder.note(entry, noted, answer, "" if answer is not None else outcome)
    assert answer is not None
    return answer


def explained(error: ValidationError, tool: str, allowed: Sequence[str]) -> str:
    """What is wrong with the arguments, without echoing long values."""
    lines = []
    for fault in error.errors(include_url=False, include_context=False)[:5]:
        where = ".".join(str(part) for part in fault["loc"]) or "arguments"
        if fault["type"] == "extra_forbidden":
            lines.append(f"'{where}' is not an argument.")
        elif fault["type"] == "string_type" and isinstance(fault["input"], list | tuple):
            calls = ", ".join(f"{tool}({where}={str(one)[:80]!r})" for one in fault["input"][:3])
            lines.append(f"'{where}' takes one, not a list. Call once for each: {calls}.")
        elif fault["type"] == "missing":
            lines.append(f"'{where}' is missing.")
        else:
            longest = 600 if fault["type"] == "literal_error" else 160  # what may be said is said whole
            lines.append(f"'{where}': {fault['msg'][:longest]}.")
    return f"{' '.join(lines)} Arguments of {tool}: {', '.join(allowed)}."
