"""One worker process: started on first use, restarted after a crash, killed when it does not stop. Torch-free."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ..imaging.errors import BadCall, Failed, OstensorError, Unavailable
from ..models.interface import Cancelled, NotUnderstood
from ..observing.counts import HERE
from ..observing.logs import chosen_format
from ..observing.seen import count_seen
from . import host
from .protocol import (
    Cancel,
    Refused,
    SegmentReply,
    SegmentRequest,
    Stop,
    SynthesisReply,
    SynthesisRequest,
    Told,
    WorkerOptions,
)
from .received import free_block

log = logging.getLogger(__name__)

KILL_AFTER_S = 1.5  # a worker that does not stop by itself in this time is killed: 2 s with the time to notice
_POLL_S = 0.05
_MAIN = threading.Lock()
ERRORS: dict[str, type[Exception]] = {
    "bad_call": BadCall,
    "not_understood": NotUnderstood,
    "unavailable": Unavailable,
    "failed": Failed,
    "cancelled": Cancelled,
}


class WorkerProcess:
    """The process of one device; asked by one thread at a time."""

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._starting = threading.Lock()
        self._ended = False
        self.started = 0  # how often; a process that was started again holds nothing of the last one's

    @property
    def pid(self) -> int | None:
        """Its number, or None while there is none."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
    ) -> SegmentReply | SynthesisReply:
        """The answer to a request.

        Raises:
            Cancelled: `cancelled` was set; the process has stopped, or was killed after 2 s.
            BadCall, Unavailable, Failed: as the worker says; Failed also when it crashed.
        """
        connection = self.ensure()
        try:
            connection.send(request)
        except OSError as error:
            self.drop()
            raise crashed() from error
        return self._wait(connection, request, on_progress, cancelled)

    def stop(self) -> None:
        """End it when it is idle, or kill it; it is not started again."""
        with self._starting:
            self._ended = True
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(Stop())
        process = self._process
        if process is not None:
            process.join(timeout=KILL_AFTER_S)
        self.drop()

    def ensure(self) -> Connection:
        """Start it if there is none.

        Raises:
            Unavailable: it was stopped for good.
        """
        with self._starting:  # `start` of the pool and a request may come at once
            return self._ensure()

    def _ensure(self) -> Connection:
        if self._ended:
            raise Unavailable("The worker is shut down. Start the server again.")
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        self.drop()
        options = replace(self.options, logs=chosen_format())
        self._process, connection = start_process(host.main, (options,), "ostensor-worker")
        self._connection = connection
        self.started += 1
        HERE.add("ostensor_worker_starts_total", device=self.options.device)
        if self.started > 1:
            HERE.add("ostensor_worker_restarts_total", device=self.options.device)
        return connection

    def _wait(
        self,
        connection: Connection,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
    ) -> SegmentReply | SynthesisReply:
        asked_to_stop: float | None = None
        while True:
            if cancelled.is_set() and asked_to_stop is None:
                asked_to_stop = time.monotonic()
                with contextlib.suppress(OSError):
                    connection.send(Cancel(request.request_id))
            if asked_to_stop is not None and time.monotonic() - asked_to_stop > KILL_AFTER_S:
                log.warning("the worker did not stop within %.0f s and is killed", KILL_AFTER_S)
                self.drop()
                raise Cancelled
            try:
                if not connection.poll(_POLL_S):
                    continue
                message = connection.recv()
            except (EOFError, OSError) as error:
                self.drop()
                raise (Cancelled() if asked_to_stop else crashed()) from error
            if message.request_id != request.request_id:
                free_block(message)  # the late answer of a request nobody waits for
            elif isinstance(message, Told):
                on_progress(message.share, message.message)
            elif isinstance(message, Refused):
                count_seen(message.seen, self.options.device)
                raise ERRORS[message.kind](message.text)
            else:
                reply: SegmentReply | SynthesisReply = message
                count_seen(reply.seen, self.options.device)
                return reply

    def drop(self) -> None:
        """Kill it."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        end_process(process, connection)


def crashed() -> OstensorError:
    """What is said of a job whose process ended."""
    return Failed(
        "The worker process ended in the middle of the job (killed, crashed, or out of memory). "
        "It starts again by itself: call the tool once more; if it ends again, use a smaller image."
    )


def start_process(target: Callable[..., None], arguments: tuple[Any, ...], name: str) -> tuple[BaseProcess, Connection]:
    """A process that runs `target(connection, *arguments)`, and our end of its connection."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True, name=name)
    with without_the_script():
        process.start()
    theirs.close()
    return process, ours


def end_process(process: BaseProcess | None, connection: Connection | None) -> None:
    """Kill a process that has not ended, and close our end."""
    if process is not None:
        if process.is_alive():
            process.kill()
        process.join(timeout=5)
    if connection is not None:
        connection.close()


@contextlib.contextmanager
def without_the_script() -> Iterator[None]:
    """Keep a spawned process from running the caller's script, which may lack the `__main__` guard.

    multiprocessing imports the parent's main module in the child so that functions defined there
    can be unpickled; the worker needs nothing from it.
    """
    with _MAIN:  # two that start at once would put back each other's stand-in
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
