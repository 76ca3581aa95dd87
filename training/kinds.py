"""What every kind of training run offers, and how it is asked to go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .configuration import Configuration
from .folders import Folders


@dataclass(frozen=True)
class How:
    """How a run is to go, as the command says it.

    Attributes:
        device: "cpu" or "cuda".
        resume: go on from the run's checkpoint when there is one.
        until: stop after this many steps; the schedule stays. A cross-validation knows no steps and is done whole.
        threads: of the processor, for measuring; None takes all.
        every: look at every so many held-out slices only.
    """

    device: str = "cpu"
    resume: bool = True
    until: int | None = None
    threads: int | None = None
    every: int = 1


@dataclass(frozen=True)
class Measured:
    """What measuring a run gave.

    Attributes:
        text: Markdown tables for people.
        found: the kind's own scores, for its `export`.
    """

    text: str
    found: Any


class Kind(Protocol):
    """A module that knows one kind of run."""

    def read(self, given: Configuration) -> Any:
        """The run as a frozen dataclass with `name` and `schedule`; KeyError, TypeError and ValueError become BadCall."""

    def fit(self, run: Any, folders: Folders, how: How) -> Path:
        """Train it and answer its run folder."""

    def evaluate(self, run: Any, folders: Folders, how: How) -> Measured:
        """Measure it on held-out data."""

    def export(self, run: Any, measured: Measured, folders: Folders) -> Path:
        """Write what users load into `folders.weights`, with its card; answers the main file."""
