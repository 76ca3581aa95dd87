"""A resident worker process on this machine: started on first use, restarted after a crash.

Torch-free. One request runs at a time; the others wait in line, where owners take turns.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from ..imaging.errors import BadCall, Failed, OstensorError, Unavailable
from ..imaging.volume import BoolArray
from ..models.interface import Cancelled
from ..models.synthesis.jobs import Synthesized
from . import host
from .line import Line
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

log = logging.getLogger(__name__)

KILL_AFTER_S = 1.5  # a worker that does not stop by itself in this time is killed: 2 s with the time to notice
_POLL_S = 0.05
_ERRORS: dict[str, type[Exception]] = {
    "bad_call": BadCall,
    "unavailable": Unavailable,
    "failed": Failed,
    "cancelled": Cancelled,
}


@dataclass(frozen=True)
class SegmentedMask:
    """One mask as the worker found it, on the image's grid; attributes as `models.interface.Decoded` and `Referred`."""

    structure: str
    array: BoolArray
    confidence: float | None
    peak: float | None
    family: str = ""
    element: int | None = None
    notes: tuple[str, ...] = ()
    signs: tuple[float, ...] = ()
    traces: tuple[float, ...] = ()


@dataclass(frozen=True)
class Segmented:
    """Every mask of a request, and what made them."""

    masks: tuple[SegmentedMask, ...]
    encoded: bool
    engine: str
    weights_sha256: str
    seconds: float


class LocalWorkers:
    """The one worker process of this machine, behind a queue.

    Args:
        budget_mb: requests whose estimate exceeds it are refused.
        places: how many requests of one owner may wait or run at once.
    """

    def __init__(self, options: WorkerOptions | None = None, *, budget_mb: int | None = None, places: int = 16) -> None:
        self.options = options or WorkerOptions()
        self.budget_mb = budget_mb
        self._line = Line(places)
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Process number of the worker, or None while there is none."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    @property
    def is_stuck(self) -> bool:
        """True when requests wait although there is no process; it starts with the first of them, so only for a moment."""
        return self._line.is_busy and self.pid is None

    def place(self, request_id: str) -> int | None:
        """How many requests are before this one: 0 is running, None is not in line."""
        return self._line.place(request_id)

    def seen_by(self, owner: str) -> LocalWorkers:
        """The same worker for one of several who share it: each has places of its own, and they take turns."""
        return _OwnersWorkers(self, owner)

    def run(
        self,
        request: SegmentRequest,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int = 0,
    ) -> Segmented:
        """Wait in line, then wait for the masks. Blocks; may be called from many threads.

        Args:
            memory_mb: estimate of what the request needs.

        Raises:
            Cancelled: `cancelled` was set; a running worker has stopped, or was killed after 2 s.
            BadCall, Unavailable, Failed: as the worker says; Failed also when it crashed.
        """
        reply = self._ask(request, on_progress, cancelled, memory_mb)
        assert isinstance(reply, SegmentReply)
        return _received(reply, request)

    def synthesize(
        self,
        request: SynthesisRequest,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int = 0,
    ) -> Synthesized:
        """Wait in line, then wait for the image; refusals as of `run`."""
        reply = self._ask(request, on_progress, cancelled, memory_mb)
        assert isinstance(reply, SynthesisReply)
        return _synthesized(reply)

    def _ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int,
        owner: str = "",
    ) -> SegmentReply | SynthesisReply:
        if self.budget_mb is not None and memory_mb > self.budget_mb:
            raise Unavailable(
                f"This needs about {memory_mb} MB, but the worker may use {self.budget_mb} MB. "
                "Use a smaller image or a smaller model."
            )
        with self._line.turn(owner, request.request_id, cancelled):
            connection = self._ensure()
            try:
                connection.send(request)
            except OSError as error:
                self._drop()
                raise self._crash() from error
            return self._wait(connection, request, on_progress, cancelled)

    def start(self) -> None:
        """Start the process now, so that the first request does not wait for it."""
        if not self._line.is_busy:
            self._ensure()

    def close(self) -> None:
        """End the process; waiting requests are refused."""
        self._line.close()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(Stop())
        process = self._process
        if process is not None:
            process.join(timeout=KILL_AFTER_S)
        self._drop()

    def _ensure(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        self._drop()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=host.main, args=(theirs, self.options), daemon=True, name="ostensor-worker")
        with without_the_script():
            process.start()
        theirs.close()
        self._process, self._connection = process, ours
        return ours

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
                self._drop()
                raise Cancelled
            try:
                if not connection.poll(_POLL_S):
                    continue
                message = connection.recv()
            except (EOFError, OSError) as error:
                self._drop()
                raise (Cancelled() if asked_to_stop else self._crash()) from error
            if message.request_id != request.request_id:
                _free(message)  # the late answer of a request nobody waits for
            elif isinstance(message, Told):
                on_progress(message.share, message.message)
            elif isinstance(message, Refused):
                raise _ERRORS[message.kind](message.text)
            else:
                reply: SegmentReply | SynthesisReply = message
                return reply

    def _crash(self) -> OstensorError:
        return Failed(
            "The worker process ended in the middle of the job (killed, crashed, or out of memory). "
            "It starts again by itself: call the tool once more; if it ends again, use a smaller image."
        )

    def _drop(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is not None:
            if process.is_alive():
                process.kill()
            process.join(timeout=5)
        if connection is not None:
            connection.close()


class _OwnersWorkers(LocalWorkers):
    """The worker of somebody else, used in one owner's name; whoever owns it closes it."""

    def __init__(self, shared: LocalWorkers, owner: str) -> None:
        self.shared, self.owner = shared, owner
        self.options, self.budget_mb, self._line = shared.options, shared.budget_mb, shared._line

    @property
    def pid(self) -> int | None:
        """Process number of the shared worker, or None while there is none."""
        return self.shared.pid

    def start(self) -> None:
        """Start the shared process now."""
        self.shared.start()

    def close(self) -> None:
        """Leave it to its owner."""

    def _ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int,
        owner: str = "",
    ) -> SegmentReply | SynthesisReply:
        return self.shared._ask(request, on_progress, cancelled, memory_mb, owner or self.owner)


@contextlib.contextmanager
def without_the_script() -> Iterator[None]:
    """Keep a spawned process from running the caller's script, which may lack the `__main__` guard.

    multiprocessing imports the parent's main module in the child so that functions defined there
    can be unpickled; the worker needs nothing from it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _received(reply: SegmentReply, request: SegmentRequest) -> Segmented:
    block = SharedMemory(name=reply.block)
    count = int(np.prod(request.grid.shape))
    try:
        masks = []
        for one in reply.masks:
            packed = np.ndarray((-(-count // 8),), np.uint8, block.buf, one.offset)
            bits: BoolArray = np.unpackbits(packed, count=count).view(np.bool_).reshape(request.grid.shape)
            masks.append(
                SegmentedMask(
                    one.structure,
                    bits,
                    one.confidence,
                    one.peak,
                    one.family,
                    one.element,
                    one.notes,
                    one.signs,
                    one.traces,
                )
            )
            del packed
    finally:
        block.close()
        block.unlink()
    return Segmented(tuple(masks), reply.encoded, reply.engine, reply.weights_sha256, reply.seconds)


def _synthesized(reply: SynthesisReply) -> Synthesized:
    block = SharedMemory(name=reply.block)
    try:
        array = np.ndarray(reply.shape, np.dtype(reply.dtype), block.buf).copy()
    finally:
        block.close()
        block.unlink()
    return Synthesized(array, reply.by_prior, reply.notes, reply.weights_sha256)


def _free(message: object) -> None:
    if isinstance(message, SegmentReply | SynthesisReply):
        with contextlib.suppress(FileNotFoundError):
            block = SharedMemory(name=message.block)
            block.close()
            block.unlink()
