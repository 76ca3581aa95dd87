"""A job as the work of a tool sees it, and as callers get its answer: now, or by a handle."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from ...imaging.errors import Unavailable
from ...store.records import JobRecord
from .desk import Answer, Call, Desk
from .job_threads import Report
from .pace import Shares

Result = TypeVar("Result", bound=BaseModel)


def _ignore(share: float, message: str) -> None:
    """Nobody asked."""


@dataclass(frozen=True)
class Job:
    """Work under way at a desk.

    Attributes:
        id: its handle; requests to a worker bear it.
        report: told the share that is done, 0 to 1, and what goes on.
        cancelled: set when the work is to stop.
        shares: of the whole work that this is a part of.
        whole: told the share of the whole.
        is_batch: nobody waits for it, so workers serve others first.
    """

    desk: Desk
    id: str
    report: Report = _ignore
    cancelled: threading.Event = field(default_factory=threading.Event)
    shares: Shares = field(default_factory=Shares)
    whole: Report = _ignore
    is_batch: bool = False

    @classmethod
    def of_call(cls, desk: Desk, call: Call, purpose: str) -> Job:
        """Work done within a call, which has no handle of its own."""
        return cls.begun(desk, f"{purpose}-{uuid.uuid4().hex[:12]}", call.report, call.cancelled)

    @classmethod
    def begun(cls, desk: Desk, job_id: str, whole: Report, cancelled: threading.Event) -> Job:
        """Work whose share done is told to `whole`."""
        shares = Shares()

        def report(share: float, message: str) -> None:
            shares.go_on(share)
            whole(shares.done, message)

        return cls(desk, job_id, report, cancelled, shares, whole)

    def part(self, first: float, last: float) -> Job:
        """A part of this work, whose own progress from 0 to 1 is the whole's from `first` to `last`."""
        return replace(self, report=lambda share, message: self.report(first + share * (last - first), message))

    def quiet(self) -> Job:
        """A look on the side: it leaves the share of this part alone, but the whole goes on by it."""
        number: list[int] = []

        def report(share: float, message: str) -> None:
            if not number:
                number.append(self.shares.begin())
            self.shares.aside[number[0]] = max(self.shares.aside[number[0]], min(1.0, share))
            self.whole(self.shares.done, message)

        return replace(self, report=report)


def run_job(
    desk: Desk, call: Call, tool: str, arguments: Mapping[str, Any], work: Callable[[Job], BaseModel], *, wait_s: float
) -> JobRecord:
    """The record of this work after at most `wait_s` seconds; done, or still running.

    Raises:
        OstensorError: as the work did, or Unavailable when the job was cancelled.
    """

    def begin(job_id: str, report: Report, cancelled: threading.Event) -> Mapping[str, Any]:
        return work(Job.begun(desk, job_id, report, cancelled)).model_dump(mode="json")

    job_id = desk.jobs.start(tool, arguments, begin)
    record = desk.jobs.wait(job_id, call.patience_s(wait_s), on_progress=call.report, cancelled=call.cancelled)
    if record.state == "failed":
        raise desk.jobs.error_of(job_id) or Unavailable(record.error or "The job failed.")
    if record.state == "cancelled":
        raise Unavailable(record.error or "The job was cancelled.")
    return record


def answer_job(
    record: JobRecord,
    result: type[Result],
    summarise: Callable[[Result], str],
    waiting: Mapping[str, Any],
    *,
    hint: str = "",
) -> Answer:
    """The result in words and as data, or where to ask for it later.

    Args:
        waiting: what the result holds already while the work runs.
        hint: a further sentence for who has to wait.
    """
    if record.result is not None:
        found = result.model_validate(record.result)
        return Answer(summarise(found), found)
    return Answer(
        f"Still working ({record.progress:.0%}): call get_job(job_id='{record.job_id}', wait_s=30).{hint}",
        result(job_id=record.job_id, state=record.state, progress=record.progress, **waiting),
    )
