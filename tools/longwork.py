"""Work that may outlast a call: done within `wait_s`, or a job to ask for later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..imaging.errors import Unavailable
from ..imaging.records import JobRecord
from .desk import Call, Desk
from .jobs import Work


def settled(desk: Desk, call: Call, tool: str, arguments: Mapping[str, Any], work: Work, *, wait_s: float) -> JobRecord:
    """The job of this work after at most `wait_s` seconds; done, or still running.

    Raises:
        OstensorError: as the work did, or Unavailable when the job was cancelled.
    """
    job_id = desk.jobs.start(tool, arguments, work)
    record = desk.jobs.wait(job_id, call.patience_s(wait_s), on_progress=call.report, cancelled=call.cancelled)
    if record.state == "failed":
        raise desk.jobs.error_of(job_id) or Unavailable(record.error or "The job failed.")
    if record.state == "cancelled":
        raise Unavailable(record.error or "The job was cancelled.")
    return record


def later(record: JobRecord) -> str:
    """What to say while it runs."""
    return f"Still working ({record.progress:.0%}): call get_job(job_id='{record.job_id}', wait_s=30)."
