"""Trying an engine that draws from clicks: a click where it is most wrong, again and again. Measures, promises nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray, Volume
from ...models.interface import Clicks, Prompt

ROUNDS = 5  # clicks on each structure


def click_through(
    predictor: Clicks, volume: Volume, truth: Mapping[str, BoolArray], report: Callable[[float, str], None]
) -> dict[str, list[float]]:
    """Structure -> Dice after each click."""
    found: dict[str, list[float]] = {}
    for number, (structure, wanted) in enumerate(truth.items()):
        mask: BoolArray = np.zeros_like(wanted)
        prompts: list[Prompt] = []
        found[structure] = []
        for turn in range(ROUNDS):
            report(0.05 + 0.9 * (number + turn / ROUNDS) / len(truth), f"{structure}, click {turn + 1}")
            prompts.append(next_click(mask, wanted))
            mask = predictor.click(
                volume, f"check {structure}", prompts, progress=lambda share, message: None, cancelled=lambda: False
            )
            found[structure].append(dice(mask, wanted))
            if np.array_equal(mask, wanted):
                break
    return found


def next_click(mask: BoolArray, wanted: BoolArray) -> Prompt:
    """A click in the middle of the larger error: what is missed gets a positive one, what is too much a negative one."""
    missed, extra = wanted & ~mask, mask & ~wanted
    worst, positive = (missed, True) if missed.sum() >= extra.sum() else (extra, False)
    inside = ndimage.distance_transform_edt(np.pad(worst, 1))[1:-1, 1:-1, 1:-1]
    x, y, z = np.unravel_index(int(np.argmax(inside)), worst.shape)
    return Prompt("point", positive, at=(int(x), int(y), int(z)))
