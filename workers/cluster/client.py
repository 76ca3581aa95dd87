"""The workers of a Ray cluster, asked as those of this machine are. Torch-free; imports Ray with the first request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...models.interface import Cancelled
from ...observing.seen import count_seen
from ...observing.spans import span, traceparent
from ..line import Line
from ..local import Found, Workers
from ..placing import Places
from ..process import ERRORS, KILL_AFTER_S, crashed
from ..protocol import Refused, SegmentRequest, SynthesisRequest, Told, WorkerOptions
from .address import ClusterAddress
from .door import Door, Opened
from .lending import LentImages
from .messages import Delivered, Message, model_of, paths_of, unpacked
from .rooms import room_of, slots_of, threads_of

_POLL_S = 0.05
_STORE_SHARE = 0.4  # of the object store of the smallest node: answers and other servers need room, too


class ClusterWorkers(Workers):
    """Replicas of models on a cluster, behind this server's line.

    The line has a place for each card, or each few processors, of the cluster; who waits for whom is decided in it, as
    with workers of this machine. Which replica takes a request is decided beside Serve (`routing.py`).

    Args:
        address: of the cluster.
        options: of every worker; the device is set for each.
        device: "cpu", "cuda" or "auto".
        budget_mb: what a request may need; more is refused.
        places: how many requests of one owner may wait or run at once.
    """

    def __init__(
        self,
        address: ClusterAddress,
        options: WorkerOptions | None = None,
        *,
        device: str = "cpu",
        budget_mb: int | None = None,
        places: int = 16,
    ) -> None:
        self.address, self.options, self.device, self.budget_mb = address, options or WorkerOptions(), device, budget_mb
        self.devices = ()
        self._line = Line(places)
        self._places = Places(())
        self._door = Door(address, self._settle)
        self._lent = LentImages(lambda array: None, 0)

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Of the gateway, on its machine: there is one while the cluster is connected."""
        now = self._door.now
        return (None if now is None else now.facts.pid,)

    def start(self) -> None:
        """Connect now, so that the first request does not wait for it."""
        self._door.begin()

    def close(self) -> None:
        """Leave the cluster, whose replicas end when nobody asks them for a while; or end a Ray that was started here."""
        self._line.close()
        self._door.close()

    def _settle(self, opened: Opened) -> None:
        """What a new connection brings: places in line, how workers work, and where images are put."""
        facts = opened.facts
        slots = slots_of(
            facts, self.device, threads=self.options.threads, budget_mb=self.budget_mb, replicas=self.address.replicas
        )
        options = replace(self.options, threads=threads_of(facts, self.options.threads))
        opened.ray.get(opened.gateway.settle.remote(options, len(slots)))
        self._lent = LentImages(opened.ray.put, int(facts.store_mb * _STORE_SHARE))
        self.devices, self._places = tuple(slots), Places(slots)
        self._line.lanes = len(slots)

    def _ask(
        self,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        memory_mb: int,
        owner: str = "",
    ) -> Found:
        opened = self._door.open(on_progress, cancelled)
        lanes = self._places.place(model_of(request), "", memory_mb).lanes
        with self._line.turn(owner, request.request_id, cancelled, lanes=lanes, is_batch=request.is_batch):
            try:
                with span("worker", device=self.devices[0].name, model=model_of(request)):
                    request = replace(request, trace=traceparent())
                    begun = self._begun(opened, request, memory_mb)
                    delivered = _Asking(opened, request, on_progress, cancelled, self.devices[0].name).answer(begun)
                    count_seen(delivered.reply.seen, self.devices[0].name)
            except (opened.ray.exceptions.RayError, ConnectionError) as error:
                self._door.lose(opened)
                raise (Cancelled() if cancelled.is_set() else crashed()) from error
        return unpacked(delivered, request)

    def _begun(self, opened: Opened, request: SegmentRequest | SynthesisRequest, memory_mb: int) -> Any:
        """A reference to the first news of a request that is on its way."""
        voxels = [self._lent.reference(path) for path in paths_of(request)]
        room = room_of(self.devices, opened.facts, memory_mb)
        return opened.gateway.ask.remote(request, voxels, room)


class _Asking:
    """One request, from its first news to its last."""

    def __init__(
        self,
        opened: Opened,
        request: SegmentRequest | SynthesisRequest,
        on_progress: Callable[[float, str], None],
        cancelled: threading.Event,
        device: str,
    ) -> None:
        self.opened, self.request, self.on_progress, self.cancelled = opened, request, on_progress, cancelled
        self.device = device
        self._asked_to_stop: float | None = None

    def answer(self, reference: Any) -> Delivered:
        """Wait for the end.

        Raises:
            Cancelled, BadCall, Unavailable, Failed: as the worker says.
        """
        while True:
            for message in self._news(reference):
                if isinstance(message, Told):
                    self.on_progress(message.share, message.message)
                elif isinstance(message, Refused):
                    count_seen(message.seen, self.device)
                    raise ERRORS[message.kind](message.text)
                else:
                    return message
            reference = self.opened.gateway.fetch.remote(self.request.request_id)

    def _news(self, reference: Any) -> list[Message]:
        """What a question for news brings; the request is called off meanwhile if nobody wants it any more."""
        ray = self.opened.ray
        while True:
            if self.cancelled.is_set() and self._asked_to_stop is None:
                self._asked_to_stop = time.monotonic()
                self.opened.gateway.call_off.remote(self.request.request_id)
            if self._asked_to_stop is not None and time.monotonic() - self._asked_to_stop > KILL_AFTER_S:
                raise Cancelled
            try:
                found: list[Message] = ray.get(reference, timeout=_POLL_S)
            except ray.exceptions.GetTimeoutError:
                continue
            return found
