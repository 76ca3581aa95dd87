"""`ostensor fit CONFIG`: from a TOML file and the data folder to a checkpoint and a log."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from ...imaging.guards.atomic import write_atomically
from ...models.language.satmini.network import SatMini
from ..folders import Folders
from ..kinds import How
from ..objective import LABELLED, UNLABELLED, Objective
from ..regimes.row import Lesson
from ..regimes.table import objective_row
from ..runlog import read_log
from ..start import FIRST, bundled_weights, widened
from ..trainer import Trainer
from .config import RunConfig, network_of
from .streams import streams_of

log = logging.getLogger(__name__)


def fit(plan: RunConfig, folders: Folders, how: How) -> Path:
    """Train a run and answer its run folder."""
    objective = objective_of(plan)
    streams = streams_of(plan, folders.data, objective.streams)
    torch.manual_seed(plan.schedule.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    trainer = Trainer(network_of(plan), objective, plan.schedule, folders.runs / plan.name, device=how.device)
    if how.resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    elif plan.start:
        _load_bundled(trainer, plan.start)
    trainer.fit(streams.by_name, until=how.until)
    write_record(trainer, plan, streams.cases)
    return trainer.folder


def _load_bundled(trainer: Trainer, name: str) -> None:
    given = {**trainer.model.state_dict(), **bundled_weights(name)}
    if isinstance(trainer.model, SatMini):
        given[FIRST] = widened(given[FIRST], trainer.model.config.channels)
    trainer.model.load_state_dict(given)
    trainer.average = {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def objective_of(plan: RunConfig) -> Objective:
    """What the run optimises."""
    absent = sorted({name for source in plan.sources for name in source.dataset.absent})
    return objective_row(plan.objective).objective(Lesson(plan.structures, absent, plan.options))


def write_record(trainer: Trainer, plan: RunConfig, cases: Mapping[str, Mapping[str, int]]) -> None:
    """Write `run.json`: what was learned from what, how long it took and where.

    Args:
        cases: stream -> data set -> how many.
    """
    row = objective_row(plan.objective)
    columns = read_log(trainer.folder / "log.csv")
    record = {
        "name": plan.name,
        "objective": trainer.objective.name,
        "paper": trainer.objective.paper,
        "start": plan.start or "random",
        "fidelity": row.fidelity,
        "deviations": list(row.deviations),
        "cases": dict(cases[LABELLED]),
        **({"unlabelled_cases": dict(cases[UNLABELLED])} if UNLABELLED in cases else {}),
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "schedule": asdict(plan.schedule),
        "steps": trainer.step,
        "cpu_hours": round(sum(columns["cpu_s"]) / 3600, 2),
        "device": str(trainer.device),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "last_losses": {
            name: round(float(np.mean(values[-50:])), 4)
            for name, values in columns.items()
            if name not in ("step", "lr", "cpu_s")
        },
    }
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(trainer.folder / "run.json", lambda file: file.write(text.encode()))
