"""Test-time adaptation by entropy (ETTA): fit the scales and shifts of norm layers to one scan, then put them back.

Paper: UKBOB, ICCV 2025, arXiv 2504.06908; the idea is Tent's (Wang et al. 2021, arXiv 2006.10726).
Takes: a network and logits it gives of one scan. Returns: a log; the network is as before when the block ends.
Weights: none of its own.
Left out: Tent's batch statistics. Running averages are neither used up nor moved: a single scan is no batch.

Three traps. Networks without BatchNorm: the affine parameters of every kind of norm layer count, and none at all is
an error, not a quiet success. Collapse: entropy is least where nothing is marked, so a step that changes the marked
volume too much is undone and ends it. Small effects: an entropy that falls by less than a floor is not called adapted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import nn

from ...imaging.errors import BadCall
from ..backbones.network import in_use

Kind = Literal["sigmoid", "softmax"]
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
FLOOR = 0.01  # share by which entropy must fall to be called adapted; our choice


@dataclass(frozen=True)
class Adaptation:
    """How far to go.

    Attributes:
        steps: of Adam, each over the whole scan.
        most_change: of the marked volume, as a share of what was marked before the first step.

    The defaults are our choice: gentle. On spoilt training scans every setting tried lost a little Dice, one step at the
    same rate least (docs/uncertainty.md).
    """

    steps: int = 3
    learning_rate: float = 1e-3
    most_change: float = 0.2


@dataclass(frozen=True)
class AdaptationLog:
    """What happened.

    Attributes:
        parameters: numbers that were free to move.
        entropies: mean per voxel in nats, before the first step and after each that was kept.
        marked: voxels above even odds at the same moments.
        stopped: why it ended early; "" when every step was kept.
    """

    parameters: int
    entropies: tuple[float, ...]
    marked: tuple[int, ...]
    stopped: str = ""

    @property
    def adapted(self) -> bool:
        """True when entropy fell by more than the floor."""
        return self.entropies[-1] < (1 - FLOOR) * self.entropies[0]


def norm_affines(net: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> scale or shift, of every norm layer that has them.

    Raises:
        BadCall: there is none; adapting would change nothing and say nothing.
    """
    found = {
        f"{prefix}.{name}".lstrip("."): value
        for prefix, module in net.named_modules()
        if isinstance(module, NORMS)
        for name, value in module.named_parameters(recurse=False)
    }
    if not found:
        raise BadCall(
            f"{type(net).__name__} has no norm layer with scale and shift, so nothing of it can be adapted. "
            "Use it as it is."
        )
    return found


@contextmanager
def restored(net: nn.Module) -> Iterator[dict[str, nn.Parameter]]:
    """The norm affines, free to move inside the block; afterwards the network is bit for bit as before, come what may.

    The network runs in evaluation mode inside.
    """
    free = norm_affines(net)
    before = {name: value.detach().clone() for name, value in net.state_dict().items()}
    frozen = {value: value.requires_grad for value in net.parameters()}
    try:
        chosen = {id(value) for value in free.values()}
        for value in net.parameters():
            value.requires_grad_(id(value) in chosen)
        with in_use(net):
            yield free
    finally:
        net.load_state_dict(before)
        for value, needed in frozen.items():
            value.requires_grad_(needed)
            value.grad = None


def entropy(logits: torch.Tensor, kind: Kind = "sigmoid") -> torch.Tensor:
    """Entropy in nats of logits (b n ...), with the axis n averaged out (sigmoid) or summed over (softmax): (b ...).

    Source: arXiv 2504.06908, -sum_c p log p; independent masks have a class and its opposite each.
    """
    if kind == "softmax":
        logs = torch.log_softmax(logits, dim=1)
        return -(logs.exp() * logs).sum(dim=1)
    p = torch.sigmoid(logits)
    each = p * nn.functional.softplus(-logits) + (1 - p) * nn.functional.softplus(logits)
    return each.mean(dim=1)


Parts = Callable[[], Iterator[tuple[torch.Tensor, torch.Tensor]]]
"""Gives a scan's parts anew on every call: logits (b n ...) that depend on the free parameters, and weights (b ...)
whose sum over all parts is 1; 0 where a voxel does not count."""


def adapt_(free: dict[str, nn.Parameter], parts: Parts, how: Adaptation, *, kind: Kind = "sigmoid") -> AdaptationLog:
    """Move the free parameters, which `restored` gave, so that the entropy of one scan falls."""
    optimizer = torch.optim.Adam(list(free.values()), lr=how.learning_rate)
    numbers = sum(value.numel() for value in free.values())
    value, marked = _pass(parts, kind, learn=how.steps > 0)
    entropies, volumes = [value], [marked]
    for step in range(how.steps):
        kept = [one.detach().clone() for one in free.values()]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value, marked = _pass(parts, kind, learn=step + 1 < how.steps)
        if abs(marked - volumes[0]) > how.most_change * volumes[0]:
            with torch.no_grad():
                for one, old in zip(free.values(), kept, strict=True):
                    one.copy_(old)
            reason = f"step {step + 1} would have marked {marked} instead of {volumes[0]} voxels"
            return AdaptationLog(numbers, tuple(entropies), tuple(volumes), reason)
        entropies.append(value)
        volumes.append(marked)
    return AdaptationLog(numbers, tuple(entropies), tuple(volumes))


class Answer(Protocol):
    """What a backbone says: an object with logits among others."""

    @property
    def logits(self) -> torch.Tensor:
        """(b classes ...)."""


@dataclass(frozen=True)
class Fitted:
    """Logits (b classes ...) before and after a network fitted itself; the first is what it would have said anyway."""

    plain: torch.Tensor
    adapted: torch.Tensor
    log: AdaptationLog


def answer_fitted(
    net: Callable[[torch.Tensor], Answer], image: torch.Tensor, how: Adaptation | None = None, *,
    inside: torch.Tensor | None = None, kind: Kind = "softmax",
) -> Fitted:  # fmt: skip
    """What a backbone says of images once it fitted itself to them; afterwards it is as before.

    Args:
        net: a module whose answer has logits, as every backbone's.
        image: (b channels x y z) or (b channels x y), looked at as a whole: give it tiles of what does not fit.
        inside: (b x y z) or (b x y), where entropy counts; None: everywhere.

    Raises:
        BadCall: the network has no norm layer with scale and shift, or `inside` is empty.
    """
    if not isinstance(net, nn.Module):
        raise BadCall(
            f"{type(net).__name__} is no module, so nothing of it can be adapted. Give it a network of torch."
        )
    where = torch.ones_like(image[:, 0]) if inside is None else inside.to(image)
    if not where.any():
        raise BadCall("`inside` marks nothing, so that no entropy counts. Mark the body, or leave it out.")

    # GroupNorm's backward of torch 2.13 on CPUs crashes on channels-last maps that need no gradient; through the image they do.
    seen = image.detach().clone().requires_grad_()

    def parts() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield net(seen).logits, where / where.sum()

    with restored(net) as free:
        with torch.no_grad():
            plain = net(image).logits
        log = adapt_(free, parts, how or Adaptation(), kind=kind)
        with torch.no_grad():
            adapted = net(image).logits
    return Fitted(plain, adapted, log)


def _pass(parts: Parts, kind: Kind, *, learn: bool) -> tuple[float, int]:
    """Mean entropy and marked voxels over all parts; with `learn`, the mean's gradients are left behind."""
    total, marked = 0.0, 0
    with torch.set_grad_enabled(learn):
        for logits, weights in parts():
            part = (entropy(logits, kind) * weights).sum()
            if learn:
                part.backward()
            total += float(part.detach())
            marked += _marked(logits.detach(), kind)
    return total, marked


def _marked(logits: torch.Tensor, kind: Kind) -> int:
    """Voxels a structure holds: above even odds, or (softmax) another class than the first, the background."""
    inside = logits > 0 if kind == "sigmoid" else logits.argmax(dim=1) > 0
    return int(inside.sum())
