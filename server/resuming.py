"""Jobs an earlier server put down when it was stopped: started again, under the handle their callers hold."""

from __future__ import annotations

import logging

from ..imaging.errors import OstensorError
from ..store.jobs import LOST
from ..store.records import JobRecord
from ..tools.desk.desk import Call, Desk
from ..tools.registry import tool
from ..tools.running import checked

log = logging.getLogger(__name__)


def resume(desk: Desk) -> tuple[str, ...]:
    """Begin every job of this store that was set aside; answers the handles that run again.

    A job is the call of a tool with its arguments, so the call is made again. What another
    process has taken up already is left to it; a call that no longer starts the same job is
    marked lost.
    """
    begun = []
    for record in desk.store.take_up():
        desk.jobs.expect(record)
        try:
            _call_again(desk, record)
        except OstensorError as error:
            log.warning("job %s could not be taken up again: %s", record.job_id, error)
        if desk.jobs.no_longer_expect(record.job_id):
            desk.store.update_job(record.job_id, state="lost", error=LOST)
        else:
            begun.append(record.job_id)
    return tuple(begun)


def _call_again(desk: Desk, record: JobRecord) -> None:
    """Make the call once more, without a second row in the audit log."""
    entry = tool(record.tool)
    fields = entry.arguments.model_fields
    arguments = {name: value for name, value in record.arguments.items() if name in fields}
    if "wait_s" in fields:
        arguments["wait_s"] = 0.0
    entry.function(desk, Call(), **checked(entry, arguments))
