"""Runs that teach survival: what commands ask of them."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from ..kinds import How, Measured
from .export import export_run, run_table
from .fit import fit
from .plan import PrognosisConfig, read

__all__ = ["evaluate", "export", "fit", "read"]


def evaluate(run: PrognosisConfig, folders: Folders, how: How) -> Measured:
    """The cross-validation the run left behind; fitting makes it, so there is nothing to ask `how`."""
    return Measured(run_table(folders.runs / run.name, run.name), None)


def export(run: PrognosisConfig, measured: Measured, folders: Folders) -> Path:
    """Weights and facts where the tool finds them, and the card anew; the figures are in the run folder."""
    return export_run(run.name, runs=folders.runs, weights=folders.weights)
