"""Distances of sets: against exact transport, finite differences and another library, and the acceptance toy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance

from ostensor.training.raters.set_distances import (
    generalised_energy_distance,
    hausdorff_divergence,
    sinkhorn_divergence,
)

DISTANCES = [sinkhorn_divergence, hausdorff_divergence]
Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _cloud(seed: int, count: int = 5, size: int = 7) -> torch.Tensor:
    return torch.rand(1, count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("distance", DISTANCES)
def test_it_is_zero_for_equal_clouds_only_and_blind_to_the_order_of_raters(distance: Distance) -> None:
    one, other = _cloud(0), _cloud(1)
    assert float(distance(one, one)) == pytest.approx(0, abs=1e-9)
    assert float(distance(one, other)) > 0.01
    shuffled = other[:, [3, 0, 4, 2, 1]]
    assert float(distance(one, shuffled)) == pytest.approx(float(distance(one, other)), rel=1e-6)
    assert float(distance(other, other[:, [1, 0, 2, 4, 3]])) == pytest.approx(0, abs=1e-6)


def test_sinkhorn_tends_to_exact_transport() -> None:
    """scipy's assignment gives the exact cost of equally weighted points."""
    one, other = _cloud(0), _cloud(1)
    cost = cdist(one[0].numpy(), other[0].numpy(), "sqeuclidean") / 2
    rows, columns = linear_sum_assignment(cost)
    assert float(sinkhorn_divergence(one, other)) == pytest.approx(cost[rows, columns].mean(), rel=0.01)


def _transport(x: torch.Tensor, y: torch.Tensor, epsilons: list[float]) -> float:
    """GeomLoss's recurrence as its paper writes it, one pair of clouds (n d) and (m d), point by point."""

    def soft(potential: list[float], costs: list[float], epsilon: float) -> float:
        each = [(p - c) / epsilon for p, c in zip(potential, costs, strict=True)]
        top = max(each)
        return -epsilon * (top + math.log(sum(math.exp(one - top) for one in each) / len(each)))

    cost = (((x[:, None] - y[None]) ** 2).sum(dim=2) / 2).tolist()
    turned = [list(column) for column in zip(*cost, strict=True)]
    f = [soft([0.0] * len(turned), row, epsilons[0]) for row in cost]
    g = [soft([0.0] * len(cost), row, epsilons[0]) for row in turned]
    for epsilon in epsilons:
        new_f, new_g = [soft(g, row, epsilon) for row in cost], [soft(f, row, epsilon) for row in turned]
        f, g = ([(a + b) / 2 for a, b in zip(*two, strict=True)] for two in ((f, new_f), (g, new_g)))
    last_f, last_g = [soft(g, row, epsilons[-1]) for row in cost], [soft(f, row, epsilons[-1]) for row in turned]
    return sum(last_f) / len(last_f) + sum(last_g) / len(last_g)


def test_released_sinkhorn_halves_the_blur_from_the_diameter_and_stops_before_it_converges() -> None:
    """The slow recurrence on clouds of unequal size, where the converged value differs."""
    one, other = _cloud(0, 5)[0], (_cloud(1, 3)[0] > 0.5).double()
    points = torch.cat([one, other])
    diameter = float((points.max(dim=0).values - points.min(dim=0).values).norm())
    halved = [diameter / 2**n for n in range(10) if diameter / 2**n > 0.05]
    epsilons = [blur**2 for blur in (diameter, *halved, 0.05)]
    pairs = ((one, other), (one, one), (other, other))
    both, own, theirs = (_transport(a, b, epsilons) for a, b in pairs)
    found = float(sinkhorn_divergence(one[None], other[None], mode="released"))
    assert found == pytest.approx(both - own / 2 - theirs / 2, rel=1e-9)
    assert float(sinkhorn_divergence(one[None], other[None])) != pytest.approx(found, rel=1e-4)


def test_the_hausdorff_divergence_is_half_the_squared_energy_distance() -> None:
    """scipy's energy distance of points on a line, squared and halved."""
    one, other = _cloud(0, 5, 1), _cloud(1, 4, 1) + 0.3
    wanted = energy_distance(one.ravel().numpy(), other.ravel().numpy()) ** 2 / 2
    assert float(hausdorff_divergence(one, other)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_are_those_of_finite_differences(distance: Distance) -> None:
    one, other = _cloud(0).requires_grad_(), _cloud(1)
    distance(one, other).sum().backward()
    assert one.grad is not None
    for place in [(0, 0, 0), (0, 3, 5), (0, 4, 2)]:
        moved = one.detach().clone(), one.detach().clone()
        moved[0][place] += 1e-4
        moved[1][place] -= 1e-4
        slope = float(distance(moved[0], other) - distance(moved[1], other)) / 2e-4
        assert float(one.grad[place]) == pytest.approx(slope, abs=2e-3, rel=0.02)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_single_rater_leaves_the_plain_distance_with_finite_gradients(distance: Distance) -> None:
    one, other = _cloud(0, 1).requires_grad_(), _cloud(1, 1)
    value = distance(one, other)
    value.sum().backward()
    apart = float(torch.linalg.norm(one.detach() - other))
    assert float(value.detach()) == pytest.approx(apart**2 / 2 if distance is sinkhorn_divergence else apart, rel=1e-6)
    assert one.grad is not None
    assert torch.isfinite(one.grad).all()
    same = other.clone().requires_grad_()
    distance(same, other).sum().backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def _discs() -> torch.Tensor:
    """Four raters of 32 x 32: the 52, 60, 256 and 276 pixels nearest to a place off the middle."""
    y, x = np.mgrid[:32, :32]
    order = np.argsort(((y - 15.3) ** 2 + (x - 16.2) ** 2).ravel(), kind="stable")
    masks = np.zeros((4, 32 * 32), dtype=np.float32)
    for rater, size in enumerate((52, 60, 256, 276)):
        masks[rater, order[:size]] = 1
    return torch.from_numpy(masks)[None]


def _pairwise_dice(cloud: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    both = (cloud[:, :, None] * truth[:, None]).sum(dim=3)
    return (1 - 2 * both / (cloud.sum(dim=2)[:, :, None] + truth.sum(dim=2)[:, None])).mean()


def _learned(loss: Distance) -> tuple[list[int], float]:
    """Four free maps after 300 steps of Adam: sizes, and the generalised energy distance to the raters."""
    truth = _discs()
    logits = torch.randn(1, 4, 32 * 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss(torch.sigmoid(logits), truth).sum().backward()
        optimizer.step()
    masks = logits.detach() > 0
    return sorted(masks[0].sum(dim=1).tolist()), float(generalised_energy_distance(masks, truth > 0))


@pytest.mark.parametrize("distance", DISTANCES)
def test_four_free_maps_become_the_four_raters(distance: Distance) -> None:
    """The specification's toy: sizes 52, 60, 256, 276 and an energy distance of 0."""
    sizes, apart = _learned(distance)
    assert sizes == [52, 60, 256, 276]
    assert apart == pytest.approx(0, abs=1e-9)


def test_averaged_pairs_make_all_maps_the_same() -> None:
    """What the distances are for: the specification found 256 pixels four times and .397."""
    sizes, apart = _learned(_pairwise_dice)
    assert sizes == [256] * 4
    assert apart == pytest.approx(0.397, abs=0.01)


def test_the_generalised_energy_distance_by_hand_and_of_empty_masks() -> None:
    """One draw A = {1,2}, raters A and B = {2,3}: IoU(A,B) = 1/3; 2*(2/3)/2 - 0 - (2/3)/2 over ordered pairs."""
    a, b = torch.tensor([1, 1, 0]), torch.tensor([0, 1, 1])
    found = generalised_energy_distance(a[None, None], torch.stack([a, b])[None])
    assert float(found) == pytest.approx(2 * (2 / 3) / 2 - (2 / 3) / 2)
    empty = torch.zeros(1, 3, 5)
    assert float(generalised_energy_distance(empty, empty)) == 0
    assert float(generalised_energy_distance(empty, torch.ones(1, 2, 5))) == 2
