"""One question put to a mask: what was seen, what is allowed, and what to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One question put to the mask.

    Attributes:
        passed: None when it could not be asked; `reason` says why.
        low, high: what is allowed, ends included; None where there is no such limit.
        source: of the limits.
    """

    name: str
    passed: bool | None
    value: float | None
    low: float | None
    high: float | None
    reason: str
    source: str = "our choice"


def unknown(name: str, reason: str) -> Check:
    """A check that could not be asked."""
    return Check(name, None, None, None, None, reason)


def judged(
    name: str, value: float, low: float | None, high: float | None, *, said: str, source: str = "our choice"
) -> Check:
    """A check of a value against its limits; `said` is the reason when it fails."""
    passed = (low is None or value >= low) and (high is None or value <= high)
    return Check(name, passed, round(value, 4), low, high, "" if passed else said, source)
