"""CFC-Net: one student sees the coarse of a scan, one the fine, and a slow mean of both sees all of it and is exported.

Paper: CFC-Net, cross-frequency consistency; only its abstract was read. The filters, the weights, the box that is mixed and the plain
squares below are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...objective import LABELLED, MODEL, UNLABELLED, Batches, Objective, Roles, State, ema_update_
from ..row import Lesson
from .peers import Structures, answer, answer_at_rest, frozen_copy, supervise, trained_together
from .views import Where, at

LOW, HIGH = "low", "high"
"""Roles of the students that see the coarse and the fine."""
BOX = 0.5  # of each side


def low_pass(images: torch.Tensor, cut: float) -> torch.Tensor:
    """The coarse of images (b c ...): a Gaussian over frequencies, whose standard deviation is a share of the highest one."""
    axes = list(range(2, images.dim()))
    squared = torch.zeros([1] * len(axes), device=images.device)
    for place, axis in enumerate(axes):
        each = torch.fft.fftfreq(images.shape[axis], device=images.device) / 0.5  # 1 is the highest
        squared = squared + each.reshape([-1 if n == place else 1 for n in range(len(axes))]) ** 2
    spectrum = torch.fft.fftn(images.float(), dim=axes) * torch.exp(-squared / (2 * cut**2))
    low: torch.Tensor = torch.fft.ifftn(spectrum, dim=axes).real
    return low


def bands(images: torch.Tensor, cut: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The coarse and the fine of images; their sum is the image."""
    low = low_pass(images, cut)
    return low, images.float() - low


def entropy_of(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of every voxel (b ...) of logits (b n ...), added over structures."""
    p = torch.sigmoid(logits)
    return (F.softplus(logits) - p * logits).sum(1)


def unsure_box(entropy: torch.Tensor) -> Where:
    """The box of half the sides, on a lattice of a quarter of its own, with the greatest sum of entropy (...)."""
    lengths = [max(1, int(side * BOX)) for side in entropy.shape]
    steps = [max(1, length // 4) for length in lengths]
    pool = F.avg_pool2d if entropy.dim() == 2 else F.avg_pool3d
    means = pool(entropy[None, None], lengths, steps)[0, 0]  # boxes are of one size, so the mean will do
    best = int(means.argmax())
    starts: list[int] = []
    for size, step in zip(reversed(means.shape), reversed(steps), strict=True):
        best, place = divmod(best, size)
        starts.insert(0, place * step)
    return tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))


def mix_by_uncertainty(images: torch.Tensor, entropy: torch.Tensor) -> torch.Tensor:
    """Every image with its least certain box taken from the image of the batch that is surest there.

    Args:
        images: (b c ...).
        entropy: (b ...).
    """
    mixed = images.clone()
    for number, own in enumerate(entropy):
        where = unsure_box(own)
        surest = int(at(entropy, where).flatten(1).sum(1).argmin())
        at(mixed[number], where).copy_(at(images[surest], where))
    return mixed


@dataclass(frozen=True)
class CfcNet(Objective):
    """Two students and the slow mean of their weights.

    Attributes:
        cut: of the frequencies, a share of the highest.
        weight: of the consistency, once it has grown.
        grown: share of the steps after which it has.
        decay: of the mean.
    """

    structures: Structures
    cut: float = 0.25
    weight: float = 1.0
    grown: float = 0.4
    decay: float = 0.99

    name = "cfcnet"
    paper = "CFC-Net (reconstruction from its abstract)"
    streams = (LABELLED, UNLABELLED)

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The mean, which no optimiser changes, and two students that begin as it does, so that a mean of weights has a meaning."""
        students = {role: frozen_copy(model).requires_grad_() for role in (LOW, HIGH)}
        return {MODEL: model.requires_grad_(False), **students}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """Both students learn together."""
        return trained_together(roles[LOW], roles[HIGH])

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "supervised", "across" between the students, and "whole" between each and their mean."""
        students, given, images = (roles[LOW], roles[HIGH]), batches[LABELLED], batches[UNLABELLED].images
        seen = bands(given.images, self.cut)
        supervised = [
            supervise(answer(net, band), given, self.structures).half for net, band in zip(students, seen, strict=True)
        ]
        mixed = mix_by_uncertainty(images, entropy_of(answer_at_rest(roles[MODEL], images)))
        wanted = torch.sigmoid(answer_at_rest(roles[MODEL], mixed))
        low, high = (
            torch.sigmoid(answer(net, band)) for net, band in zip(students, bands(mixed, self.cut), strict=True)
        )
        weight = self.weight * state.ramp("sigmoid", int(self.grown * state.total))
        return {
            "supervised": torch.stack(supervised).sum(),
            "across": weight * F.mse_loss(low, high),
            "whole": weight * (F.mse_loss(low, wanted) + F.mse_loss(high, wanted)),
        }

    def after_step(self, roles: Roles, state: State) -> None:
        """The mean moves towards that of both students; counters are those of the coarse one."""
        low, high = roles[LOW].state_dict(), roles[HIGH].state_dict()
        middle = {name: (value + high[name]) / 2 if value.is_floating_point() else value for name, value in low.items()}
        ema_update_(roles[MODEL].state_dict(), middle, min(self.decay, (1 + state.step) / (10 + state.step)))


def teach(lesson: Lesson) -> CfcNet:
    """The objective "cfcnet"."""
    names = ("cut", "consistency", "grown", "decay")
    return CfcNet(lesson.structures, *(lesson.number(name) for name in names))
