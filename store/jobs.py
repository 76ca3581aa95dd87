"""Jobs as rows that outlive the process working on them."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ..imaging.errors import BadCall
from ..observing.counts import HERE
from .heartbeat import BEAT_S, STORAGE_ERRORS, Pulse, Silence, beat, database_time, is_gone, this_process
from .records import FINAL_STATES, JOB_STATES, JobRecord, JobState, beats, jobs, now

log = logging.getLogger(__name__)

ASIDE = "aside"  # owner of a job that a server put down when it was stopped; the next one takes it up
LOST = "The process that worked on this job ended before it was done; call the tool again."
_UNFINISHED = ("queued", "running")
_DAY_S = 86_400.0


class JobsLedger:
    """The job rows of one database, and the heartbeat of this process while it works on any of them."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.owner = this_process()
        self._mine: dict[str, _Followed] = {}  # unfinished jobs of this process
        self._endings: dict[str, dict[str, Any]] = {}  # ends that could not be written yet
        self._silence = Silence()
        self._beaten = 0.0
        self._pulse = Pulse(self._on_pulse)
        self._ledger_lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that changes something; the store looks first whether it is still there."""
        with self.engine.begin() as connection:
            yield connection

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
            owner=self.owner,
            created=now(),
            updated=now(),
        )
        with self.writing() as connection:
            connection.execute(jobs.insert().values(**vars(record)))
            beat(connection, self.engine, self.owner)
        self._own(record.job_id)
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
        self._write(job_id, {name: value for name, value in given.items() if value is not None})
        if state in FINAL_STATES:
            self._mine.pop(job_id, None)
        return self.job(job_id)

    def end_job(self, job_id: str, **values: Any) -> None:
        """The last change of a job, as `update_job` makes it; when the store is full or away it is made later.

        Until then this process answers the job as it ended.
        """
        try:
            self.update_job(job_id, **values)
        except STORAGE_ERRORS as error:
            log.warning("the end of a job could not be written yet: %s", type(error).__name__)
            with self._ledger_lock:
                self._endings[job_id] = {**values, "updated": now()}
            self._own(job_id)

    def note_job(self, job_id: str, **values: Any) -> None:
        """A change of a job that may be left out when the store is full or away, such as its progress."""
        try:
            self.update_job(job_id, **values)
        except STORAGE_ERRORS as error:
            log.warning("a job's progress could not be written: %s", type(error).__name__)

    def follow_job(
        self, job_id: str, *, told: Callable[[], None], progress: Callable[[], tuple[float, str]] | None = None
    ) -> None:
        """Watch over an unfinished job of this process, from another thread.

        Args:
            told: called once when somebody else has ended the job.
            progress: asked now and then for the share done and a word about it, which are written down.
        """
        if job_id in self._mine:
            self._mine[job_id] = _Followed(told, progress)

    def job(self, job_id: str) -> JobRecord:
        """A job as it stands.

        Raises:
            BadCall: nothing has this handle.
        """
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.job_id == job_id)).mappings().first()
        if row is None:
            raise BadCall(f"Unknown job '{job_id[:40]}'. Handles come from tools that answer with a job_id.")
        return self._as_ended(JobRecord(**row))

    def jobs(self, *, states: tuple[JobState, ...] = ()) -> tuple[JobRecord, ...]:
        """Every job, or those in the given states, oldest first."""
        query = sa.select(jobs).order_by(jobs.c.created, jobs.c.job_id)
        if states:
            query = query.where(jobs.c.state.in_(states))
        with self.engine.connect() as connection:
            return tuple(self._as_ended(JobRecord(**row)) for row in connection.execute(query).mappings())

    def set_aside(self, job_id: str) -> None:
        """Put an unfinished job down for the next process that opens this store."""
        values = {"state": "queued", "owner": ASIDE, "message": "waits for the server to start again"}
        self._mine.pop(job_id, None)
        try:
            self._write(job_id, values)
        except STORAGE_ERRORS as error:  # it will be found lost
            log.warning("a job could not be put down for the next start: %s", type(error).__name__)

    def take_up(self) -> tuple[JobRecord, ...]:
        """Jobs that were set aside, now owned by this process; no two processes get the same one."""
        mine = []
        for record in self.jobs(states=("queued",)):
            if record.owner != ASIDE:
                continue
            with self.writing() as connection:
                beat(connection, self.engine, self.owner)
                claimed = connection.execute(
                    jobs.update()
                    .where(jobs.c.job_id == record.job_id, jobs.c.owner == ASIDE)
                    .values(owner=self.owner, updated=now())
                )
            if claimed.rowcount == 1:
                self._own(record.job_id)
                mine.append(record)
        return tuple(mine)

    def mark_lost(self) -> tuple[str, ...]:
        """Mark unfinished jobs whose process is dead, here or on another machine; answers their handles."""
        query = (
            sa.select(jobs.c.job_id, jobs.c.owner, beats.c.at, database_time(self.engine) - beats.c.at)
            .join_from(jobs, beats, jobs.c.owner == beats.c.owner, isouter=True)
            .where(jobs.c.state.in_(_UNFINISHED), jobs.c.owner.not_in((ASIDE, self.owner)))
        )
        with self.engine.connect() as connection:
            rows = list(connection.execute(query))
        dead = {owner for owner, at, age_s in {row[1:] for row in rows} if self._silence.is_dead(owner, at, age_s)}
        lost = [job_id for job_id, owner, _, _ in rows if owner in dead]
        for job_id in lost:
            self.note_job(job_id, state="lost", error=LOST)
        return tuple(lost)

    def forget_beats(self) -> None:
        """Drop the beats of processes that are long gone."""
        with self.engine.connect() as connection:
            known = list(connection.execute(sa.select(beats.c.owner, database_time(self.engine) - beats.c.at)))
        gone = [owner for owner, age_s in known if age_s > _DAY_S or is_gone(owner)]
        if gone:
            with self.writing() as connection:
                connection.execute(beats.delete().where(beats.c.owner.in_(gone)))

    def stop_beating(self) -> None:
        """End the heartbeat: this process works on no job any more."""
        self._pulse.stop()

    def _write(self, job_id: str, values: Mapping[str, Any]) -> None:
        with self.writing() as connection:
            changed = connection.execute(
                jobs.update()
                .where(jobs.c.job_id == job_id, jobs.c.state.not_in(FINAL_STATES))
                .values(**{"updated": now(), **values})
            )
        if changed.rowcount and values.get("state") in FINAL_STATES:
            HERE.add("ostensor_jobs_ended_total", state=values["state"])

    def _own(self, job_id: str) -> None:
        self._mine.setdefault(job_id, _Followed())
        self._pulse.start()

    def _as_ended(self, record: JobRecord) -> JobRecord:
        ending = self._endings.get(record.job_id)
        return record if ending is None or record.is_final else replace(record, **ending)

    def _on_pulse(self) -> bool:
        """Beat, write ends that are due, and tell jobs of this process that others ended them."""
        mine = list(self._mine)
        if time.monotonic() - self._beaten >= BEAT_S:
            with self.writing() as connection:
                beat(connection, self.engine, self.owner)
            self._beaten = time.monotonic()
            self.mark_lost()
            self._write_progress()
        for job_id, values in list(self._endings.items()):
            self._write(job_id, values)
            with self._ledger_lock:
                self._endings.pop(job_id, None)
            self._mine.pop(job_id, None)
        with self.engine.connect() as connection:
            query = sa.select(jobs.c.job_id).where(jobs.c.job_id.in_(mine), jobs.c.state.in_(FINAL_STATES))
            ended = list(connection.scalars(query))
        for job_id in ended:
            followed = self._mine.pop(job_id, None)
            if followed is not None and followed.told is not None:
                followed.told()
        return bool(self._mine or self._endings)

    def _write_progress(self) -> None:
        for job_id, followed in list(self._mine.items()):
            if followed.progress is not None and job_id not in self._endings:
                share, message = followed.progress()
                self.note_job(job_id, progress=share, message=message)


@dataclass(frozen=True)
class _Followed:
    """An unfinished job of this process: whom to tell of its end, and whom to ask how far it is."""

    told: Callable[[], None] | None = None
    progress: Callable[[], tuple[float, str]] | None = None
