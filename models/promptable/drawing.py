"""A mask drawn step by step from what was pointed at: the same steps give the same mask, on any worker. Torch-free.

Each step goes on from the mask and the logits of the one before, so that a worker which has lost them draws the steps before again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...imaging.volume import BoolArray, Volume
from ..interface import Clicks, Features, NotUnderstood, Prompt, Promptable
from .adapting import adapted
from .carrying import draw_slices
from .steps import Step, prompt_of, prompts_of, settled


@dataclass(frozen=True)
class Drawn:
    """A mask after some steps.

    Attributes:
        logits: of the network, to go on from; opaque.
        iou: as `interface.Drawing`.
        notes: of the last step.
    """

    array: BoolArray
    logits: object = field(default=None, repr=False, compare=False)
    iou: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What is to be drawn.

    Attributes:
        key: of the scan, the model and where it starts.
        start: the mask to start from; None for none.
        steps: all of them, the last one new.
    """

    volume: Volume
    key: str
    start: BoolArray | None
    steps: tuple[Step, ...]


Draw = Callable[[Drawn, tuple[Step, ...]], Drawn]
"""Gives the mask after some steps from the one before the last of them."""


def draw_with(predictor: Promptable, features: Features, asked: Asked) -> Draw:
    """How a network draws a step."""

    def draw(before: Drawn, steps: tuple[Step, ...]) -> Drawn:
        marks, _ = settled([mark for step in steps for mark in step.marks])
        if not marks:  # nothing is left that would be asked; see `settled`
            return Drawn(before.array, before.logits)
        told, notes = adapted(marks, predictor.takes, predictor.card.name)
        if asked.start is not None and "mask" not in predictor.takes:
            raise NotUnderstood(f"'{predictor.card.name}' cannot start from a mask. Choose another model.")
        if getattr(predictor, "by_slices", False):
            fresh = {mark.extent for mark in steps[-1].marks}
            drawing = draw_slices(
                predictor, features, asked.volume, before.array, before.logits, told, fresh, steps[-1].slab
            )
        else:
            given = prompts_of(told, asked.volume.grid.shape)
            given = given if asked.start is None else [Prompt("mask", array=asked.start), *given]
            # Where a step was kept to a slice, so is what goes on from it.
            going_on = getattr(predictor, "going_on", None)
            last = before.logits if going_on is None else going_on(before.logits, before.array)
            drawing = predictor.decode(features, given, last)
        array = _inside(before.array, drawing.array, drawing.seen)
        array = _within(before.array, array, steps[-1])
        return Drawn(array, drawing.logits, drawing.iou, (*notes, *drawing.notes))

    return draw


def click_with(clicks: Clicks, asked: Asked, cancelled: Callable[[], bool]) -> Draw:
    """How a server that is clicked at draws a step: every prompt in its order, as it remembers those before."""
    shape = asked.volume.grid.shape

    def draw(before: Drawn, steps: tuple[Step, ...]) -> Drawn:
        prompts = [] if asked.start is None else [Prompt("mask", array=asked.start)]
        prompts += [prompt_of(mark, shape) for step in steps for mark in step.marks]
        array = clicks.click(
            asked.volume, asked.key, prompts, progress=lambda share, message: None, cancelled=cancelled
        )
        return Drawn(_within(before.array, array.copy(), steps[-1]))

    return draw


def _inside(before: BoolArray, after: BoolArray, seen: tuple[tuple[int, int], ...]) -> BoolArray:
    """What was drawn where the network looked, and what was there before elsewhere."""
    if not seen or all(low == 0 and high == n for (low, high), n in zip(seen, after.shape, strict=True)):
        return after
    where = tuple(slice(low, high) for low, high in seen)
    whole = before.copy()
    whole[where] = after[where]
    return whole


def _within(before: BoolArray, after: BoolArray, step: Step) -> BoolArray:
    """What was drawn in the slices that may change, and what was there before elsewhere."""
    if step.slab is None:
        return after
    axis, low, high = step.slab
    where = tuple(slice(low, high) if n == axis else slice(None) for n in range(3))
    whole = before.copy()
    whole[where] = after[where]
    return whole
