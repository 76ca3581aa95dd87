"""Distances between two sets of masks, as clouds of points in pixel space: what a probabilistic head is taught by.

Averaging a loss over pairs pulls every draw to the same compromise; a distance of the whole sets keeps them apart.
Not here: the Frechet distance on Inception features (its weights are not ours to ship).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch

BLUR = 0.05  # epsilon of Sinkhorn is BLUR^2; Source: GeomLoss's default, which PULASki uses
Mode = Literal["converged", "released"]
# Of the blur between two sweeps, and sweeps at the final blur. Released are GeomLoss's; ours go on until they converge.
SCHEDULES: Mapping[Mode, tuple[float, int]] = {"converged": (0.7, 20), "released": (0.5, 1)}


def sinkhorn_divergence(
    one: torch.Tensor, other: torch.Tensor, *, blur: float = BLUR, mode: Mode = "converged"
) -> torch.Tensor:
    """OT(one, other) - OT(one, one) / 2 - OT(other, other) / 2 of point clouds (b n d) and (b m d): (b).

    Cost |x - y|^2 / 2, equal weights. Gradients reach the first cloud only; the second is the truth.

    Args:
        mode: "released" ends as soon as PULASki's does: a value some 0.1 % off, gradients more.

    Source: PULASki's loss, arXiv 2312.15686; unbiased divergence of Feydy et al. 2019, arXiv 1810.08278, whose
    GeomLoss (`sinkhorn_divergence.py`, MIT) differentiates through one last step with the potentials held.
    """
    truth = other.detach()
    epsilons = _descent(_diameter(one.detach(), truth), blur, *SCHEDULES[mode])
    cross = _potentials(one, truth, epsilons)
    own = _potentials(one, one.detach(), epsilons)
    theirs = _potentials(truth, truth, epsilons)
    return (cross[0] - own[0]).mean(dim=1) + (cross[1] - theirs[0]).mean(dim=1)


def _potentials(x: torch.Tensor, y: torch.Tensor, epsilons: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Dual potentials (b n) and (b m); the first depends on x through one last step."""
    cost = _squared(x, y) / 2
    with torch.no_grad():
        held, turned = cost.detach(), cost.detach().transpose(1, 2)
        f, g = (_softmin(one, torch.zeros_like(one[:, 0]), epsilons[0]) for one in (held, turned))
        for epsilon in epsilons:
            next_f, next_g = _softmin(held, g, epsilon), _softmin(turned, f, epsilon)
            f, g = (f + next_f) / 2, (g + next_g) / 2
        final_g = _softmin(turned, f, epsilons[-1])
    return _softmin(cost, g, epsilons[-1]), final_g


def _diameter(one: torch.Tensor, other: torch.Tensor) -> float:
    """Diagonal of the box around all points of both clouds, over the batch."""
    points = torch.cat([one.flatten(0, 1), other.flatten(0, 1)])
    return float((points.amax(dim=0) - points.amin(dim=0)).norm())


def _descent(diameter: float, blur: float, scaling: float, sweeps: int) -> list[float]:
    """Squared blurs from the diameter, which comes twice, to the last."""
    scales = []
    scale = max(diameter, blur)
    while scale > blur:
        scales.append(scale)
        scale *= scaling
    return [epsilon**2 for epsilon in (*scales[:1], *scales, *[blur] * sweeps)]


def _softmin(cost: torch.Tensor, potential: torch.Tensor, epsilon: float) -> torch.Tensor:
    """-eps log mean_j exp((g_j - c_ij) / eps): (b n) of costs (b n m) and potentials (b m)."""
    return -epsilon * (torch.logsumexp((potential[:, None] - cost) / epsilon, dim=2) - math.log(cost.shape[2]))


def hausdorff_divergence(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """E|x - y| - E|x - x'| / 2 - E|y - y'| / 2 of point clouds (b n d) and (b m d): (b). Not the surface metric.

    Means over all ordered pairs, the diagonal included. It is the energy distance: PULASki's "Hausdorff" mode is GeomLoss's
    loss "hausdorff" with the energy kernel, and GeomLoss computes that name by its kernel norm.

    Source: arXiv 2312.15686; GeomLoss `samples_loss.py`, `kernel_samples.py` (MIT).
    """
    means = [_distance(a, b).mean(dim=(1, 2)) for a, b in ((one, other), (one, one), (other, other))]
    return means[0] - means[1] / 2 - means[2] / 2


def _squared(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """|x - y|^2, (b n m), without cancellation."""
    return ((x[:, :, None] - y[:, None]) ** 2).sum(dim=3)


def _distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """|x - y|, with a gradient of 0 where points meet."""
    squared = _squared(x, y)
    meets = squared == 0
    return torch.where(meets, 0.0, torch.sqrt(torch.where(meets, 1.0, squared)))


def generalised_energy_distance(draws: torch.Tensor, raters: torch.Tensor) -> torch.Tensor:
    """2 E d(S, Y) - E d(S, S') - E d(Y, Y') of boolean masks (b n ...) and (b m ...), d = 1 - IoU: (b). The squared one.

    Means over all ordered pairs, the diagonal included, as the authors evaluate; small sets come out smaller than
    without it. Two empty masks have an IoU of 1 (theirs: 0/0, which spoils the mean).

    Source: Kohl et al. 2018, arXiv 1806.05034, equation 3; PULASki's evaluation.
    """
    means = [(1 - pairwise_iou(a, b)).mean(dim=(1, 2)) for a, b in ((draws, raters), (draws, draws), (raters, raters))]
    return 2 * means[0] - means[1] - means[2]


def pairwise_iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(b n m) of boolean masks (b n ...) and (b m ...); 1 where both are empty."""
    a, b = one.flatten(2).bool(), other.flatten(2).bool()
    both = (a[:, :, None] & b[:, None]).sum(dim=3).double()
    either = (a[:, :, None] | b[:, None]).sum(dim=3).double()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)
