"""Tables of how well networks draw what is pointed at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...scores import patient_interval
from .evaluate import NETWORK, SHOWN, Course
from .rivals import RIVALS

METHODS = (NETWORK, *RIVALS)


@dataclass(frozen=True)
class Report:
    """What was measured of one network.

    Attributes:
        every: every so many structures were looked at.
        warm_ms: median time of a later click on a fresh picture of 512 x 512 (2-D) or a region of 128 cubed, as `threads` say.
    """

    name: str
    dims: int
    courses: tuple[Course, ...]
    modality: str
    goals: tuple[tuple[int, float], ...]
    warm_ms: float
    threads: int
    every: int = 1

    @property
    def command(self) -> str:
        """The command line that gives the tables again."""
        return f"ostensor eval {self.name}" + (f" --every {self.every}" if self.every > 1 else "")

    def chosen(self, method: str, begun: str, holds: Callable[[Course], bool] = lambda one: True) -> list[Course]:
        """Courses of a method begun in a way."""
        return [one for one in self.courses if one.method == method and one.begun == begun and holds(one)]

    def beats_all(self, begun: str = "clicks") -> list[int]:
        """Interactions after which the network's mean is above every rival's, begun in a way."""
        means = {name: _means(self.chosen(name, begun)) for name in METHODS}
        return [
            number
            for i, number in enumerate(SHOWN)
            if all(means[NETWORK][i] > means[name][i] for name in RIVALS if len(means[name]))
        ]

    def missed(self) -> list[str]:
        """What was aimed at and not reached, a sentence each."""
        means = _means(self.chosen(NETWORK, "clicks"))
        told = [
            f"Aimed at Dice {goal:.2f} after {number} interactions on unseen sets and reached {means[SHOWN.index(number)]:.3f}."
            for number, goal in self.goals
            if means[SHOWN.index(number)] < goal
        ]
        for begun in ("clicks", "human scribbles"):
            lost = [number for number in SHOWN if number not in self.beats_all(begun)]
            if lost and self.chosen(NETWORK, begun):
                told.append(f"Begun with {begun}, a rival is better after {', '.join(map(str, lost))} interactions.")
        return told


def _means(courses: Sequence[Course]) -> Any:
    return np.array([one.dice for one in courses]).mean(axis=0) if courses else np.array([])


def tables(report: Report) -> str:
    """Markdown: methods on unseen sets, the unseen modality, other beginnings, and the network set by set."""
    unseen = [
        ("unseen sets", "clicks", lambda one: True),
        (f"unseen modality ({report.modality})", "clicks", lambda one: one.modality == report.modality),
        ("unseen sets", "box", lambda one: True),
        ("medscribble", "human scribbles", lambda one: True),
    ]
    lines = [
        f"### `{report.name}` and its rivals",
        "",
        f"`{report.command}`:",
        "",
        f"| tested on | begun with | method | structures | {' | '.join(f'after {n}' for n in SHOWN)} | seconds |",
        f"|{'---|' * (5 + len(SHOWN))}",
    ]
    for tested, begun, holds in unseen:
        for method in METHODS:
            found = report.chosen(method, begun, holds)
            if found:
                lines.append(
                    f"| {tested} | {begun} | {method} | {_row(found)} | {np.median([o.seconds for o in found]):.2f} |"
                )
    lines += [
        "",
        f"### `{report.name}`, set by set",
        "",
        f"| set | modality | structures | {' | '.join(f'after {n}' for n in SHOWN)} |",
    ]
    lines.append(f"|{'---|' * (3 + len(SHOWN))}")
    for source in dict.fromkeys(one.source for one in report.courses):
        found = report.chosen(NETWORK, "clicks", lambda one, source=source: one.source == source)  # type: ignore[misc]  # bound now
        lines.append(f"| {source} | {found[0].modality} | {_row(found, interval=False)} |")
    size = "picture of 512 x 512" if report.dims == 2 else "region of 128 cubed"
    lines += ["", f"A later click on a {size} takes {report.warm_ms:.0f} ms here ({report.threads} threads)."]
    lines += ["", *(report.missed() or ["Every goal was reached."])]
    return "\n".join(lines)


def _row(courses: Sequence[Course], *, interval: bool = True) -> str:
    values = np.array([one.dice for one in courses])
    patients = [f"{one.source}/{one.patient}" for one in courses]
    cells = []
    for column in values.T:
        low, high = patient_interval(column, patients)
        cells.append(f"{column.mean():.3f}" + (f" ({low:.3f} to {high:.3f})" if interval else ""))
    return f"{len(courses)} | {' | '.join(cells)}"
