"""The line before the workers: owners take turns, people who wait come before batches, and each request gets a worker.

One's many requests neither refuse nor long delay another's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..imaging.errors import Unavailable
from ..models.interface import Cancelled
from ..observing.counts import HERE

_POLL_S = 0.05
PATIENCE_S = (
    2.0  # how long a request waits, at least, for the worker that has its image's features before it takes another
)
BATCH_EVERY = 8  # while people wait, every so many turns are a batch's, so that none stands still for ever


@dataclass(frozen=True)
class Waiting:
    """A request in line.

    Attributes:
        lanes: workers that may take it, the best first.
        is_batch: nobody waits for it.
        is_at_home: the best of its lanes has what it needs already.
        patience_s: how long it waits for that lane before it takes another.
        since: when it came.
    """

    owner: str
    request_id: str
    lanes: tuple[int, ...] = (0,)
    is_batch: bool = False
    is_at_home: bool = False
    patience_s: float = PATIENCE_S
    since: float = 0.0


class Line:
    """Requests that wait or run, one at a time on each worker.

    Args:
        places: how many of one owner; more are refused.
        lanes: how many workers there are.
        clock: seconds; a simulation has its own.
    """

    def __init__(self, places: int, lanes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.places, self.lanes, self.clock = places, lanes, clock
        self._running: dict[int, Waiting] = {}
        self._waiting: list[Waiting] = []
        self._turns: dict[str, int] = {}  # when each owner was last served, in turns
        self._number = 0
        self._since_batch = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """True while a request waits or runs."""
        with self._changed:
            return bool(self._running or self._waiting)

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._changed:
            return len(self._waiting)

    def running_on(self, lane: int) -> str | None:
        """The request a worker is at, or None."""
        with self._changed:
            found = self._running.get(lane)
            return found.request_id if found else None

    def place(self, request_id: str) -> int | None:
        """How many requests are before this one: 0 is running, None is not in line."""
        with self._changed:
            if any(one.request_id == request_id for one in self._running.values()):
                return 0
            order = [*self._running.values(), *self._in_order()]
            return next((place for place, one in enumerate(order) if one.request_id == request_id), None)

    def close(self) -> None:
        """Refuse those who wait, and who comes later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextlib.contextmanager
    def turn(
        self,
        owner: str,
        request_id: str,
        cancelled: threading.Event,
        *,
        lanes: Sequence[int] = (0,),
        is_batch: bool = False,
        is_at_home: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> Iterator[int]:
        """Wait in line; the worker of the lane that is answered is this request's while the block runs.

        Args:
            lanes: workers that may take it, the best first.
            is_batch: nobody waits for it, so it comes after those for whom somebody does.
            is_at_home: the first lane has its image's features; others are taken only after
                `patience_s`.

        Raises:
            Cancelled: `cancelled` was set while it waited.
            Unavailable: the owner has all its places taken, or the workers are shut down.
        """
        mine = self.join(Waiting(owner, request_id, tuple(lanes), is_batch, is_at_home, patience_s))
        try:
            yield self._await(mine, cancelled)
        finally:
            self.leave(mine)

    def join(self, asked: Waiting) -> Waiting:
        """Come into the line; what is answered stands for the request from then on.

        Raises:
            Unavailable: the owner has all its places taken, or the workers are shut down.
        """
        mine = replace(asked, since=self.clock())
        with self._changed:
            self._check_open()
            taken = sum(one.owner == mine.owner for one in (*self._waiting, *self._running.values()))
            if taken >= self.places:
                HERE.add("ostensor_refusals_total", reason="queue")
                raise Unavailable(f"{self.places} jobs are waiting already. Wait for one to end, then call again.")
            self._waiting.append(mine)
        return mine

    def take(self, mine: Waiting) -> int | None:
        """The worker that is this request's from now on; None while it must wait."""
        with self._changed:
            self._check_open()  # also when its turn has come: a line that is closed serves nobody more
            lane = self._lane_of(mine)
            if lane is None:
                return None
            self._waiting = [one for one in self._waiting if one is not mine]
            self._running[lane] = mine
            self._number += 1
            self._since_batch = 0 if mine.is_batch else self._since_batch + 1
            self._turns.pop(mine.owner, None)  # to the end: who was served longest ago is forgotten first
            self._turns[mine.owner] = self._number
            while len(self._turns) > 1000:
                del self._turns[next(iter(self._turns))]
            self._changed.notify_all()
            return lane

    def next_up(self) -> Waiting | None:
        """The foremost request that has a worker now; None when all must wait."""
        with self._changed:
            return next((one for one, lane in self._offers() if lane is not None), None)

    def leave(self, mine: Waiting) -> None:
        """It is answered, or waits no more."""
        with self._changed:
            self._running = {lane: one for lane, one in self._running.items() if one is not mine}
            self._waiting = [one for one in self._waiting if one is not mine]
            self._changed.notify_all()

    def _await(self, mine: Waiting, cancelled: threading.Event) -> int:
        kind = "batch" if mine.is_batch else "people"
        HERE.add("ostensor_queue_length", kind=kind)
        try:
            lane = self._lane_once_free(mine, cancelled)
        finally:
            HERE.add("ostensor_queue_length", -1, kind=kind)
        HERE.observe("ostensor_queue_seconds", self.clock() - mine.since, kind=kind)
        return lane

    def _lane_once_free(self, mine: Waiting, cancelled: threading.Event) -> int:
        with self._changed:
            while True:
                if cancelled.is_set():
                    raise Cancelled
                lane = self.take(mine)
                if lane is not None:
                    return lane
                self._changed.wait(timeout=_POLL_S)

    def _lane_of(self, mine: Waiting) -> int | None:
        """The worker that is this request's now: those before it in line choose first."""
        return next((lane for one, lane in self._offers() if one is mine), None)

    def _offers(self) -> Iterator[tuple[Waiting, int | None]]:
        """Requests in the order they are served, each with the worker it would get now, until no worker is free.

        A person's question about an image that a free worker has looked at comes before a new look: it is short, and sent
        elsewhere it would be a look, too. Without this a busy day ends in nothing but looks (docs/scale.md).
        """
        free = set(range(self.lanes)) - set(self._running)
        if not free:
            return
        now, order = self.clock(), list(self._in_order())
        for one in [one for one in order if one.is_at_home and not one.is_batch]:
            if one.lanes[0] in free:
                yield one, one.lanes[0]
                free.discard(one.lanes[0])
                order.remove(one)
        for one in order:
            if not free:
                return
            waits = one.is_at_home and now - one.since < one.patience_s
            lane = next((lane for lane in (one.lanes[:1] if waits else one.lanes) if lane in free), None)
            yield one, lane
            if lane is not None:
                free.discard(lane)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The worker is shut down. Start the server again.")

    def _in_order(self) -> Iterator[Waiting]:
        """As they will be served: people before batches, but for every `BATCH_EVERY`th turn; among equals, the owner who was
        served longest ago comes next, with its oldest request."""
        turns, number, since_batch = dict(self._turns), self._number, self._since_batch
        people = [one for one in self._waiting if not one.is_batch]
        batches = [one for one in self._waiting if one.is_batch]
        while people or batches:
            pool = batches if not people or (batches and since_batch >= BATCH_EVERY) else people
            chosen = min(pool, key=lambda one: turns.get(one.owner, 0))  # the earliest of those that are equal
            pool.remove(chosen)
            yield chosen
            number += 1
            since_batch = 0 if chosen.is_batch else since_batch + 1
            turns[chosen.owner] = number
