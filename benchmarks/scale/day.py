"""A working day of many people and some batches, event by event, before workers that serve it by one of two policies.

"first come": one line, and the next free worker takes what is foremost. "ours": the line that servers really use
(`workers.line.Line`), with its clock replaced: owners take turns, people come before batches, and a question about a scan
waits for the worker that has looked at it as long as another look would take.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from ...imaging.errors import Unavailable
from ...workers.line import PATIENCE_S, Line, Waiting

Policy = Literal["first come", "ours"]
PLACES = 16  # of one owner in line, as servers have
_DAY_S = 10 * 3600.0


@dataclass(frozen=True)
class Day:
    """Who asks for what.

    Attributes:
        users: people.
        scans: of the whole day.
        batch_share: of the scans, asked for in batches.
        batches: how many; each is one owner who asks for one scan after another, two at a time.
        words: further questions about each scan of a person.
        think_s: mean time between a person's questions.
        peak: how much busier the middle of the day is than its mean.
    """

    users: int = 1000
    scans: int = 10_000
    batch_share: float = 0.3
    batches: int = 10
    words: int = 4
    think_s: float = 40.0
    peak: float = 1.6


@dataclass(frozen=True)
class Serving:
    """Seconds of one worker.

    Attributes:
        first_s, further_s: of a first look at a scan, and of a question about one it has looked at.
        kept: scans a worker keeps its features of.
    """

    first_s: float
    further_s: float
    kept: int


@dataclass
class Seen:
    """Seconds from asking to the answer, by kind of question; and how busy workers were.

    Attributes:
        looks: first looks that were made, those repeated by another worker counted again.
        refused: questions that found no place in line.
    """

    first: list[float] = field(default_factory=list)
    further: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    looks: int = 0
    refused: int = 0
    busy_s: float = 0.0
    end_s: float = 0.0

    def share_busy(self, workers: int) -> float:
        """Mean over workers and the day."""
        return self.busy_s / (workers * max(self.end_s, _DAY_S))


class _Queue(Protocol):
    def join(self, asked: Waiting) -> Waiting: ...
    def next_up(self) -> Waiting | None: ...
    def take(self, mine: Waiting) -> int | None: ...
    def leave(self, mine: Waiting) -> None: ...


class _FirstCome:
    """One line without names."""

    def __init__(self, workers: int) -> None:
        self._free, self._waiting, self._lane = deque(range(workers)), deque[Waiting](), dict[int, int]()

    def join(self, asked: Waiting) -> Waiting:
        self._waiting.append(asked)
        return asked

    def next_up(self) -> Waiting | None:
        return self._waiting[0] if self._free and self._waiting else None

    def take(self, mine: Waiting) -> int | None:
        if not self._free or self._waiting[0] is not mine:
            return None
        self._waiting.popleft()
        lane = self._lane[id(mine)] = self._free.popleft()
        return lane

    def leave(self, mine: Waiting) -> None:
        self._free.append(self._lane.pop(id(mine)))


class _Farm:
    """Workers, the scans each has looked at, and who waits for them."""

    def __init__(self, env: Any, workers: int, serving: Serving, policy: Policy, seen: Seen) -> None:
        self.env, self.serving, self.policy, self.seen = env, serving, policy, seen
        self.workers = workers
        self.line: _Queue = (
            Line(PLACES, workers, clock=lambda: float(env.now)) if policy == "ours" else _FirstCome(workers)
        )
        self.held: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(workers)]
        self.used = [0] * workers  # when each last got a question, in questions
        self.home: dict[int, int] = {}
        self.waiting: dict[str, Any] = {}
        self.numbers = itertools.count()

    def ask(self, owner: str, scan: int, *, is_batch: bool) -> Generator[Any, Any, None]:
        """A question, from coming into line to its answer; a SimPy process."""
        home = self.home.get(scan)
        order = sorted(range(self.workers), key=lambda lane: (lane != home, self.used[lane]))
        asked = Waiting(
            owner,
            str(next(self.numbers)),
            tuple(order),
            is_batch,
            home is not None,
            max(PATIENCE_S, self.serving.first_s),
        )
        try:
            mine = self.line.join(asked)
        except Unavailable:
            self.seen.refused += 1
            return
        turn = self.env.event()
        self.waiting[mine.request_id] = turn
        self._wake()
        if not turn.triggered and asked.is_at_home and self.policy == "ours":
            self.env.process(self._patience())
        lane = yield turn
        took = self._serve(lane, scan)
        self.seen.busy_s += took
        yield self.env.timeout(took)
        self.line.leave(mine)
        self._wake()

    def _serve(self, lane: int, scan: int) -> float:
        held = self.held[lane]
        self.used[lane] = max(self.used) + 1
        known = scan in held
        held[scan] = None
        held.move_to_end(scan)
        self.home[scan] = lane
        while len(held) > self.serving.kept:
            old, _ = held.popitem(last=False)
            if self.home.get(old) == lane:
                del self.home[old]
        if known:
            return self.serving.further_s
        self.seen.looks += 1
        return self.serving.first_s

    def _wake(self) -> None:
        while (mine := self.line.next_up()) is not None:
            lane = self.line.take(mine)
            self.waiting.pop(mine.request_id).succeed(lane)

    def _patience(self) -> Generator[Any, Any, None]:
        yield self.env.timeout(max(PATIENCE_S, self.serving.first_s) + 0.001)
        self._wake()


def simulate(day: Day, serving: Serving, workers: int, policy: Policy, *, seed: int = 0) -> Seen:
    """One day under a policy; the same seed gives the same people and the same answers."""
    import simpy

    env, rng, seen = simpy.Environment(), np.random.default_rng(seed), Seen()
    farm = _Farm(env, workers, serving, policy, seen)
    scans = itertools.count()

    def person(start: float, owner: str, thinking: Sequence[float]) -> Generator[Any, Any, None]:
        yield env.timeout(start)
        scan = next(scans)
        for number in range(1 + day.words):
            asked = env.now
            yield env.process(farm.ask(owner, scan, is_batch=False))
            (seen.first if number == 0 else seen.further).append(env.now - asked)
            yield env.timeout(float(thinking[number]))

    def batch(start: float, owner: str, count: int) -> Generator[Any, Any, None]:
        yield env.timeout(start)
        left = iter(range(count))

        def one_after_another() -> Generator[Any, Any, None]:
            for _ in left:
                asked = env.now
                yield env.process(farm.ask(owner, next(scans), is_batch=True))
                seen.batch.append(env.now - asked)

        yield env.process(one_after_another()) & env.process(one_after_another())

    people = round(day.scans * (1 - day.batch_share))
    starts = _over_the_day(people, day.peak, rng)
    thinking = rng.exponential(day.think_s, (people, 1 + day.words))
    for number, start in enumerate(starts):
        env.process(person(start, f"user{number % day.users}", thinking[number]))
    each = (day.scans - people) // max(1, day.batches)
    for number in range(day.batches):
        env.process(batch(number * _DAY_S / day.batches, f"batch{number}", each))
    env.run()
    seen.end_s = float(env.now)
    return seen


def _over_the_day(count: int, peak: float, rng: np.random.Generator) -> list[float]:
    """Moments of a working day, most of them in the middle: one plus a cosine, stretched to the peak."""
    depth = min(1.0, peak - 1.0)
    drawn: list[float] = []
    while len(drawn) < count:
        moment = rng.random()
        if rng.random() * (1 + depth) < 1 - depth * np.cos(2 * np.pi * moment):
            drawn.append(float(moment * _DAY_S))
    return sorted(drawn)
