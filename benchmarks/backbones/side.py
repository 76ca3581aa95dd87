"""One backbone taught for a while and measured, in a process of its own; prints JSON.

python -m ostensor.benchmarks.backbones.side '{"backbone": "unet", "task": "hippocampus", ...}'
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...imaging.masks.dice import dice
from ...models.backbones.table import backbone
from ...models.inference.hardware import peak_mb
from ...models.language.satmini.predictor import SatMiniPredictor
from ...training.cases import Case
from ...training.runs import read_run
from ...training.segmenting.config import RunConfig, network_of
from ...training.segmenting.evaluate import card_of_run
from ...training.segmenting.fit import objective_of
from ...training.segmenting.streams import stream_of
from ...training.trainer import Schedule, Trainer

FIRST = 6  # steps that tell how long one takes; the first two of them are not counted
LEARNING_RATE = 1e-3  # for all; ours
WARM_UP = 20


@dataclass(frozen=True)
class Side:
    """What a process is asked.

    Attributes:
        task: a bundled configuration that gives data, preparation and views.
        minutes: of processor time for training.
        cases: at most so many held-out ones are measured.
    """

    backbone: str
    task: str
    seed: int
    minutes: float
    cases: int
    data: str


def measure(side: Side) -> dict[str, Any]:
    """Train for the minutes, then Dice and seconds on held-out cases; one thread, float32."""
    torch.set_num_threads(1)
    plan = plan_of(side)
    with tempfile.TemporaryDirectory() as folder:
        step_s = _train(replace(plan, schedule=replace(plan.schedule, steps=FIRST)), side, Path(folder) / "first")[1]
        steps = max(FIRST, int(60 * side.minutes / step_s))
        weights, step_s = _train(
            replace(plan, schedule=replace(plan.schedule, steps=steps)), side, Path(folder) / "whole"
        )
    trained_mb = peak_mb()
    net = network_of(plan)
    net.load_state_dict(weights)
    predictor = SatMiniPredictor(net, plan.preparation, card_of_run(plan), backend="torch", precision="fp32", threads=1)
    tested = [case for dataset in plan.tests for case in dataset.cases(Path(side.data), "test")]
    scores, patients, seconds = _scores(predictor, plan, _chosen(tested, side.cases))
    return {
        "parameters": sum(value.numel() for value in net.parameters()),
        "steps": steps,
        "step_s": step_s,
        "dice": scores,
        "patients": patients,
        "case_s": seconds,
        "peak_mb": trained_mb,
    }


def plan_of(side: Side) -> RunConfig:
    """The run of a task with this backbone at its tiny size, taught a fixed list; views are made to fit the network."""
    given: RunConfig = read_run(side.task)[1]
    row = backbone(side.backbone)
    dims = given.network.dims
    with torch.device("meta"):
        net = row.build(dims, 1, len(given.structures), {})
    sides = [
        max(math.ceil(one / by), math.ceil(least / by)) * by
        for one, by, least in zip(given.view.patch, net.divisor, net.minimum, strict=True)
    ]
    text = (
        f'extends = "{side.task}"\nname = "{side.backbone}-{side.task}"\nobjective = "supervised"\nviews = []\n'
        f'[network]\ndims = {dims}\nbackbone = "{side.backbone}"\n[view]\npatch = {sides}\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.toml"
        path.write_text(text, encoding="utf-8")
        plan: RunConfig = read_run(str(path))[1]
    schedule = Schedule(
        FIRST, LEARNING_RATE, warm_up=WARM_UP, ema=0.98, bf16=False, save_every=1_000_000, seed=side.seed
    )
    return replace(plan, schedule=schedule)


def _train(plan: RunConfig, side: Side, folder: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The averaged weights, and processor seconds of a step, data included."""
    torch.manual_seed(side.seed)
    trainer = Trainer(network_of(plan), objective_of(plan), plan.schedule, folder)
    stream, _ = stream_of(plan, Path(side.data))
    trainer.fit(stream, until=2)
    started = time.process_time()
    trainer.fit(stream)
    return trainer.average, (time.process_time() - started) / (plan.schedule.steps - 2)


def _chosen(cases: Sequence[Case], most: int) -> list[Case]:
    """Cases spread evenly over all."""
    places = np.unique(np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int))
    return [cases[n] for n in places]


def _scores(
    predictor: SatMiniPredictor, plan: RunConfig, cases: Sequence[Case]
) -> tuple[list[float], list[str], float]:
    """Mean Dice over the structures each case shows, whose patients they are, and processor seconds of a case."""
    scores, patients, seconds = [], [], []
    structures = list(plan.structures)
    for case in cases:
        assert case.volume is not None
        started = time.process_time()
        features = predictor.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
        found = predictor.decode(features, structures)
        seconds.append(time.process_time() - started)
        truths = [np.isin(case.labels, plan.structures[one.structure]) for one in found]
        shown = [dice(one.array, truth) for one, truth in zip(found, truths, strict=True) if truth.any()]
        if shown:
            scores.append(float(np.mean(shown)))
            patients.append(case.patient)
    return scores, patients, float(np.median(seconds))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Side(**json.loads(sys.argv[1])))))
