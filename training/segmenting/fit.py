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

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...models.language.satmini.engine import Segmenter
from ...models.language.satmini.fixed_classes import FixedClasses
from ...models.language.satmini.network import SatMini
from ..data.datasets import APPEARANCES
from ..folders import Folders
from ..kinds import How
from ..objective import Batch, Objective
from ..regimes.fair.groups import number_groups, read_groups
from ..regimes.fair.turns import in_turn, with_cases
from ..regimes.row import Lesson
from ..regimes.table import objective_row
from ..regimes.tuning.adapted import Adapted
from ..runlog import read_log
from ..sampling import Ready, draw, make_ready
from ..start import FIRST, averaged_weights, bundled_weights, carry_, heads_of, widened
from ..trainer import Stream, Trainer
from .config import RunConfig, network_of

log = logging.getLogger(__name__)


def fit(plan: RunConfig, folders: Folders, how: How) -> Path:
    """Train a run and answer its run folder."""
    torch.manual_seed(plan.schedule.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    net = network_of(plan)
    if not (how.resume and folders.checkpoint(plan.name).exists()):
        begin_(net, plan, folders)
    trainer = Trainer(net, objective_of(plan), plan.schedule, folders.runs / plan.name, device=how.device)
    if how.resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    stream, counts = stream_of(plan, folders.data) if plan.groups is None else grouped_stream(plan, folders.data)
    trainer.fit(stream, until=how.until)
    write_record(trainer, plan, counts)
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


def stream_of(plan: RunConfig, data: Path) -> tuple[Stream, dict[str, int]]:
    """Batches of random views of the training cases, a function of (step, part) only; and cases per data set."""
    counts: dict[str, int] = {}
    pools: list[tuple[list[Ready], list[Ready], str, dict[int, int]]] = []
    for source in plan.sources:
        cases = source.dataset.cases(data, "train")
        ready = [
            item
            for case in cases
            for item in make_ready(
                case, plan.preparation, as_slices=plan.network.dims == 2, neighbours=plan.network.neighbours
            )
        ]
        if not ready:
            raise BadCall(f"The data set '{source.dataset.name}' has no training cases. Check its folder.")
        counts[source.dataset.name] = len(cases)
        real = [item for item in ready if item.image is not None]
        made = [item for item in ready if item.image is None]
        if made and plan.network.neighbours:
            raise BadCall(
                f"'{source.dataset.name}' has label maps without images, whose pictures have no neighbours. Set neighbours = 0."
            )
        pools.append((real, made, source.dataset.name, dict(source.dataset.mirrored)))
    weights = np.array([source.weight for source in plan.sources])
    weights = weights / weights.sum()

    def batch(step: int, part: int) -> Batch:
        images, labels, along = [], [], []
        for item in range(plan.batch):
            rng = np.random.default_rng([plan.schedule.seed, step, part, 2, item])
            real, made, name, mirrored = pools[int(rng.choice(len(pools), p=weights))]
            pool = real if not made or (real and rng.random() < plan.real_share) else made
            chosen = pool[int(rng.integers(len(pool)))]
            image, label = draw(chosen, plan.view, rng, mirrored, APPEARANCES.get(name))
            images.append(image)
            labels.append(label)
            along += [] if chosen.along is None else [chosen.along]
        return Batch(torch.stack(images), torch.stack(labels), along=torch.tensor(along) if along else None)

    return batch, counts


def grouped_stream(plan: RunConfig, data: Path) -> tuple[Stream, Mapping[str, int]]:
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
    return in_turn(streams, plan.batch), {name: len(cases) for name, cases in every.items()}


def write_record(trainer: Trainer, plan: RunConfig, counts: Mapping[str, int]) -> None:
    """Write `run.json`: what was learned from what, how long it took and where."""
    columns = read_log(trainer.folder / "log.csv")
    record = {
        "name": plan.name,
        "objective": trainer.objective.name,
        "paper": trainer.objective.paper,
        "start": plan.start or plan.start_run or "random",
        "cases": dict(counts),
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
