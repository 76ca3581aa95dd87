"""From a job to an image: label map to channels, slices through the engine, back onto the job's grid.

Only this side of the runtime loads torch. Structures a network was never taught are painted by their
prior, so that every structure asked for is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from ...imaging.errors import BadCall, Failed
from ...imaging.geometry import reorient_array, resample, respaced_grid
from ...imaging.volume import Grid
from ..card import Card
from ..interface import Running
from .available import SynthesisNetwork, of_card
from .conditions import UNLABELLED
from .jobs import SynthesisJob, Synthesized
from .networks.denoiser import Denoiser, NetworkConfig
from .networks.diffusion import DiffusionTask, Run
from .networks.samplers import Sampler
from .scales import Float, from_unit, to_unit
from .without_network import Progress, kept_voxels, pasted, source_of, with_priors

BATCH = 8  # slices denoised together
Tasks = dict[tuple[str, str], DiffusionTask]


def synthesize(
    job: SynthesisJob,
    one: SynthesisNetwork,
    *,
    progress: Progress,
    cancelled: Callable[[], bool],
    loaded: Tasks | None = None,
    device: str = "cpu",
) -> Synthesized:
    """The image of a job, made by the network `one`.

    Args:
        progress: hears the share done at every denoising step of every batch of slices.
        loaded: networks that are in memory already, by name and device; a new one is added.
        device: as torch says it; noise is drawn on the host, so that a seed means the same image everywhere.

    Raises:
        Cancelled: `cancelled` answered True before a denoising step.
        BadCall: the engine cannot do this task.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    if (one.task == "translate") != (job.task == "translate"):
        raise BadCall(f"'{one.name}' cannot {job.task}. It was made to {one.task}. Use engine='auto'.")
    kept = loaded if loaded is not None else {}
    key = (one.name, device)
    if key not in kept:
        progress(0.02, f"loading {one.name}")
        kept[key] = load_task(one, device)
    return _learned(job, one, kept[key], progress, cancelled, torch.device(device))


def load_task(one: SynthesisNetwork, device: str = "cpu") -> DiffusionTask:
    """A synthesis network, ready to sample.

    Raises:
        Failed: the weights file is not the one its card means.
    """
    if hashlib.sha256(one.path.read_bytes()).hexdigest() != one.sha256:
        raise Failed(f"The weights of '{one.name}' are damaged: another sha256. Install the package again.")
    net = Denoiser(NetworkConfig.from_json(one.facts["network"]))
    net.load_state_dict({key: value.float() for key, value in load_file(one.path).items()})
    return DiffusionTask(net.eval().to(device), Sampler(one.facts["sampler"]), f"torch {device} fp32")


def load(card: Card, path: Path, how: Running) -> DiffusionTask:
    """The network of a card, ready to sample."""
    return load_task(of_card(card, path.parent), how.device)


def _learned(
    job: SynthesisJob,
    one: SynthesisNetwork,
    task: DiffusionTask,
    progress: Progress,
    cancelled: Callable[[], bool],
    device: torch.device,
) -> Synthesized:
    maps, known, keep, target = _inputs(job, one)
    generator = torch.Generator().manual_seed(job.seed)
    slices = maps.shape[0]
    stride = task.denoiser.config.stride
    sides = [-(-n // stride) * stride for n in maps.shape[2:]]
    base = torch.randn((1, 1, *sides), generator=generator)  # shared along z, so that slices agree
    made = np.empty((slices, *maps.shape[2:]), np.float32)
    batches = -(-slices // BATCH)
    for number in range(batches):
        part = slice(number * BATCH, min((number + 1) * BATCH, slices))

        def told(done: int, total: int, before: int = number) -> None:
            share = (before + done / total) / batches
            progress(0.05 + 0.9 * share, f"denoising step {done} of {total}, slices {before * BATCH + 1} of {slices}")

        run = Run(job.steps, on_step=told, cancelled=cancelled)
        given = _padded(maps[part], sides, UNLABELLED).to(device)
        noise = base.expand(given.shape[0], -1, -1, -1).clone().to(device)
        if known is None or keep is None:
            out = task.sample(noise, given, generator, run)
        else:
            image = _padded(known[part][:, None], sides, -1.0).to(device)
            hold = _padded(keep[part][:, None], sides, 0.0).to(device)
            out = task.sample_inpaint(image, hold, given, noise, generator, run)
        made[part] = out[:, 0, : maps.shape[2], : maps.shape[3]].clamp(-1, 1).cpu().numpy()
    back = _on_job_grid(made.transpose(1, 2, 0), target, job, one)
    values = from_unit(back, job.modality).astype(np.float32)
    untaught = [name for name in job.names.values() if name not in one.vocabulary]
    if untaught and job.task == "synthesize":
        values = with_priors(values, job, untaught)
    array = pasted(job, values) if job.task == "inpaint" else np.rint(values).astype(np.int16)
    return Synthesized(array, tuple(untaught) if job.task == "synthesize" else (), _notes(job, one), one.sha256)


def _inputs(job: SynthesisJob, one: SynthesisNetwork) -> tuple[Float, Float | None, Float | None, Grid]:
    """Condition (z c x y), the known image and what is kept of it (z x y), and the network's grid."""
    turned = _canonical(job.grid, one)
    target = _network_grid(turned, one)
    if job.task == "translate":
        source = _to_network(to_unit(source_of(job), "ct" if job.source_modality == "ct" else "mr"), job, one, target)
        flags = np.zeros((source.shape[0], 2, *source.shape[1:]), np.float32)
        flags[:, 0 if job.modality == "ct" else 1] = 1.0
        return np.concatenate([source[:, None], flags], axis=1), None, None, target
    labels = np.load(job.labels_path, allow_pickle=False)
    on_grid = _to_network(labels.astype(np.float32), job, one, target, order=0).astype(np.uint8)
    names = {label: name for label, name in job.names.items()}
    maps = one.plan.of_stack(on_grid.transpose(1, 2, 0), names)
    if job.task == "synthesize":
        return maps, None, None, target
    known = _to_network(to_unit(source_of(job), job.modality), job, one, target)
    keep = _to_network(kept_voxels(job, labels).astype(np.float32), job, one, target, order=0)
    return maps, known, (keep > 0).astype(np.float32), target


def _canonical(grid: Grid, one: SynthesisNetwork) -> Grid:
    if not one.canonical:
        return grid
    return reorient_array(np.broadcast_to(np.uint8(0), grid.shape), grid, "RAS")[1]


def _network_grid(grid: Grid, one: SynthesisNetwork) -> Grid:
    """As `training.painting_run.work_grid`."""
    step = one.spacing_mm
    if not grid.spacing_known and one.longest:
        step = grid.spacing_mm[0] * max(grid.shape[:2]) / one.longest
    return respaced_grid(grid, (step, step, None))


def _to_network(
    array: npt.NDArray[Any], job: SynthesisJob, one: SynthesisNetwork, target: Grid, *, order: int = 1
) -> Float:
    """(z x y) on the network's grid."""
    turned, grid = reorient_array(array, job.grid, "RAS") if one.canonical else (array, job.grid)
    return np.ascontiguousarray(resample(np.ascontiguousarray(turned), grid, target, order=order).transpose(2, 0, 1))


def _on_job_grid(made: Float, target: Grid, job: SynthesisJob, one: SynthesisNetwork) -> Float:
    turned = _canonical(job.grid, one)
    back = resample(np.ascontiguousarray(made), target, turned, fill=-1.0)
    if one.canonical:
        back, _ = reorient_array(back, turned, job.grid.axis_codes)
    return np.ascontiguousarray(back)


def _padded(array: Float, sides: list[int], fill: float) -> torch.Tensor:
    grow = [(0, 0)] * (array.ndim - 2) + [(0, side - n) for side, n in zip(sides, array.shape[-2:], strict=True)]
    return torch.from_numpy(np.pad(array, grow, constant_values=fill))


def _notes(job: SynthesisJob, one: SynthesisNetwork) -> tuple[str, ...]:
    notes = ["Anatomy that was not labelled is invented, slice by slice."]
    if job.task == "translate":
        notes = ["Learned from pictures of a phantom; grey values of a translated image are not measurements."]
        if not job.grid.spacing_known:
            notes.append("The image has no known voxel size; the network took its pixels for 3 mm.")
    if one.purpose == "research-only":
        notes.append("Weights for research only.")
    return tuple(notes)
