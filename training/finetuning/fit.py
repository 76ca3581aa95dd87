"""`ostensor fit finetune-sam` and `ostensor fit sss`: from a TOML file and the data folder to a checkpoint and a log."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ...imaging.errors import BadCall
from ...imaging.guards.atomic import write_atomically
from ...models.catalogue import card
from ...models.load import checked_file
from ...models.promptable.sam.weights import load_sam
from ...models.promptable.sam2.weights import load_sam2
from ..folders import Folders
from ..kinds import How
from ..start import averaged_weights
from ..trainer import Trainer
from .methods import method
from .run import FinetuneRun
from .slices import streams_of

log = logging.getLogger(__name__)


def fit(run: FinetuneRun, folders: Folders, how: How) -> Path:
    """Train a run and answer its run folder."""
    torch.manual_seed(run.schedule.seed)
    row = method(run.method)
    net = row.build(run.network)
    if run.start and not (how.resume and folders.checkpoint(run.name).exists()):
        begin_with_(net, run.start)
    objective = row.objective(run.options)
    trainer = Trainer(net, objective, run.schedule, folders.runs / run.name, device=how.device)
    if how.resume and trainer.resume():
        log.info("resuming at step %d", trainer.step)
    streams, counts = streams_of(run, folders.data)
    trainer.fit(streams, until=how.until)
    record = {
        "name": run.name,
        "method": run.method,
        "objective": objective.name,
        "paper": objective.paper,
        "start": run.start or "random",
        "patients": counts,
        "parameters": sum(value.numel() for value in net.parameters()),
        "taught": sum(value.numel() for value in trainer.groups["main"]),
        "schedule": asdict(run.schedule),
        "steps": trainer.step,
        "device": str(trainer.device),
        "fidelity": card(run.method).fidelity,
        "deviations": list(card(run.method).deviations),
    }
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(trainer.folder / "run.json", lambda file: file.write(text.encode()))
    return trainer.folder


def begin_with_(net: Any, start: str) -> None:
    """Take over the weights of a model the user imported.

    Raises:
        Unavailable: they are not here.
        BadCall: they have other sizes than the configuration's network.
    """
    state = load_file(checked_file(card(start)))
    loaded = load_sam2(state, net.size) if start in method("sss").starts else load_sam(state)
    try:
        net.begin_with_(loaded.state_dict())
    except ValueError as error:
        raise BadCall(f"The network cannot begin with '{start}': {error}. Give `[network]` its sizes.") from error


def trained(run: FinetuneRun, folders: Folders) -> Any:
    """The averaged weights of a run, as users get them.

    Raises:
        Unavailable: it has no checkpoint yet.
    """
    row = method(run.method)
    net = row.build(run.network)
    net.load_state_dict(averaged_weights(folders.checkpoint(run.name), run.name, run.name))
    return row.exported(net).eval()
