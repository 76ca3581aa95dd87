"""How lists of files and handles are asked for and told."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

SHOWN = 8  # of a list, said in words


def fits(pattern: str | None, *words: str) -> bool:
    """Whether one of the words is like a pattern ('ct*'), or holds it where it has no sign of one; every word is without any."""
    if pattern is None:
        return True
    wanted = pattern.casefold()
    is_pattern = any(sign in wanted for sign in "*?[")
    return any(fnmatch.fnmatchcase(word, wanted) if is_pattern else wanted in word for word in map(str.casefold, words))


def first_of(words: Sequence[str], count: int, between: str = "; ") -> str:
    """The first of a list, and how many more of `count` there are."""
    more = f", and {count - SHOWN} more" if count > SHOWN else ""
    return f"{between.join(words[:SHOWN])}{more}"


def plain(text: str) -> str:
    """A text in one line, without what cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
