"""What an objective is to the trainer: networks with roles, groups of parameters, phases, and named losses.

An objective says what is learned; `trainer.py` owns devices, optimisers, precision, checkpoints and logs.
A new way to train is a new objective and never a change of the trainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

MODEL = "model"
"""Role of the network that is trained, averaged and exported."""
LABELLED = "labelled"
"""Stream of images with labels; the only one a plain objective needs."""
UNLABELLED = "unlabelled"
"""Stream of images whose labels are hidden."""


@dataclass(frozen=True)
class Batch:
    """Images (b 1 x y z) and their integer labels (b x y z).

    Attributes:
        along: of slices, where each lies in its scan (b), 0 the first and 1 the last; None of volumes.
        groups: number of each patient's group (b), where the configuration has [groups]; -1 where it is not known.
    """

    images: torch.Tensor
    labels: torch.Tensor
    groups: torch.Tensor | None = None
    along: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        groups, along = (None if one is None else one.to(device) for one in (self.groups, self.along))
        return Batch(self.images.to(device), self.labels.to(device), groups, along)


@dataclass(frozen=True)
class State:
    """Where training stands.

    Attributes:
        step, total: optimiser steps done and planned.
        rng: the only source of chance an objective may use; a function of seed, step, part and phase.
    """

    step: int
    total: int
    rng: np.random.Generator

    def ramp(self, kind: Literal["sigmoid", "linear", "cosine"], end: int) -> float:
        """A weight that grows from about 0 to 1 until step `end`.

        Source: sigmoid exp(-5 (1 - t)^2), Laine and Aila 2017 (temporal ensembling).
        """
        t = min(1.0, self.step / max(1, end))
        if kind == "sigmoid":
            return float(np.exp(-5 * (1 - t) ** 2))
        return t if kind == "linear" else float(0.5 * (1 - np.cos(np.pi * t)))


Roles = Mapping[str, torch.nn.Module]
Batches = Mapping[str, Batch]


class Objective:
    """A way to train. Subclasses override what they need; `losses` always.

    Attributes:
        name, paper: what the run's record says of it.
        streams: names of the data streams it draws from in every step.
    """

    name: str = "objective"
    paper: str = ""
    streams: tuple[str, ...] = (LABELLED,)

    def roles(self, model: torch.nn.Module) -> dict[str, torch.nn.Module]:
        """Every network taking part, built around the given one; e.g. a teacher or a discriminator beside it."""
        return {MODEL: model}

    def groups(self, roles: Roles) -> dict[str, list[torch.nn.Parameter]]:
        """Parameters by optimiser group; what is in no group is never changed by an optimiser."""
        return {"main": list(roles[MODEL].parameters())}

    def optimizer(
        self, group: str, parameters: Sequence[torch.nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """The optimiser of a group; its rate is the schedule's. Decays and skips of scans are marked and do not decay."""
        kept = [value for value in parameters if getattr(value, "_no_weight_decay", False)]
        marked = {id(value) for value in kept}
        settings: list[dict[str, Any]] = [{"params": [value for value in parameters if id(value) not in marked]}]
        if kept:
            settings.append({"params": kept, "weight_decay": 0.0})
        return torch.optim.AdamW(settings, lr=learning_rate, weight_decay=weight_decay)

    def phases(self, state: State) -> tuple[str, ...]:
        """The groups stepped in this iteration, in order."""
        return ("main",)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Named, weighted terms whose sum is minimised for the phase's group alone."""
        raise TypeError(f"{type(self).__name__} defines no losses")

    def after_step(self, roles: Roles, state: State) -> None:
        """Called once per step after every phase; the place for a teacher's running average."""

    def exported(self, roles: Roles) -> torch.nn.Module:
        """The network users get; the trainer keeps its running average."""
        return roles[MODEL]

    def state_dict(self) -> dict[str, Any]:
        """What must survive a stop beside the networks: queues, banks, counters. Tensors and plain values."""
        return {}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""


def ema_update_(average: dict[str, torch.Tensor], current: Mapping[str, torch.Tensor], decay: float) -> None:
    """Move the running average towards the current weights; counters and other integers are copied."""
    with torch.no_grad():
        for name, value in current.items():
            if value.is_floating_point():
                average[name].lerp_(value.detach(), 1 - decay)
            else:
                average[name].copy_(value)
