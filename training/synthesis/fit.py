"""Runs that teach a network to make images: the TOML file, the slices, the training.

`ostensor fit paint-hippocampus` trains the diffusion model, `paint-hippocampus-pix2pix` its rival on the same data.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...imaging.geometry import reorient_array, resample
from ...imaging.guards.atomic import write_atomically
from ...models.synthesis.networks.denoiser import Denoiser
from ...models.synthesis.networks.gan import Generator
from ...models.synthesis.networks.samplers import Sampler
from ...models.synthesis.scales import Float, Made, to_unit
from ..cases import Case
from ..folders import Folders
from ..kinds import How
from ..objective import Batch, Objective
from ..runlog import read_log
from ..trainer import Stream, Trainer
from .objectives import Denoising, Pix2pix
from .run import Part, Slices, SynthesisRun, padded, work_grid


def slices_of(case: Case, run: SynthesisRun) -> Slices:
    """A labelled scan as slices."""
    assert case.volume is not None
    unit = to_unit(_calibrated(case, run.modality), run.modality)
    labels, grid = case.labels.astype(np.uint8), case.grid
    if run.canonical:
        unit, _ = reorient_array(unit, case.grid, "RAS")
        labels, grid = reorient_array(labels, case.grid, "RAS")
    target = work_grid(grid, run.spacing_mm, run.longest)
    picture = resample(np.ascontiguousarray(unit), grid, target).astype(np.float32)
    on_grid = resample(np.ascontiguousarray(labels), grid, target, order=0)
    return Slices(
        case.patient, case.name, np.ascontiguousarray(picture.transpose(2, 0, 1)),
        run.plan.of_stack(on_grid, run.names), np.ascontiguousarray(on_grid.transpose(2, 0, 1)),
    )  # fmt: skip


def _calibrated(case: Case, modality: Made) -> Any:
    """Values in HU for CT; a slice without unit is put on the scale by its air and its soft tissue."""
    assert case.volume is not None
    values = np.asarray(case.volume.array)
    if modality == "ct" and case.volume.modality != "ct":
        from ...models.inference.preprocess import guessed_hu

        return guessed_hu(values.astype(np.float32))
    return values


def cases_of(run: SynthesisRun, part: Part, data: Path) -> list[Slices]:
    """Every case of one side of the split, on the network's grid."""
    if run.task == "translate":
        from .phantom_pairs import pairs

        return pairs(run, part, data)
    return [slices_of(case, run) for case in run.dataset.cases(data, part)]


def stream_of(run: SynthesisRun, cases: Sequence[Slices]) -> Stream:
    """Batches of random crops, a function of (step, part) only; crops with something labelled come three times of four."""
    index = [(n, z) for n, case in enumerate(cases) for z in range(len(case.pictures))]
    full = [(n, z) for n, z in index if cases[n].labels[z].any()] or index

    def batch(step: int, part: int) -> Batch:
        rng = np.random.default_rng([run.schedule.seed, step, part, 3])
        rows = [_crop(cases, full if rng.random() < 0.75 else index, run, rng) for _ in range(run.batch)]
        images = torch.from_numpy(np.stack(rows))
        return Batch(images, torch.zeros((len(rows), 1, 1), dtype=torch.int64))

    return batch


def _crop(
    cases: Sequence[Slices], index: Sequence[tuple[int, int]], run: SynthesisRun, rng: np.random.Generator
) -> Float:
    number, z = index[int(rng.integers(len(index)))]
    case = cases[number]
    both = np.concatenate([case.pictures[z][None], case.maps[z]])
    both = padded(both, run.patch, -1.0)
    start = [int(rng.integers(n - side + 1)) for n, side in zip(both.shape[1:], run.patch, strict=True)]
    inside = np.argwhere(case.labels[z] > 0)
    if len(inside):
        spot = inside[int(rng.integers(len(inside)))] - np.array(run.patch) // 2 + rng.integers(-6, 7, 2)
        start = [int(np.clip(s, 0, n - side)) for s, n, side in zip(spot, both.shape[1:], run.patch, strict=True)]
    view = both[:, start[0] : start[0] + run.patch[0], start[1] : start[1] + run.patch[1]]
    for axis in run.flip:
        if rng.random() < 0.5:
            view = np.flip(view, axis + 1)
    return np.ascontiguousarray(view, dtype=np.float32)


def network_of(run: SynthesisRun) -> Denoiser | Generator:
    """The untrained network."""
    return Generator(run.network.maps) if run.objective == "pix2pix" else Denoiser(run.network)


def trainer_of(run: SynthesisRun, runs: Path, *, device: str = "cpu") -> Trainer:
    """Network, objective and schedule in their run folder."""
    torch.manual_seed(run.schedule.seed)
    objective: Objective = (
        Pix2pix(run.network.maps) if run.objective == "pix2pix" else Denoising(Sampler("rflow"), run.drop)
    )
    return Trainer(network_of(run), objective, run.schedule, runs / run.name, device=device)


def fit(run: SynthesisRun, folders: Folders, how: How) -> Path:
    """Train a run and answer its run folder."""
    trainer = trainer_of(run, folders.runs, device=how.device)
    if how.resume:
        trainer.resume()
    cases = cases_of(run, "train", folders.data)
    trainer.fit(stream_of(run, cases), until=how.until)
    _write_record(trainer, run, len(cases))
    return trainer.folder


def _write_record(trainer: Trainer, run: SynthesisRun, cases: int) -> None:
    seconds = read_log(trainer.folder / "log.csv")["cpu_s"]
    record = {
        "name": trainer.folder.name,
        "objective": trainer.objective.name,
        "paper": trainer.objective.paper,
        "cases": {run.data: cases},
        "parameters": sum(value.numel() for value in trainer.model.parameters()),
        "steps": trainer.step,
        "cpu_minutes": round(sum(seconds) / 60, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
    }
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(trainer.folder / "run.json", lambda file: file.write(text.encode()))
