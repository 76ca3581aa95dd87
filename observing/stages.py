"""Where a worker's time goes: the parts of a request, timed where they are done, and sent with its answer.

Nothing is counted in the worker: it answers with what it saw (`Seen`), and the server counts and traces it. Where nobody
watches, a stage costs a look at a variable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MOST_SPANS = 64  # of one request; models with many views would make more
MOST_STEPS = 128  # remembered of one part; as many events as OpenTelemetry keeps of a span by default


@dataclass(frozen=True)
class Part:
    """A part of a request's work.

    Attributes:
        name: a stage of `figures.FIGURES`.
        begin_ns, end_ns: since 1970.
        parent: place of the part it lies in, or None.
        own_s: seconds without the parts that lie in it.
        windows: when the network's windows ended, since 1970 in ns; the first `MOST_STEPS`.
        window_count: all of them.
    """

    name: str
    begin_ns: int
    end_ns: int
    parent: int | None
    own_s: float
    windows: tuple[int, ...] = ()
    window_count: int = 0


@dataclass(frozen=True)
class Kept:
    """What a worker keeps, in bytes by estimate, and what it may."""

    models: int
    features: int
    models_most: int
    features_most: int


@dataclass(frozen=True)
class Seen:
    """What a worker saw of a request."""

    parts: tuple[Part, ...] = ()
    features_hit: bool | None = None
    fallback: str = ""
    kept: Kept | None = None


NOTHING_SEEN = Seen()


@dataclass
class _Open:
    name: str
    begin_ns: int
    parent: int | None
    within_ns: int = 0
    windows: list[int] = field(default_factory=list)
    window_count: int = 0
    end_ns: int = 0


class Watch:
    """Collects the parts of one request; used by one thread."""

    def __init__(self) -> None:
        self._parts: list[_Open] = []
        self._at: int | None = None
        self.features_hit: bool | None = None
        self.fallback = ""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part, while the block runs."""
        if len(self._parts) >= MOST_SPANS:
            yield
            return
        number, outer = len(self._parts), self._at
        one = _Open(name, time.time_ns(), outer)
        self._parts.append(one)
        self._at, began = number, time.perf_counter_ns()
        try:
            yield
        finally:
            took = time.perf_counter_ns() - began
            one.end_ns, self._at = one.begin_ns + took, outer
            if outer is not None:
                self._parts[outer].within_ns += took

    def window(self) -> None:
        """A window of the part under way has ended."""
        if self._at is not None:
            one = self._parts[self._at]
            one.window_count += 1
            if len(one.windows) < MOST_STEPS:
                one.windows.append(time.time_ns())

    def seen(self, kept: Kept | None) -> Seen:
        """All of it, once the request has ended."""
        parts = tuple(
            Part(
                one.name,
                one.begin_ns,
                one.end_ns,
                one.parent,
                (one.end_ns - one.begin_ns - one.within_ns) / 1e9,
                tuple(one.windows),
                one.window_count,
            )
            for one in self._parts
        )
        return Seen(parts, self.features_hit, self.fallback, kept)


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the request that is the block."""
    made = Watch()
    token = _watch.set(made)
    try:
        yield made
    finally:
        _watch.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A part of the request that is watched, if one is."""
    watch = _watch.get()
    if watch is None:
        yield
        return
    with watch.part(name):
        yield


def staged(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose work is one stage."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def timed(*args: P.args, **options: P.kwargs) -> R:
            with stage(name):
                return function(*args, **options)

        return timed

    return around


def window_done() -> None:
    """A window of a network has ended."""
    watch = _watch.get()
    if watch is not None:
        watch.window()


def note(*, features_hit: bool | None = None, fallback: str = "") -> None:
    """What else is worth telling of the request."""
    watch = _watch.get()
    if watch is not None:
        watch.features_hit = watch.features_hit if features_hit is None else features_hit
        watch.fallback = fallback or watch.fallback
