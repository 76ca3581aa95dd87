"""Which prompts a made-up person gives first, and how they correct an answer. Torch-free."""

from __future__ import annotations

import numpy as np

from ....imaging.volume import BoolArray
from ....models.interface import Prompt
from . import simulation, strokes

MOST = 3  # prompts of a sort and side in a round; Source: ScribblePrompt
ONE = 0.35  # chance of a single click: a beginning at the structure's centre, a correction at that of the largest error; ours
NEAR = 0.5  # chance that what is not meant is marked close to the structure; ours


def first(mask: BoolArray, rng: np.random.Generator) -> list[Prompt]:
    """How one begins with a structure: some of box, clicks and scribbles, at least one sort, chosen evenly; or one click.

    Source: ScribblePrompt, round 0: 1 to 3 positive and 0 to 3 negative marks of every sort that is drawn.
    """
    if rng.random() < ONE:
        return [simulation.centre_click(mask, True)]
    chosen = int(rng.integers(1, 8))
    prompts = [simulation.box(mask, rng)] if chosen & 1 else []
    for bit, mark in ((2, _click), (4, strokes.scribble)):
        if chosen & bit:
            prompts += [mark(mask, True, rng) for _ in range(int(rng.integers(1, MOST + 1)))]
            outside = _outside(mask, rng)
            if outside.any():
                prompts += [mark(outside, False, rng) for _ in range(int(rng.integers(0, MOST + 1)))]
    return prompts


def correct(mask: BoolArray, answer: BoolArray, rng: np.random.Generator) -> list[Prompt]:
    """Marks in what an answer misses (meant) or has too much (not meant); one to three, all clicks or all scribbles.

    A chance share is one click at the centre of the largest error, as evaluation does (ours); the rest is
    ScribblePrompt's. Nothing is answered where all is right.
    """
    if rng.random() < ONE:
        best = simulation.error_click(mask, answer)
        return [] if best is None else [best]
    missed, extra = mask & ~answer, answer & ~mask
    prompts: list[Prompt] = []
    clicks = rng.random() < 0.5
    for _ in range(int(rng.integers(1, MOST + 1))):
        sizes = np.array([missed.sum(), extra.sum()], dtype=float)
        if not sizes.sum():
            break
        shares = sizes / sizes.sum() if clicks else (sizes > 0) / (sizes > 0).sum()
        positive = bool(rng.random() < shares[0])
        mark = _click if clicks else strokes.scribble
        prompts.append(mark(missed if positive else extra, positive, rng))
    return prompts


def _click(region: BoolArray, positive: bool, rng: np.random.Generator) -> Prompt:
    return simulation.click(region, positive, rng, simulation.SORTS[int(rng.integers(3))])


def _outside(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Where what is not meant may be marked: anywhere outside, or around the structure."""
    if rng.random() > NEAR:
        return ~mask
    bounds = simulation.box(mask).box
    near = np.zeros_like(mask)
    near[tuple(slice(max(0, a - (b - a) // 2 - 3), b + (b - a) // 2 + 3) for a, b in bounds)] = True
    return near & ~mask
