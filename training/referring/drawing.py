"""Which of the true sentences of a slice are taught: drawn by family, then by description, then by wording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .pairs import Bool, Family, Referral


def draw_referral(
    fitting: Mapping[Family, Sequence[tuple[str, list[str], Bool]]],
    shares: Mapping[Family, float],
    rng: np.random.Generator,
) -> Referral:
    """One referral: a family by its share among those that fit, then a description, then a wording."""
    families = [family for family in shares if fitting[family]]
    weights = np.array([shares[family] for family in families])
    family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
    key, texts, mask = fitting[family][int(rng.integers(len(fitting[family])))]
    return Referral(texts[int(rng.integers(len(texts)))], family, key, mask)


def draw_opposed(
    fitting: Mapping[Family, Sequence[tuple[str, list[str], Bool]]], rng: np.random.Generator
) -> list[Referral]:
    """Both sides of one pair that is in the slice, by name, in any order; nothing when there is no pair."""
    named = {key: (texts, mask) for key, texts, mask in fitting["anatomy"]}
    pairs = [(key, other) for key in named if (other := key.replace("left ", "right ")) != key and other in named]
    if not pairs:
        return []
    chosen = pairs[int(rng.integers(len(pairs)))]
    order = chosen if rng.random() < 0.5 else chosen[::-1]
    return [
        Referral(named[key][0][int(rng.integers(len(named[key][0])))], "anatomy", key, named[key][1]) for key in order
    ]


def draw_referrals(
    fitting: Mapping[Family, Sequence[tuple[str, list[str], Bool]]],
    shares: Mapping[Family, float],
    rng: np.random.Generator,
    count: int,
    first: Sequence[Referral] = (),
) -> list[Referral]:
    """So many referrals, of different meaning as long as three draws each find one that was not there yet.

    Args:
        first: are among them.
    """
    drawn = list(first)
    for _ in range(count - len(drawn)):
        tries = [draw_referral(fitting, shares, rng) for _ in range(3)]
        known = {one.key for one in drawn}
        drawn.append(next((one for one in tries if one.key not in known), tries[0]))
    return drawn
