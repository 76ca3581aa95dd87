"""Which of the true sentences of a slice are taught: drawn by family, then by description, then by wording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .referring import Bool, Family, Referral


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


def draw_referrals(
    fitting: Mapping[Family, Sequence[tuple[str, list[str], Bool]]],
    shares: Mapping[Family, float],
    rng: np.random.Generator,
    count: int,
) -> list[Referral]:
    """So many referrals, of different meaning as long as three draws each find one that was not there yet."""
    drawn: list[Referral] = []
    for _ in range(count):
        tries = [draw_referral(fitting, shares, rng) for _ in range(3)]
        known = {one.key for one in drawn}
        drawn.append(next((one for one in tries if one.key not in known), tries[0]))
    return drawn
