"""Runs that teach a network structures: what commands ask of them."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from ..kinds import How, Measured
from . import evaluate as measuring
from . import export as exporting
from .config import RunConfig, read
from .fit import fit

__all__ = ["evaluate", "export", "fit", "read"]


def evaluate(run: RunConfig, folders: Folders, how: How) -> Measured:
    """Dice on held-out patients, beside the copied atlas."""
    scores = measuring.evaluate(run, folders, threads=how.threads)
    lines = ["| structure | tested on | cases | Dice | 95 % interval | copied atlas |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.structure} | {one.dataset} | {one.cases} | {one.dice:.3f} | {one.low:.3f} to {one.high:.3f} | {one.atlas:.3f} |"
        for one in scores
    ]
    return Measured("\n".join(lines), scores)


def export(run: RunConfig, measured: Measured, folders: Folders) -> Path:
    """Half-precision weights, facts and card."""
    return exporting.write(run, measured.found, folders)
