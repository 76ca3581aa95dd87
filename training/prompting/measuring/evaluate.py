"""How well a network draws what is pointed at, round by round, beside what needs no training.

The same made-up person asks everybody: it clicks into the middle of the largest error of the answer it got. Each
method gets its own corrections, since what is wrong differs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....imaging.volume import BoolArray, Grid, Volume
from ....models.interface import Prompt, Promptable
from ..marks.simulation import box, error_click
from .rivals import RIVALS, Rival
from .tasks import Task

SHOWN = (1, 3, 5, 10)  # interactions after which Dice is told
NETWORK = "network"
MOST = 64_000  # voxels rivals see of a scan; more takes them minutes
ROOM = 8  # voxels around a structure that rivals see in a scan
Answer = Callable[[Sequence[Prompt]], BoolArray]


@dataclass(frozen=True)
class Course:
    """One method on one structure.

    Attributes:
        begun: "clicks", "box" or "human scribbles": what the first interaction was; the others are clicks.
        dice: after each of `SHOWN`.
        seconds: of a later answer, median; the first one prepares.
    """

    method: str
    begun: str
    source: str
    modality: str
    patient: str
    dice: tuple[float, ...]
    seconds: float


def courses(
    task: Task, network: Promptable, *, rivals: Mapping[str, Rival] = RIVALS, most: int = max(SHOWN)
) -> Iterator[Course]:
    """Every method on one structure, begun with a click and with what each human reader drew; the network with a box, too."""
    starts: list[tuple[str, Sequence[Prompt]]] = [("clicks", ()), ("box", (box(task.mask, np.random.default_rng(0)),))]
    starts += [("human scribbles", drawn) for drawn in task.strokes]
    for begun, first in starts:
        methods: dict[str, Answer] = {NETWORK: _drawer(network, task)}
        if begun != "box":
            methods |= {name: _fixed(rival, task) for name, rival in rivals.items()}
        for name, answer in methods.items():
            dice, seconds = rounds(task.mask, answer, first, most)
            shown = tuple(dice[number - 1] for number in SHOWN if number <= most)
            yield Course(name, begun, task.source, task.modality, task.patient, shown, seconds)


def rounds(truth: BoolArray, answer: Answer, first: Sequence[Prompt], most: int) -> tuple[list[float], float]:
    """Dice after each interaction, and the median seconds of an answer but the first."""
    prompts, drawn = list(first), np.zeros_like(truth)
    dice, seconds = [], []
    for number in range(most):
        if number or not first:
            more = error_click(truth, drawn)
            prompts += [more] if more is not None else []
        started = time.perf_counter()
        drawn = answer(tuple(prompts))
        seconds.append(time.perf_counter() - started)
        dice.append(overlap(truth, drawn))
    return dice, float(np.median(seconds[1:] or seconds))


def overlap(truth: BoolArray, drawn: BoolArray) -> float:
    """Dice of a mask that is not empty."""
    return float(2 * (truth & drawn).sum() / (truth.sum() + drawn.sum()))


def _drawer(network: Promptable, task: Task) -> Answer:
    """The network on a picture, each answer going on from the last."""
    array = task.image if task.image.ndim == 3 else task.image[..., None]
    volume = Volume(array, Grid(array.shape, np.eye(4), spacing_known=False), "mr")
    features = network.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    last: list[object] = [None]

    def answer(prompts: Sequence[Prompt]) -> BoolArray:
        drawn = network.decode(
            features, [_deepened(one) for one in prompts] if task.image.ndim == 2 else prompts, last[0]
        )
        last[0] = drawn.logits
        return drawn.array if task.image.ndim == 3 else drawn.array[..., 0]

    return answer


def _deepened(prompt: Prompt) -> Prompt:
    """A prompt of a picture in a scan of one slice."""
    if prompt.kind == "point":
        return Prompt("point", prompt.positive, at=(*prompt.at, 0))
    if prompt.kind == "box":
        return Prompt("box", prompt.positive, box=(*prompt.box, (0, 1)))
    assert prompt.array is not None
    return Prompt(prompt.kind, prompt.positive, array=prompt.array[..., None])


def _fixed(rival: Rival, task: Task) -> Answer:
    """A rival; in a scan it works in the structure's own box and `ROOM` voxels around, which helps it and spares minutes."""
    grey = (task.image / 255).astype(np.float32)
    if task.image.ndim == 2:
        return lambda prompts: rival(grey, prompts)
    taken = np.argwhere(task.mask)
    low = np.maximum(taken.min(0) - ROOM, 0)
    window = tuple(slice(int(a), int(b) + ROOM + 1) for a, b in zip(low, taken.max(0), strict=True))
    step = max(1, math.ceil((grey[window].size / MOST) ** (1 / 3)))
    coarse = grey[window][::step, ::step, ::step]

    def answer(prompts: Sequence[Prompt]) -> BoolArray:
        whole = np.zeros_like(task.mask)
        drawn = rival(coarse, [_shifted(one, low, step) for one in prompts])
        finer = drawn.repeat(step, 0).repeat(step, 1).repeat(step, 2)
        whole[window] = finer[tuple(slice(0, side) for side in grey[window].shape)]
        return whole

    return answer


def _shifted(prompt: Prompt, low: npt.NDArray[np.int_], step: int) -> Prompt:
    return Prompt("point", prompt.positive, at=tuple(int(one) for one in (np.array(prompt.at) - low) // step))
