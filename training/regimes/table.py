"""The ways to teach a segmenting network, one row each.

To add one: a module with a function from a `Lesson` to an `Objective`, its row here, a TOML with `objective = "NAME"`,
a test.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...models.rows import row_of
from ..objective import Objective


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
    options: Mapping[str, float]


@dataclass(frozen=True)
class ObjectiveRow:
    """An objective.

    Attributes:
        makes: `module:function` below `ostensor.training`, from a `Lesson` to an `Objective`.
        words: whether the network takes text; else it has one channel per structure on a backbone.
        options: keys a configuration may set, with their defaults.
    """

    name: str
    makes: str
    words: bool
    options: Mapping[str, float] = field(default_factory=dict)

    def objective(self, lesson: Lesson) -> Objective:
        """The objective for a lesson; the options it lacks have their defaults."""
        module, _, function = self.makes.partition(":")
        given = Lesson(lesson.structures, lesson.absent, {**self.options, **lesson.options})
        made: Objective = getattr(importlib.import_module(f"ostensor.training.{module}"), function)(given)
        return made


OBJECTIVES: tuple[ObjectiveRow, ...] = (
    ObjectiveRow("text", "regimes.by_words:teach_words", True, {"negatives": 2, "queries": 0, "balance": 0.0}),
    ObjectiveRow("supervised", "regimes.by_words:teach_channels", False, {"balance": 0.0}),
    ObjectiveRow("structure", "regimes.lossnet:teach_structure", False, {"seen": 0.0, "seed": 0.0}),
    ObjectiveRow(
        "region-tversky", "regimes.region_tversky:teach_regions", False, {"balance": 0.0, "weight": 0.8, "regions": 16}
    ),
)


def objective_row(name: str) -> ObjectiveRow:
    """The row of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(OBJECTIVES, name, "objective")
