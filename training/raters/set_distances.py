"""Distances between two sets of masks, as clouds of points in pixel space: what a probabilistic head is taught by.

Averaging a loss over pairs pulls every draw to the same compromise; a distance of the whole sets keeps them apart.
Not here: the Frechet distance on Inception features (its weights are not ours to ship).
"""

from __future__ import annotations

import math

import torch

BLUR = 0.05  # epsilon of Sinkhorn is BLUR^2; Source: GeomLoss's default, which PULASki uses
SCALING = 0.7  # of the blur between two sweeps


def sinkhorn_divergence(
    one: torch.Tensor, other: torch.Tensor, *, blur: float = BLUR, sweeps: int = 20
) -> torch.Tensor:
    """OT(one, other) - OT(one, one) / 2 - OT(other, other) / 2 of point clouds (b n d) and (b m d): (b).

    Cost |x - y|^2 / 2, equal weights. Gradients reach the first cloud only; the second is the truth.

    Args:
        sweeps: at the final blur, after the descent from the clouds' own size.

    Source: PULASki's loss, arXiv 2312.15686; unbiased divergence of Feydy et al. 2019, arXiv 1810.08278, whose
    GeomLoss differentiates through one last step with the potentials held.
    """
    truth = other.detach()
    cross = _potentials(one, truth, blur, sweeps)
    own = _potentials(one, one.detach(), blur, sweeps, symmetric=True)
    theirs = _potentials(truth, truth, blur, sweeps, symmetric=True)
    return (cross[0] - own[0]).mean(dim=1) + (cross[1] - theirs[0]).mean(dim=1)


def _potentials(
    x: torch.Tensor, y: torch.Tensor, blur: float, sweeps: int, *, symmetric: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Dual potentials (b n) and (b m); the first depends on x through one last step."""
    cost = _squared(x, y) / 2
    with torch.no_grad():
        held = cost.detach()
        f, g = torch.zeros_like(held[:, :, 0]), torch.zeros_like(held[:, 0])
        for epsilon in _descent(float(held.max()), blur, sweeps):
            next_f, next_g = _softmin(held, g, epsilon), _softmin(held.transpose(1, 2), f, epsilon)
            f, g = (f + next_f) / 2, (g + next_g) / 2
            if symmetric:
                f = g = (f + g) / 2
        final_g = _softmin(held.transpose(1, 2), f, blur**2)
    return _softmin(cost, g, blur**2), final_g


def _descent(largest: float, blur: float, sweeps: int) -> list[float]:
    scales = []
    scale = math.sqrt(max(largest, blur**2))
    while scale > blur:
        scales.append(scale**2)
        scale *= SCALING
    return [*scales, *[blur**2] * sweeps]


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
