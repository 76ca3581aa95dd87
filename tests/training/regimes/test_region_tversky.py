"""The Tversky index of regions, place by place, and as an objective."""

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.region_tversky import region_tversky
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row

LESSON = {"liver": (1,), "spleen": (2, 3)}


def drawn(sides: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, *sides, generator=g), (torch.rand(2, 3, *sides, generator=g) > 0.6).float()


@pytest.mark.parametrize("per_image", [True, False])
def test_index_is_the_formula_region_by_region(per_image: bool) -> None:
    """Expected: means over blocks of 2 x 5 places in NumPy; of a batch they are added before they are divided."""
    p, t = (one.double().numpy() for one in drawn((4, 10)))
    found, indices = [], []
    for x in range(2):
        for y in range(2):
            part = np.s_[:, :, 2 * x : 2 * x + 2, 5 * y : 5 * y + 5]
            a, b = p[part], t[part]
            found.append([one.mean((2, 3)) for one in (a * b, a * (1 - b), (1 - a) * b)])
    for hit, wrong, missed in found:
        if not per_image:
            hit, wrong, missed = (one.sum(0) for one in (hit, wrong, missed))
        amiss = wrong + missed + 1e-5
        alpha, beta = 0.3 + 0.4 * (wrong + 1e-5) / amiss, 0.3 + 0.4 * (missed + 1e-5) / amiss
        indices.append((hit + 1e-5) / (hit + alpha * wrong + beta * missed + 1e-5))
    ours = region_tversky(torch.from_numpy(p), torch.from_numpy(t), (2, 2), per_image=per_image)
    assert float(ours) == pytest.approx(-np.mean(indices))


def test_one_region_with_equal_weights_is_dice() -> None:
    p, t = drawn((3, 5, 7))
    ours = region_tversky(p, t, (1, 1, 1), least=0.5, span=0.0)
    axes = (0, 2, 3, 4)
    dice = 2 * (p * t).sum(axes) / (p.sum(axes) + t.sum(axes))
    assert float(ours) == pytest.approx(-float(dice.mean()), abs=1e-4)


def test_places_that_do_not_count_change_nothing() -> None:
    p, t = drawn((4, 6))
    counted = torch.ones(2, 1, 4, 6)
    counted[..., 3:] = 0
    other = torch.where(counted.bool(), p, 1 - p)
    assert torch.equal(region_tversky(p, t, (2, 2), counted=counted), region_tversky(other, t, (2, 2), counted=counted))
    assert not torch.equal(region_tversky(p, t, (2, 2)), region_tversky(other, t, (2, 2)))


def test_objective_teaches_every_scale_and_refuses_other_channels() -> None:
    torch.manual_seed(0)
    objective = objective_row("region-tversky").objective(Lesson(LESSON, (), {"regions": 4}))
    net = backbone("mambaclinix").build(3, 1, 2, {}).train()
    batch = Batch(torch.randn(2, 1, 16, 17, 18), torch.randint(0, 4, (2, 16, 17, 18)))
    moment = State(0, 10, np.random.default_rng(0))
    terms = objective.losses("main", {MODEL: net}, {LABELLED: batch}, moment)
    assert set(terms) == {"cross_entropy", "dice", "regions"}
    assert -0.8 <= float(terms["regions"].detach()) < 0
    terms["regions"].backward()
    assert all(head.weight.grad is not None for head in net.decoder["seg_layers"])
    wrong = backbone("mambaclinix").build(3, 1, 3, {})
    with pytest.raises(BadCall, match="3 output channels, but 2 structures"):
        objective.losses("main", {MODEL: wrong}, {LABELLED: batch}, moment)
