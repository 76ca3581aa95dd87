"""Runs that teach a network sentences: what commands ask of them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..folders import Folders
from ..kinds import How, Measured
from .export import export_weights, measure, tables, write_cards, write_docs
from .fit import ReferringRun, fit, read

__all__ = ["evaluate", "evaluate_together", "export", "export_together", "fit", "read"]
log = logging.getLogger(__name__)


def evaluate(run: ReferringRun, folders: Folders, how: How) -> Measured:
    """A network on held-out slices, beside the SAT-minis: the run's averaged weights, or the exported ones without a run."""
    return evaluate_together([run], folders, how)


def evaluate_together(runs: Sequence[ReferringRun], folders: Folders, how: How) -> Measured:
    """Several networks in one table."""
    trained = [run for run in runs if folders.checkpoint(run.name).exists()]
    with tempfile.TemporaryDirectory() as temporary:
        there = replace(folders, weights=Path(temporary))
        for run in trained:
            export_weights(run, there)
        where = {run.name: there.weights if run in trained else folders.weights for run in runs}
        report = measure(where, folders, threads=how.threads, thin=how.every, tell=log.info)
    return Measured(tables(report, thin=how.every), (report, how.every))


def export(run: ReferringRun, measured: Measured, folders: Folders) -> Path:
    """Half-precision weights, facts and card; without a run here the figures of the weights there are written anew."""
    weights = folders.weights / f"{run.name}.safetensors"
    if folders.checkpoint(run.name).exists():
        weights = export_weights(run, folders)
    report, thin = measured.found
    write_cards([run], report, folders.weights, thin=thin)
    return weights


def export_together(runs: Sequence[ReferringRun], measured: Measured, folders: Folders) -> list[Path]:
    """Every network that was measured, and the tables of docs/referring.md."""
    report, thin = measured.found
    written = [export(run, measured, folders) for run in runs if run.name in report.slices]
    write_docs(report, folders.docs / "referring.md", thin=thin)
    return written
