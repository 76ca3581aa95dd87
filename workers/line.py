"""The line before a worker: owners take turns, so that one's many requests neither refuse nor long delay another's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..imaging.errors import Unavailable
from ..models.interface import Cancelled

_POLL_S = 0.05


@dataclass(frozen=True)
class _Waiting:
    owner: str
    request_id: str


class Line:
    """Requests that wait or run, one at a time.

    Args:
        places: how many of one owner; more are refused.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._running: _Waiting | None = None
        self._waiting: list[_Waiting] = []
        self._turns: dict[str, int] = {}  # when each owner was last served, in turns
        self._number = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """True while a request waits or runs."""
        with self._changed:
            return self._running is not None or bool(self._waiting)

    def place(self, request_id: str) -> int | None:
        """How many requests are before this one: 0 is running, None is not in line."""
        with self._changed:
            order = [*([self._running] if self._running else []), *self._in_order()]
            return next((place for place, one in enumerate(order) if one.request_id == request_id), None)

    def close(self) -> None:
        """Refuse those who wait, and who comes later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextlib.contextmanager
    def turn(self, owner: str, request_id: str, cancelled: threading.Event) -> Iterator[None]:
        """Wait in line; the worker is this request's while the block runs.

        Raises:
            Cancelled: `cancelled` was set while it waited.
            Unavailable: the owner has all its places taken, or the worker is shut down.
        """
        mine = _Waiting(owner, request_id)
        with self._changed:
            self._check_open()
            if sum(one.owner == owner for one in (*self._waiting, self._running) if one) >= self.places:
                raise Unavailable(f"{self.places} jobs are waiting already. Wait for one to end, then call again.")
            self._waiting.append(mine)
        try:
            self._await(mine, cancelled)
            yield
        finally:
            with self._changed:
                if self._running is mine:
                    self._running = None
                else:
                    self._waiting.remove(mine)
                self._changed.notify_all()

    def _await(self, mine: _Waiting, cancelled: threading.Event) -> None:
        with self._changed:
            while True:
                if cancelled.is_set():
                    raise Cancelled
                self._check_open()  # also when its turn has come: a line that is closed serves nobody more
                if self._running is None and self._in_order()[0] is mine:
                    break
                self._changed.wait(timeout=_POLL_S)
            self._waiting.remove(mine)
            self._running = mine
            self._number += 1
            self._turns[mine.owner] = self._number
            while len(self._turns) > 1000:
                del self._turns[next(iter(self._turns))]

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The worker is shut down. Start the server again.")

    def _in_order(self) -> list[_Waiting]:
        """As they will be served: the owner who was served longest ago comes next, with its oldest request."""
        turns, number, left, order = dict(self._turns), self._number, list(self._waiting), []
        while left:
            chosen = min(left, key=lambda one: turns.get(one.owner, 0))  # the earliest of those that are equal
            left.remove(chosen)
            order.append(chosen)
            number += 1
            turns[chosen.owner] = number
        return order
