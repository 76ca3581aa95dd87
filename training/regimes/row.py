"""What the tables say of a way to learn. Torch-free; a row names its module, which is imported when something is taught."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from ...models.parity import Against

if TYPE_CHECKING:
    from ..objective import Objective

Option = float | str
Fidelity = Literal["own", "structural", "reconstruction"]
"""How near an objective is to the authors': ours or a textbook's; the terms of their code, written anew; made from the paper."""


@dataclass(frozen=True)
class Lesson:
    """What there is to teach.

    Attributes:
        structures: name -> label values.
        absent: structures that are certainly not in the scans.
        options: what the configuration sets for the objective, completed with its defaults.
    """

    structures: Mapping[str, tuple[int, ...]]
    absent: Sequence[str]
    options: Mapping[str, Option]

    def number(self, option: str) -> float:
        """An option that is a number."""
        return float(self.options[option])

    def word(self, option: str) -> str:
        """An option that is a word."""
        return str(self.options[option])


@dataclass(frozen=True)
class ObjectiveRow:
    """An objective.

    Attributes:
        makes: `module:function` below `ostensor.training`, from a `Lesson` to an `Objective`.
        words: whether the network takes text; else it has one channel per structure on a backbone.
        options: keys a configuration may set, with their defaults; where the default is a word, words.
        system: as the world says it; "" where it is no published system.
        number: its place among the published systems of docs/systems.md; 0 where it is none of them.
        source: paper and code it follows.
        fidelity: how near it is.
        deviations: from the source, one in each sentence.
        streams: what it draws from in every step.
        pretext: whether what it teaches is no segmentation, so that a run is only something to start from.
    """

    name: str
    makes: str
    words: bool
    options: Mapping[str, Option] = field(default_factory=dict)
    system: str = ""
    number: int = 0
    source: str = ""
    fidelity: Fidelity = "own"
    deviations: tuple[str, ...] = ()
    streams: tuple[str, ...] = ("labelled",)
    pretext: bool = False

    def objective(self, lesson: Lesson) -> Objective:
        """The objective for a lesson; the options it lacks have their defaults."""
        module, _, function = self.makes.partition(":")
        given = Lesson(lesson.structures, lesson.absent, {**self.options, **lesson.options})
        made: Objective = getattr(importlib.import_module(f"ostensor.training.{module}"), function)(given)
        return made


@dataclass(frozen=True)
class Loss:
    """A loss, or another piece of training, whose official numbers are known.

    Attributes:
        name: whose it is.
        module: below `ostensor.training`; has `reproduce(fixture)`.
        parity: the fixtures `reproduce` understands.
    """

    name: str
    module: str
    parity: tuple[Against, ...]

    def code(self) -> ModuleType:
        """The file that computes it; imports torch."""
        return importlib.import_module(f"ostensor.training.{self.module}")
