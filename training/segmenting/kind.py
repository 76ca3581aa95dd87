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
    return Measured(measuring.write_table(scores), scores)


def export(run: RunConfig, measured: Measured, folders: Folders) -> Path:
    """Half-precision weights, facts and card."""
    return exporting.write(run, measured.found, folders)
