"""The one training loop. What is learned lives in the objective, what is seen in the stream."""

from __future__ import annotations

import contextlib
import csv
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
from ..models.hardware import has_fast_bf16
from .objectives import Batch, Objective

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
        folder: run folder for `checkpoint.pt` and `log.csv`.
        model: on the CPU; moved to `device`.
    """

    def __init__(
        self, model: torch.nn.Module, objective: Objective, schedule: Schedule, folder: Path, *, device: str = "cpu"
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise BadCall("No CUDA device is present. Use --device cpu.")
        self.device = torch.device(device)
        # Channels last is 1.1 to 1.4 times faster here; it changes memory order, not numbers.
        flat = all(value.dim() != 5 for value in model.parameters())
        layout = torch.channels_last if flat else torch.channels_last_3d
        self.model = model.to(self.device)
        for value in self.model.parameters():
            if value.dim() in (4, 5):
                value.data = value.data.contiguous(memory_format=layout)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.objective, self.schedule, self.folder = objective, schedule, folder
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the state lies."""
        return self.folder / "checkpoint.pt"

    def fit(self, stream: Stream, *, until: int | None = None) -> None:
        """Train up to `until` steps (default: the schedule's end).

        Raises:
            Failed: a loss became NaN or infinite; the message names the term.
        """
        last = min(until or self.schedule.steps, self.schedule.steps)
        self.model.train()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task(self.folder.name, total=last, completed=self.step)
            while self.step < last:
                started = time.process_time()
                terms = self._one_step(stream)
                self.step += 1
                self._log({"step": self.step, **terms, "cpu_s": round(time.process_time() - started, 3)})
                bar.update(task, completed=self.step)
                if self.step % self.schedule.save_every == 0 or self.step == last:
                    self.save()

    def _one_step(self, stream: Stream) -> dict[str, float]:
        frozen = self.step >= self.schedule.freeze_norm * self.schedule.steps
        for module in self.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.train(not frozen)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        total: dict[str, float] = {}
        for part in range(self.schedule.accumulate):
            batch = stream(self.step, part)
            batch = Batch(batch.images.to(self.device), batch.labels.to(self.device))
            rng = np.random.default_rng([self.schedule.seed, self.step, part, 1])
            with self._precision():
                terms = self.objective.losses(self.model, batch, rng)
            self._refuse_nan(terms)
            loss = torch.stack(list(terms.values())).sum() / self.schedule.accumulate
            loss.backward()
            for name, value in terms.items():
                total[name] = total.get(name, 0.0) + float(value.detach()) / self.schedule.accumulate
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip)
        self.optimizer.step()
        ema_update_(self.average, self.model.state_dict(), min(self.schedule.ema, (1 + self.step) / (10 + self.step)))
        return {**{name: round(value, 5) for name, value in total.items()}, "lr": self._learning_rate()}

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
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
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
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        return True

    def _log(self, row: dict[str, float]) -> None:
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)


def ema_update_(average: dict[str, torch.Tensor], current: Mapping[str, torch.Tensor], decay: float) -> None:
    """Move the running average towards the current weights; counters and other integers are copied."""
    with torch.no_grad():
        for name, value in current.items():
            if value.is_floating_point():
                average[name].lerp_(value.detach(), 1 - decay)
            else:
                average[name].copy_(value)
