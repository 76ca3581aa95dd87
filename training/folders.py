"""Where training reads and writes. Commands say it; nothing below them looks it up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """The folders of one command.

    Attributes:
        data: holds the data sets, each in a folder of its own.
        runs: every run has its folder in it.
        weights: exported weights, their facts and cards go there.
        shelf: the same of networks whose name is the user's own; `weights` where None.
        docs: reports in Markdown go there.
    """

    data: Path
    runs: Path
    weights: Path
    docs: Path
    shelf: Path | None = None

    def checkpoint(self, run: str) -> Path:
        """Where a run of this name keeps its state."""
        return self.runs / run / "checkpoint.pt"
