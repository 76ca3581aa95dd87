"""The one training loop. What is learned lives in the objective, what is seen in the stream."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..imaging.errors import BadCall, Failed
from ..models.backbones.network import SegmentationNetwork
from ..models.inference.hardware import has_fast_bf16
from .objective import LABELLED, Batch, Objective, State, ema_update_
from .runlog import RunLog, plot

log = logging.getLogger(__name__)

Stream = Callable[[int, int], Batch]
"""Gives the batch of (step, part of the step); must depend on nothing else."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: optimiser steps.
        learning_rate: its peak, reached after `warm_up` steps, then a cosine down to 1 %.
        accumulate: batches per optimiser step.
        ema: decay of the averaged weights that are exported.
        bf16: bfloat16 mixed precision where the processor has it (2.7 to 3.4 times faster on
            AVX-512 with bf16, PERF.md §1; 20 times slower where it must be emulated, so never there).
        save_every: steps between checkpoints.
        freeze_norm: share of the steps after which BatchNorm uses its running statistics, as it will
            when the network is used; with one or two scans per step the two differ much. 1 never.
    """

    steps: int
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 50
    accumulate: int = 1
    ema: float = 0.995
    clip: float = 5.0
    bf16: bool = True
    save_every: int = 100
    seed: int = 0
    freeze_norm: float = 1.0


class Trainer:
    """Trains a model under an objective; stops and resumes without a trace.

    Args:
        folder: run folder for `checkpoint.pt`, `log.csv`, TensorBoard events and `losses.png`.
        model: on the CPU; moved to `device`.

    Attributes:
        roles: every network of the objective by its role.
        average: running average of the exported network's weights.
    """

    def __init__(
        self, model: torch.nn.Module, objective: Objective, schedule: Schedule, folder: Path, *, device: str = "cpu"
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise BadCall("No CUDA device is present. Use --device cpu.")
        self.device = torch.device(device)
        self.objective, self.schedule, self.folder = objective, schedule, folder
        self.roles = {role: _laid_out(net.to(self.device)) for role, net in objective.roles(model).items()}
        self.model = objective.exported(self.roles)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.groups = objective.groups(self.roles)
        self.optimizers = {
            group: objective.optimizer(group, parameters, schedule.learning_rate, schedule.weight_decay)
            for group, parameters in self.groups.items()
        }
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the state lies."""
        return self.folder / "checkpoint.pt"

    def fit(self, streams: Stream | Mapping[str, Stream], *, until: int | None = None) -> None:
        """Train up to `until` steps (default: the schedule's end).

        Args:
            streams: one per name in the objective's `streams`; a bare one is the labelled stream.

        Raises:
            BadCall: a stream the objective needs is missing.
            Failed: a loss became NaN or infinite; the message names the term.
        """
        given = streams if isinstance(streams, Mapping) else {LABELLED: streams}
        missing = set(self.objective.streams) - set(given)
        if missing:
            raise BadCall(f"The objective '{self.objective.name}' needs the data streams {sorted(missing)}. Add them.")
        last = min(until or self.schedule.steps, self.schedule.steps)
        for net in self.roles.values():
            net.train()
        record = RunLog(self.folder)
        record.forget_after(self.step)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not sys.stderr.isatty()) as bar, contextlib.closing(record):
            task = bar.add_task(self.folder.name, total=last, completed=self.step)
            while self.step < last:
                started = time.process_time()
                terms = self._one_step(given)
                self.step += 1
                record.write({"step": self.step, **terms, "cpu_s": round(time.process_time() - started, 3)})
                bar.update(task, completed=self.step)
                if self.step % self.schedule.save_every == 0 or self.step == last:
                    self.save()
        if record.path.exists():
            plot(record.path, self.folder / "losses.png")

    def _one_step(self, streams: Mapping[str, Stream]) -> dict[str, float]:
        frozen = self.step >= self.schedule.freeze_norm * self.schedule.steps
        for module in (module for net in self.roles.values() for module in net.modules()):
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.train(not frozen)
        batches = [
            {name: streams[name](self.step, part).to(self.device) for name in self.objective.streams}
            for part in range(self.schedule.accumulate)
        ]
        total: dict[str, float] = {}
        for number, phase in enumerate(self.objective.phases(self._state(0, 0))):
            for name, value in self._one_phase(phase, number, batches).items():
                total[name] = total.get(name, 0.0) + value
        self.objective.after_step(self.roles, self._state(0, 0))
        ema_update_(self.average, self.model.state_dict(), min(self.schedule.ema, (1 + self.step) / (10 + self.step)))
        return {**{name: round(value, 5) for name, value in total.items()}, "lr": self._learning_rate()}

    def _one_phase(self, phase: str, number: int, batches: list[dict[str, Batch]]) -> dict[str, float]:
        """One optimiser step of one group; the other groups are frozen meanwhile."""
        for group, parameters in self.groups.items():
            for parameter in parameters:
                parameter.requires_grad_(group == phase)
        optimizer = self.optimizers[phase]
        for settings in optimizer.param_groups:
            settings["lr"] = self._learning_rate()
        total = self._gradients(phase, number, batches, self._precision())
        if not self._clipped(phase):
            # oneDNN's bfloat16 convolutions now and then give NaN for maps of one or two voxels though the
            # loss is sound (seen on AVX-512 with bf16, torch 2.13); the same batch in float32 does not.
            log.info("step %d: gradients in reduced precision were not finite, taken again in float32", self.step)
            total = self._gradients(phase, number, batches, contextlib.nullcontext())
            if not self._clipped(phase):
                raise Failed(f"The gradients of '{phase}' are not finite at step {self.step}. Lower the learning rate.")
        optimizer.step()
        return total

    def _gradients(
        self,
        phase: str,
        number: int,
        batches: list[dict[str, Batch]],
        precision: contextlib.AbstractContextManager[Any],
    ) -> dict[str, float]:
        """Leave the gradients of one phase in its parameters; gives the loss terms."""
        self.optimizers[phase].zero_grad(set_to_none=True)
        total: dict[str, float] = {}
        for part, batch in enumerate(batches):
            with precision:
                terms = self.objective.losses(phase, self.roles, batch, self._state(part, number))
            self._refuse_nan(terms)
            loss = torch.stack(list(terms.values())).sum() / self.schedule.accumulate
            loss.backward()
            for name, value in terms.items():
                total[name] = total.get(name, 0.0) + float(value.detach()) / self.schedule.accumulate
        return total

    def _clipped(self, phase: str) -> bool:
        """Clip the phase's gradients; False where one of them is not finite."""
        return bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(self.groups[phase], self.schedule.clip)))

    def _state(self, part: int, phase: int) -> State:
        rng = np.random.default_rng([self.schedule.seed, self.step, part, 1 + 2 * phase])
        return State(self.step, self.schedule.steps, rng)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if not self.schedule.bf16 or not has_fast_bf16(self.device):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _refuse_nan(self, terms: Mapping[str, torch.Tensor]) -> None:
        for name, value in terms.items():
            if not bool(torch.isfinite(value)):
                raise Failed(
                    f"The loss term '{name}' became {float(value.detach())} at step {self.step}. Lower the learning rate."
                )

    def _learning_rate(self) -> float:
        plan = self.schedule
        if self.step < plan.warm_up:
            return plan.learning_rate * (self.step + 1) / plan.warm_up
        share = (self.step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
        return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, share)))))

    def save(self) -> None:
        """Write the whole state; a kill while writing leaves the previous one."""
        state = {
            "step": self.step,
            "roles": {role: net.state_dict() for role, net in self.roles.items()},
            "average": self.average,
            "optimizers": {group: optimizer.state_dict() for group, optimizer in self.optimizers.items()},
            "objective": self.objective.state_dict(),
            "rng": torch.get_rng_state(),
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def resume(self) -> bool:
        """Continue from the checkpoint; False when there is none."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.step = int(state["step"])
        for role, net in self.roles.items():
            net.load_state_dict(state["roles"][role])
        self.average = state["average"]
        for group, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][group])
        self.objective.load_state_dict(state["objective"])
        torch.set_rng_state(state["rng"].cpu())
        return True


def _laid_out(net: torch.nn.Module) -> torch.nn.Module:
    """Weights in channels-last order, 1.1 to 1.4 times faster here; it changes memory order, not numbers.

    Backbones that do not say they bear it are left as they are.
    """
    if any(isinstance(part, SegmentationNetwork) and not part.channels_last for part in net.modules()):
        return net
    for weights in net.parameters():
        if weights.dim() in (4, 5):
            layout = torch.channels_last if weights.dim() == 4 else torch.channels_last_3d
            weights.data = weights.data.contiguous(memory_format=layout)
    return net
