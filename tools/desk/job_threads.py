"""Jobs: work in threads, written down in the store, waited for by long polls."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...imaging.errors import OstensorError, as_one_of_ours, log_crash
from ...models.interface import Cancelled
from ...observing.counts import HERE
from ...observing.spans import in_this_trace
from ...store.records import Facts, JobRecord
from ...store.store import Store
from .pace import Pace

log = logging.getLogger(__name__)

Report = Callable[[float, str], None]
Work = Callable[[str, Report, threading.Event], Mapping[str, Any]]
"""Gets its job handle, a progress callback and the cancel event; answers the tool's result as JSON."""

_WRITE_EVERY_S = 0.5  # progress is written to the store at most so often
_LOOK_EVERY_S = 0.25  # at a job of another process
_ERRORS_KEPT = 64
CANCELLED = "The job was cancelled. Call the tool again if you still need it."


@dataclass
class _Live:
    """A job of this process."""

    key: str
    tool: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    pace: Pace = field(default_factory=Pace)
    written_at: float = 0.0
    aside: bool = False  # stopped because the server stops, not because anybody wants it to end


class Jobs:
    """Starts, watches and stops jobs of this process; finished ones are read from the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._live: dict[str, _Live] = {}  # those that run
        self._errors: OrderedDict[str, OstensorError] = OrderedDict()  # of those that failed last
        self._lock = threading.Lock()
        self._expected: dict[str, str] = {}  # jobs of an earlier process, by what they were asked

    def start(self, tool: str, arguments: Mapping[str, Any], work: Work) -> str:
        """Begin, and answer the handle; the same call while it still runs joins the running job."""
        key = _key(tool, arguments)
        with self._lock:
            for job_id, live in self._live.items():
                if live.key == key and not live.done.is_set() and not live.cancelled.is_set():
                    return job_id
            job_id = self._expected.pop(key, "") or self.store.create_job(tool, arguments).job_id
            self._live[job_id] = live = _Live(key, tool)
        run = in_this_trace(self._run)
        threading.Thread(target=run, args=(job_id, live, work), daemon=True, name=job_id).start()
        return job_id

    def wait(
        self,
        job_id: str,
        wait_s: float,
        *,
        on_progress: Report | None = None,
        cancelled: threading.Event | None = None,
    ) -> JobRecord:
        """The job once it is final, or as it stands after `wait_s` seconds.

        Args:
            cancelled: when set while waiting, the job is cancelled.

        Raises:
            BadCall: nothing has this handle.
        """
        live = self._live.get(job_id)
        until = time.monotonic() + wait_s
        if live is None:
            return self._wait_for_another_process(job_id, until, on_progress)
        while not live.done.wait(timeout=min(0.1, max(0.0, until - time.monotonic()))):
            if on_progress is not None:
                on_progress(live.pace.share, live.pace.message)
            if cancelled is not None and cancelled.is_set():
                live.cancelled.set()
                live.done.wait(timeout=10)
                break
            if time.monotonic() >= until:
                break
        record = self.store.job(job_id)
        if record.is_final:
            return record
        return replace(
            record, progress=max(record.progress, live.pace.share), message=live.pace.message or record.message
        )

    def error_of(self, job_id: str) -> OstensorError | None:
        """What a failed job of this process raised, with its kind."""
        return self._errors.get(job_id)

    def cancel(self, job_id: str, *, wait_s: float = 5.0) -> JobRecord:
        """Ask a job to stop and wait a little for it; a final job stays as it is."""
        live = self._live.get(job_id)
        if live is None:
            record = self.store.job(job_id)
            return record if record.is_final else self.store.update_job(job_id, state="cancelled", error=CANCELLED)
        live.cancelled.set()
        live.done.wait(timeout=wait_s)
        return self.store.job(job_id)

    def expect(self, record: JobRecord) -> None:
        """Let the same call, made again, go on under the handle of this job of an earlier process."""
        with self._lock:
            self._expected[_key(record.tool, record.arguments)] = record.job_id

    def no_longer_expect(self, job_id: str) -> bool:
        """Give up an expected job; true when nobody had made its call again."""
        with self._lock:
            keys = [key for key, expected in self._expected.items() if expected == job_id]
            for key in keys:
                del self._expected[key]
            return bool(keys)

    def set_aside(self, drain_s: float) -> tuple[str, ...]:
        """Give running jobs `drain_s` seconds to end; put the others down for the next process, and name them."""
        until = time.monotonic() + drain_s
        for live in list(self._live.values()):
            live.done.wait(timeout=max(0.0, until - time.monotonic()))
        left = {job_id: live for job_id, live in list(self._live.items()) if not live.done.is_set()}
        for live in left.values():
            live.aside = True
            live.cancelled.set()
        for job_id, live in left.items():
            if not live.done.wait(timeout=5.0):
                self.store.set_aside(job_id)
        return tuple(left)

    @property
    def busy(self) -> bool:
        """True while a job of this process runs."""
        return any(not live.done.is_set() for live in list(self._live.values()))

    def close(self) -> None:
        """Cancel everything that still runs."""
        for job_id, live in list(self._live.items()):
            if not live.done.is_set():
                self.cancel(job_id)
        self.store.stop_beating()

    def _wait_for_another_process(self, job_id: str, until: float, on_progress: Report | None) -> JobRecord:
        record, looked_at = self.store.job(job_id), -math.inf
        while not record.is_final:
            if time.monotonic() - looked_at >= 1.0:
                self.store.mark_lost()
                record, looked_at = self.store.job(job_id), time.monotonic()
            if time.monotonic() >= until:
                break
            time.sleep(min(_LOOK_EVERY_S, max(0.0, until - time.monotonic())))
            record = self.store.job(job_id)
            if on_progress is not None:
                on_progress(record.progress, record.message)
        return record

    def _run(self, job_id: str, live: _Live, work: Work) -> None:
        def report(share: float, message: str) -> None:
            live.pace.report(share, message)
            if time.monotonic() - live.written_at >= _WRITE_EVERY_S:
                live.written_at = time.monotonic()
                self.store.note_job(job_id, progress=live.pace.share, message=message)

        HERE.add("ostensor_jobs_running")
        try:
            self.store.follow_job(
                job_id, told=live.cancelled.set, progress=lambda: (live.pace.share, live.pace.message)
            )
            self.store.note_job(job_id, state="running")
            result: Facts = dict(work(job_id, report, live.cancelled))
            self.store.end_job(job_id, state="done", progress=1.0, message="done", result=result)
        except Cancelled:
            if live.aside:
                self.store.set_aside(job_id)
            else:
                self.store.end_job(job_id, state="cancelled", error=CANCELLED)
        except OstensorError as error:
            self._failed(job_id, error)
        except Exception as error:
            log_crash(log, f"job {job_id}", error)
            self._failed(job_id, as_one_of_ours(error, live.tool))
        finally:
            HERE.add("ostensor_jobs_running", -1)
            live.done.set()
            with self._lock:
                del self._live[job_id]

    def _failed(self, job_id: str, error: OstensorError) -> None:
        self._errors[job_id] = type(error)(str(error))  # without its trace, which would hold what the work held
        while len(self._errors) > _ERRORS_KEPT:
            self._errors.popitem(last=False)
        self.store.end_job(job_id, state="failed", error=str(error))


def _key(tool: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([tool, dict(arguments)], sort_keys=True, default=str)
