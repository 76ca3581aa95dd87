"""Runs that teach a network to draw what one points at: what commands ask of them."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...imaging.errors import Unavailable
from ...imaging.volume import Grid, Volume
from ...models.catalogue import card
from ...models.interface import Prompt, Promptable, Running
from ...models.load import load_card
from ..folders import Folders
from ..kinds import How, Measured
from .export import export_weights, write_figures
from .fit import PromptRun, fit, read
from .measuring.evaluate import courses
from .measuring.report import Report, tables
from .measuring.tasks import tasks

__all__ = ["evaluate", "evaluate_together", "export", "export_together", "fit", "read"]
log = logging.getLogger(__name__)
GOALS = {2: ((3, 0.75), (10, 0.85)), 3: ((5, 0.80),)}  # Dice after so many interactions on unseen sets; ours
REGION = {2: (512, 512, 1), 3: (128, 128, 128)}  # of the scan a later click is timed on


def evaluate(run: PromptRun, folders: Folders, how: How) -> Measured:
    """A network and its rivals on unseen sets: the run's averaged weights, or the exported ones without a run."""
    with tempfile.TemporaryDirectory() as temporary:
        where = folders.weights
        if folders.checkpoint(run.name).exists():
            where = Path(temporary)
            export_weights(run, replace(folders, weights=where))
        network = load_card(card(run.name, folder=where), Running(threads=how.threads), where)
    found = []
    for source, count in run.unseen.items():
        chosen = tasks(source, folders.data, count)[:: how.every]
        for task in chosen:
            found += list(courses(task, network))
        log.info("%s: %d structures", source, len(chosen))
    report = Report(
        run.name,
        run.dims,
        tuple(found),
        run.unseen_modality,
        GOALS[run.dims],
        warm_ms(network, run.dims),
        torch.get_num_threads(),
        how.every,
    )
    return Measured(tables(report), report)


def warm_ms(network: Promptable, dims: int) -> float:
    """Milliseconds of a later click, median of five."""
    shape = REGION[dims]
    array = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    volume = Volume(array, Grid(shape, np.eye(4)), "mr")
    features = network.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    prompts = [Prompt("point", at=tuple(side // 2 for side in shape))]
    last, seconds = network.decode(features, prompts).logits, []
    for number in range(5):
        prompts.append(Prompt("point", number % 2 == 0, at=(shape[0] // 2 + 5 * number, shape[1] // 2, shape[2] // 2)))
        started = time.perf_counter()
        last = network.decode(features, prompts, last).logits
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))


def export(run: PromptRun, measured: Measured, folders: Folders) -> Path:
    """Half-precision weights, facts, card and report; without a run here the figures of the weights there are written anew."""
    weights = folders.weights / f"{run.name}.safetensors"
    if folders.checkpoint(run.name).exists():
        weights = export_weights(run, folders)
    write_figures(run, measured.found, folders)
    return weights


def evaluate_together(runs: Sequence[PromptRun], folders: Folders, how: How) -> Measured:
    """Several networks, one after the other; those that are not here are left out.

    Raises:
        Unavailable: none is here.
    """
    found, missing = {}, []
    for run in runs:
        try:
            found[run.name] = evaluate(run, folders, how)
        except Unavailable as error:
            log.info("%s", error)
            missing.append(str(error))
    if not found:
        raise Unavailable(" ".join(missing))
    return Measured("\n\n".join(one.text for one in found.values()), found)


def export_together(runs: Sequence[PromptRun], measured: Measured, folders: Folders) -> list[Path]:
    """Every network that was measured."""
    return [export(run, measured.found[run.name], folders) for run in runs if run.name in measured.found]
