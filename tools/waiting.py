"""`get_job` and `cancel_job`: for work that outlasts a call."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..store.records import JobRecord
from .desk.desk import Answer, Call, Desk
from .desk.results import JobResult, SegmentResult
from .segmenting.segmentation import say_result


def get_job(
    desk: Desk,
    call: Call,
    job_id: Annotated[str, Field(description="From a tool's answer.")],
    wait_s: Annotated[float, Field(description="Seconds to wait for the end.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Wait for a job: state, progress (0 to 1), queue place, result or error.

    States: queued, running (call again), done, failed, cancelled, lost (its server ended; call the tool again).
    Example: get_job(job_id="job_...")
    """
    record = desk.jobs.wait(job_id, wait_s, on_progress=call.report)
    return _answer(desk, record)


def cancel_job(
    desk: Desk,
    call: Call,
    job_id: Annotated[str, Field(description="Of a queued or running job.")],
) -> Answer:
    """Stop a job. A finished job stays as it is.

    Example: cancel_job(job_id="job_...")
    """
    del call
    return _answer(desk, desk.jobs.cancel(job_id))


def _answer(desk: Desk, record: JobRecord) -> Answer:
    place = None
    if not record.is_final and desk.has_workers:
        place = desk.workers.place(record.job_id)
    result = JobResult(
        job_id=record.job_id,
        tool=record.tool,
        state=record.state,
        progress=round(record.progress, 4),
        message=record.message,
        queue_place=place,
        result=record.result,
        error=record.error,
    )
    text = f"Job {record.job_id} ({record.tool}) is {record.state}"
    if not record.is_final:
        text += f", {record.progress:.0%}, {record.message or 'waiting'}. Call get_job again."
    elif record.error:
        text += f": {record.error}"
    elif record.tool == "segment" and record.result is not None:
        text += f". {say_result(SegmentResult.model_validate(record.result))}"
    elif record.result is not None and record.result.get("summary"):
        text += f". {record.result['summary']}"
    else:
        text += "."
    return Answer(text, result)
