"""Runs that teach what several readers drew: what commands ask of them."""

from __future__ import annotations

from pathlib import Path

from ...imaging.errors import BadCall
from ..folders import Folders
from ..kinds import How, Measured
from .fit import RatersRun, fit, measure, read, table, write

__all__ = ["evaluate", "export", "fit", "read"]
LOOKED_AT = 4  # every so many slices, times what the command says


def evaluate(run: RatersRun, folders: Folders, how: How) -> Measured:
    """Draws of the probabilistic U-Nets against several raters; writes its section of the report."""
    found = measure(run, folders, every=LOOKED_AT * how.every)
    write(run, found, folders.docs / "uncertainty.md")
    return Measured(table(found), found)


def export(run: RatersRun, measured: Measured, folders: Folders) -> Path:
    """Nothing is exported: no tool draws from these networks.

    Raises:
        BadCall: always.
    """
    raise BadCall(f"No tool draws from '{run.name}', so it is not exported. Leave --export out.")
