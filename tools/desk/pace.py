"""The share of work that is done, between two reports of it: it goes on at the pace of the reports before.

Long steps (a network's window, a resampling, a process that starts) report at their end only. In between the share
nears the next report it expects, without reaching it, so that who watches sees the work go on at the pace it has. When
a step takes far longer than any before it, the share stops: then something is wrong, and it should be seen.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_FIRST_STEP = 0.05  # of the whole, while no step was measured; our choice
_LEAST_STEP = 0.02  # that is expected next, however small the last one was; our choice
_FIRST_S = 4.0  # for such a step; our choice
_PATIENCE = 20  # times the longest step so far, after which nothing is guessed any more
_PATIENCE_S = 60.0


class Pace:
    """What was reported last, and what may be said now.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._share, self._at, self.message = 0.0, clock(), ""
        self._step, self._took, self._longest = _FIRST_STEP, _FIRST_S, _FIRST_S
        self._shown = 0.0

    def report(self, share: float, message: str) -> None:
        """Work says that this share of it is done; it never goes back."""
        with self._lock:
            self._shown = max(self._shown, self._guess())
            now, share = self._clock(), min(1.0, max(self._share, share))
            if share > self._share:
                self._step, self._took = share - self._share, max(now - self._at, _FIRST_S / 2)
                self._longest = max(self._longest, self._took)
                self._share, self._at = share, now
            self.message = message

    @property
    def share(self) -> float:
        """The share now, 0 to 1; 1 only when it was reported."""
        with self._lock:
            self._shown = max(self._shown, self._guess())
            return self._shown

    def _guess(self) -> float:
        if self._share >= 1:
            return 1.0
        patience = max(_PATIENCE_S, _PATIENCE * self._longest)
        since = min(self._clock() - self._at, patience)
        left = 1 - self._share
        ahead = min(max(self._step, min(_LEAST_STEP, left / 2)), 0.9 * left)
        return self._share + ahead * math.log1p(since / self._took) / math.log1p(patience / self._took)


@dataclass
class Shares:
    """How much of a whole is done, of a main part and of looks on the side whose number nobody knows beforehand.

    Each look on the side does a part of what is left; the main part does all that is left.
    """

    main: float = 0.0
    aside: list[float] = field(default_factory=list)

    def begin(self) -> int:
        """A look on the side, from now on known by this number; those before it are done."""
        self.aside = [1.0] * len(self.aside) + [0.0]
        return len(self.aside) - 1

    def go_on(self, share: float) -> None:
        """So much of the main part is done, and every look on the side that was begun."""
        self.main = max(self.main, min(1.0, share))
        self.aside = [1.0] * len(self.aside)

    @property
    def done(self) -> float:
        """Of the whole, 0 to 1; it grows with every part of it."""
        left = 1 - self.main
        for share in self.aside:
            left *= 1 - ASIDE * share
        return 1 - left


ASIDE = 0.35  # of what is left, that one look on the side takes; our choice: four such looks come before most answers
