"""ConText: whether a mention is affirmed, negated, uncertain, hypothetical, in the past or about somebody else.

Our own implementation after the published description; the phrases are in `context_rules.tsv`.
medspacy, the usual library, was tried: on Python 3.11 beside NumPy 2 it asks for thirty more
packages, among them a spaCy built for NumPy 1.

Source: Harkema et al. 2009, J Biomed Inform 42:839 (ConText); Chapman et al. 2001, J Biomed
Inform 34:301 (NegEx: pre- and post-triggers, pseudo-triggers, termination).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from .lexicon import Phrases, context_rules

Presence = Literal["present", "absent", "possible", "hypothetical", "historical", "family"]
# The stronger says more about the mention: a hypothetical mass is not a possible one.
_STRENGTH: tuple[Presence, ...] = ("family", "hypothetical", "historical", "absent", "possible")
_REACH = 12  # words a trigger reaches; NegEx used 5, ConText the whole sentence


@cache
def _triggers() -> Phrases[tuple[str, str]]:
    return Phrases((phrase, (category, direction)) for phrase, category, direction in context_rules())


def presence_of(words: Sequence[str], first: int, last: int) -> Presence:
    """What the sentence says about the mention in words `first` up to and without `last`."""
    found: set[str] = set()
    triggers = _triggers().find(words)
    for trigger in triggers:
        category, direction = trigger.value
        if direction == "none":
            continue
        if direction == "forward" and trigger.first < first:
            between = (trigger.last, first)
        elif direction == "backward" and trigger.last > last:
            between = (last, trigger.first)
        else:
            continue
        cut = any(t.value[0] == "terminate" and between[0] <= t.first < between[1] for t in triggers)
        if not cut and between[1] - between[0] <= _REACH:
            found.add("absent" if category == "negated" else category)
    for kind in _STRENGTH:
        if kind in found:
            return kind
    return "present"
