"""The workers of this machine: one process for each device, one client for all.

Torch-free. Requests wait in one line, where owners take turns and people come before batches. What `Workers` holds is
the same for those of a cluster (`cluster/client.py`).
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..models.synthesis.jobs import Synthesized
from ..observing.spans import span, traceparent
from .devices import Device
from .line import Line
from .placing import Places
from .process import WorkerProcess
from .protocol import SegmentReply, SegmentRequest, SynthesisReply, SynthesisRequest, WorkerOptions
from .received import Segmented, SegmentedMask, take_image, take_masks

__all__ = ["LocalWorkers", "Segmented", "SegmentedMask", "Workers"]

Found = Segmented | Synthesized


class Workers(abc.ABC):
    """Workers behind a line; a subclass knows what they are."""

    options: WorkerOptions
    devices: tuple[Device, ...]
    _line: Line

    @property
    @abc.abstractmethod
    def pids(self) -> tuple[int | None, ...]:
        """Process number of each worker, or None while there is none."""

    @property
    def pid(self) -> int | None:
        """Process number of a worker that runs, or None while there is none."""
        return next((pid for pid in self.pids if pid is not None), None)

    @property
    def is_stuck(self) -> bool:
        """True when requests wait although there is no process; it starts with the first of them, so only for a moment."""
        return self._line.is_busy and self.pid is None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._line.waiting

    def place(self, request_id: str) -> int | None:
        """How many requests are before this one: 0 is running, None is not in line."""
        return self._line.place(request_id)

    def seen_by(self, owner: str) -> Workers:
        """The same workers for one of several who share them: each has places of its own, and they take turns."""
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
        found = self._ask(request, on_progress, cancelled, memory_mb)
        assert isinstance(found, Segmented)
        return found

    def synthesize(
        self,
        request: SynthesisRequest,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int = 0,
    ) -> Synthesized:
        """Wait in line, then wait for the image; refusals as of `run`."""
        made = self._ask(request, on_progress, cancelled, memory_mb)
        assert isinstance(made, Synthesized)
        return made

    @abc.abstractmethod
    def start(self) -> None:
        """Start what the first request would otherwise wait for."""

    @abc.abstractmethod
    def close(self) -> None:
        """End what was started; waiting requests are refused."""

    @abc.abstractmethod
    def _ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int,
        owner: str = "",
    ) -> Found:
        """Wait in line in an owner's name, then for the answer."""


class LocalWorkers(Workers):
    """The worker processes of this machine, behind a queue.

    Args:
        options: of every worker; the device is set for each.
        devices: one worker for each; default: the options' own device.
        budget_mb: what a request may need on that device; more is refused.
        places: how many requests of one owner may wait or run at once.
    """

    def __init__(
        self,
        options: WorkerOptions | None = None,
        *,
        devices: Sequence[Device] = (),
        budget_mb: int | None = None,
        places: int = 16,
    ) -> None:
        self.options = options or WorkerOptions()
        self.devices = tuple(devices) or (Device(self.options.device, budget_mb),)
        self._line = Line(places, len(self.devices))
        self._places = Places(self.devices)
        self._processes = [WorkerProcess(replace(self.options, device=one.name)) for one in self.devices]
        self._noting = threading.Lock()

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Process number of each device's worker, or None while there is none."""
        return tuple(one.pid for one in self._processes)

    def start(self) -> None:
        """Start the processes now, so that the first request does not wait for one."""
        if not self._line.is_busy:
            for one in self._processes:
                one.ensure()

    def close(self) -> None:
        """End the processes; waiting requests are refused."""
        self._line.close()
        for one in self._processes:
            one.stop()

    def _ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int,
        owner: str = "",
    ) -> Found:
        model, key = (
            (request.model, request.image_key) if isinstance(request, SegmentRequest) else (request.job.engine, "")
        )
        with self._noting:
            placed = self._places.place(model, key, memory_mb)
        with self._line.turn(
            owner,
            request.request_id,
            cancelled,
            lanes=placed.lanes,
            is_batch=request.is_batch,
            is_at_home=placed.is_at_home,
            patience_s=placed.patience_s,
        ) as lane:
            process = self._processes[lane]
            before = process.started
            try:
                with span("worker", device=self.devices[lane].name, model=model):
                    request = replace(request, trace=traceparent())
                    reply = process.ask(request, on_progress, cancelled)
            finally:
                with self._noting:
                    if process.started != before and before:
                        self._places.forget(lane)
            with self._noting:
                looked = isinstance(reply, SegmentReply) and reply.encoded
                self._places.note(lane, model, key, reply.seconds if looked else 0.0)
        if isinstance(request, SynthesisRequest):
            assert isinstance(reply, SynthesisReply)
            return take_image(reply)
        assert isinstance(reply, SegmentReply)
        return take_masks(reply, request)


class _OwnersWorkers(Workers):
    """The workers of somebody else, used in one owner's name; whoever owns them closes them."""

    def __init__(self, shared: Workers, owner: str) -> None:
        self.shared, self.owner = shared, owner
        self.options, self.devices, self._line = shared.options, shared.devices, shared._line

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Of the shared ones."""
        return self.shared.pids

    def start(self) -> None:
        """Start the shared processes now."""
        self.shared.start()

    def close(self) -> None:
        """Leave them to their owner."""

    def _ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int,
        owner: str = "",
    ) -> Found:
        return self.shared._ask(request, on_progress, cancelled, memory_mb, owner or self.owner)
