"""Jobs as rows that outlive the process working on them."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from typing import Any

import psutil
import sqlalchemy as sa

from ..imaging.errors import BadCall
from .records import FINAL_STATES, JOB_STATES, JobRecord, JobState, jobs, now

ASIDE = "aside"  # owner of a job that a server put down when it was stopped; the next one takes it up
LOST = "The process that worked on this job ended before it was done. Nothing was saved; call the tool again."


def this_process() -> str:
    """Host, process number and start time: no two processes share all three."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


class JobsLedger:
    """The job rows of one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def create_job(self, tool: str, arguments: Mapping[str, Any]) -> JobRecord:
        """Write down a new job, queued and owned by this process."""
        record = JobRecord(
            job_id=f"job_{secrets.token_hex(8)}",
            tool=tool,
            arguments=dict(arguments),
            state="queued",
            progress=0.0,
            message="",
            result=None,
            error=None,
            owner=this_process(),
            created=now(),
            updated=now(),
        )
        with self.engine.begin() as connection:
            connection.execute(jobs.insert().values(**vars(record)))
        return record

    def update_job(
        self,
        job_id: str,
        *,
        state: JobState | None = None,
        progress: float | None = None,
        message: str | None = None,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> JobRecord:
        """Change a job that is not final yet, and answer it as it now stands.

        A final job (done, failed, cancelled, lost) stays as it is: when a cancel and the end of
        the work race, the first one written wins.

        Raises:
            BadCall: unknown job or state, or progress outside 0 to 1.
        """
        if state is not None and state not in JOB_STATES:
            raise BadCall(f"Unknown job state '{state}'. Allowed: {', '.join(JOB_STATES)}.")
        if progress is not None and not 0.0 <= progress <= 1.0:
            raise BadCall(f"Progress {progress} is out of range. It runs from 0 to 1.")
        given = {"state": state, "progress": progress, "message": message, "result": result, "error": error}
        values = {name: value for name, value in given.items() if value is not None}
        with self.engine.begin() as connection:
            connection.execute(
                jobs.update()
                .where(jobs.c.job_id == job_id, jobs.c.state.not_in(FINAL_STATES))
                .values(**values, updated=now())
            )
        return self.job(job_id)

    def job(self, job_id: str) -> JobRecord:
        """A job as it stands.

        Raises:
            BadCall: nothing has this handle.
        """
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.job_id == job_id)).mappings().first()
        if row is None:
            raise BadCall(f"Unknown job '{job_id[:40]}'. Handles come from tools that answer with a job_id.")
        return JobRecord(**row)

    def jobs(self, *, states: tuple[JobState, ...] = ()) -> tuple[JobRecord, ...]:
        """Every job, or those in the given states, oldest first."""
        query = sa.select(jobs).order_by(jobs.c.created, jobs.c.job_id)
        if states:
            query = query.where(jobs.c.state.in_(states))
        with self.engine.connect() as connection:
            return tuple(JobRecord(**row) for row in connection.execute(query).mappings())

    def set_aside(self, job_id: str) -> None:
        """Put an unfinished job down for the next process that opens this store."""
        with self.engine.begin() as connection:
            connection.execute(
                jobs.update()
                .where(jobs.c.job_id == job_id, jobs.c.state.not_in(FINAL_STATES))
                .values(state="queued", owner=ASIDE, message="waits for the server to start again", updated=now())
            )

    def take_up(self) -> tuple[JobRecord, ...]:
        """Jobs that were set aside, now owned by this process; no two processes get the same one."""
        mine = []
        for record in self.jobs(states=("queued",)):
            if record.owner != ASIDE:
                continue
            with self.engine.begin() as connection:
                claimed = connection.execute(
                    jobs.update()
                    .where(jobs.c.job_id == record.job_id, jobs.c.owner == ASIDE)
                    .values(owner=this_process(), updated=now())
                )
            mine += [record] if claimed.rowcount == 1 else []
        return tuple(mine)

    def mark_lost(self) -> tuple[str, ...]:
        """Mark unfinished jobs of this host whose process is gone; answers their handles."""
        host = socket.gethostname()
        lost = []
        for record in self.jobs(states=("queued", "running")):
            if record.owner == ASIDE:
                continue
            owner_host, pid, started = record.owner.rsplit(":", 2)
            if owner_host == host and not _still_runs(int(pid), float(started)):
                self.update_job(record.job_id, state="lost", error=LOST)
                lost.append(record.job_id)
        return tuple(lost)


def _still_runs(pid: int, started: float) -> bool:
    try:
        # The start time is worked out from the boot time, which moves a little when the clock is set.
        return abs(psutil.Process(pid).create_time() - started) < 2.0
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
