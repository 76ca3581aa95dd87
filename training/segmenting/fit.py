"""`ostensor fit CONFIG`: from a TOML file and the data folder to a checkpoint and a log."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ...imaging.guards.atomic import write_atomically
from ...models.language.satmini.engine import Segmenter
from ...models.language.satmini.fixed_classes import FixedClasses
from ...models.language.satmini.network import SatMini
from ..folders import Folders
from ..kinds import How
from ..objective import LABELLED, UNLABELLED, Objective
from ..regimes.fair.groups import number_groups, read_groups
from ..regimes.fair.turns import in_turn, with_cases
from ..regimes.row import Lesson
from ..regimes.table import objective_row
from ..regimes.tuning.adapted import Adapted
from ..runlog import read_log
from ..start import FIRST, averaged_weights, bundled_weights, carry_, heads_of, widened
from ..trainer import Trainer
from .config import RunConfig, network_of
from .streams import Streams, stream_of, streams_of

log = logging.getLogger(__name__)


def fit(plan: RunConfig, folders: Folders, how: How) -> Path:
    """Train a run and answer its run folder."""
    objective = objective_of(plan)
    streams = (
        streams_of(plan, folders.data, objective.streams)
        if plan.groups is None
        else grouped_streams(plan, folders.data)
    )
    torch.manual_seed(plan.schedule.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    net = network_of(plan)
    if not (how.resume and folders.checkpoint(plan.name).exists()):
        begin_(net, plan, folders)
    trainer = Trainer(net, objective, plan.schedule, folders.runs / plan.name, device=how.device)
    if how.resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    trainer.fit(streams.by_name, until=how.until)
    write_record(trainer, plan, streams.cases)
    return trainer.folder


def begin_(net: Segmenter, plan: RunConfig, folders: Folders) -> None:
    """Give an untrained network the weights its run begins with.

    Raises:
        BadCall: the run to begin with has another network.
        Unavailable: there are no such weights.
    """
    if plan.start:
        given = {**net.state_dict(), **bundled_weights(plan.start)}
        if isinstance(net, SatMini):
            given[FIRST] = widened(given[FIRST], net.config.channels)
        net.load_state_dict(given)
    if plan.start_run:
        state = averaged_weights(folders.checkpoint(plan.start_run), plan.start_run, "")
        dropped = heads_of(net.config) if isinstance(net, FixedClasses) and plan.adapters is None else ()
        carry_(net, state, dropped)


def objective_of(plan: RunConfig) -> Objective:
    """What the run optimises."""
    absent = sorted({name for source in plan.sources for name in source.dataset.absent})
    objective = objective_row(plan.objective).objective(Lesson(plan.structures, absent, plan.options))
    return objective if plan.adapters is None else Adapted(objective, plan.adapters)


def grouped_streams(plan: RunConfig, data: Path) -> Streams:
    """The labelled stream of a run with [groups], which draws them in turn; and cases per data set."""
    assert plan.groups is not None
    every = {source.dataset.name: source.dataset.cases(data, "train") for source in plan.sources}
    told = read_groups(data / plan.groups.table, plan.groups.column)
    numbers = number_groups(told, [case.patient for cases in every.values() for case in cases])
    streams = {}
    for number in sorted(set(numbers.values())):
        some = {name: [one for one in cases if numbers[one.patient] == number] for name, cases in every.items()}
        sources = [
            replace(source, dataset=with_cases(source.dataset, some[source.dataset.name]))
            for source in plan.sources
            if some[source.dataset.name]
        ]
        streams[number] = stream_of(replace(plan, sources=tuple(sources), batch=1), data)[0]
    counts = {name: len(cases) for name, cases in every.items()}
    return Streams({LABELLED: in_turn(streams, plan.batch)}, {LABELLED: counts})


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
        "start": plan.start or plan.start_run or "random",
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
