"""Runs that teach a SAM or SAM 2 a fixed list of structures: what commands ask of them."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from ..kinds import How, Measured
from ..segmenting.evaluate import write_table
from .export import measure, write
from .fit import fit
from .run import FinetuneRun, read

__all__ = ["evaluate", "export", "fit", "read"]


def evaluate(run: FinetuneRun, folders: Folders, how: How) -> Measured:
    """Dice on held-out patients, beside the copied atlas."""
    del how
    scores = measure(run, folders)
    return Measured(write_table(scores), scores)


def export(run: FinetuneRun, measured: Measured, folders: Folders) -> Path:
    """Half-precision weights, facts and card."""
    return write(run, measured.found, folders)
