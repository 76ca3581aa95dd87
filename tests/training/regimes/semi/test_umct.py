"""UMCT: views that come back, and what the others say together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, UNLABELLED, Batch, State
from ostensor.training.regimes.semi.umct import LEAST, Opinion, Umct, dropping, fused, opinion
from ostensor.training.regimes.semi.views import turn, turn_back, views_of


@pytest.mark.parametrize("dims", [2, 3])
def test_every_view_comes_back_and_differs_from_the_others(dims: int) -> None:
    x = torch.rand(2, 3, *[5, 7, 11][:dims])
    turned = [turn(x, view, dims) for view in range(views_of(dims))]
    assert torch.equal(turned[0], x)
    assert all(torch.equal(turn_back(one, view, dims), x) for view, one in enumerate(turned))
    assert len({tuple(one.flatten()[:20].tolist()) for one in turned}) == views_of(dims)


def opinions(*variances: float) -> list[Opinion]:
    generator = torch.Generator().manual_seed(0)
    return [Opinion(torch.rand(1, 2, 5, 7, generator=generator), torch.full((1, 1, 5, 7), v)) for v in variances]


def test_equal_variances_give_the_plain_mean_of_the_others() -> None:
    said = opinions(0.01, 0.01, 0.01)
    assert torch.allclose(fused(said, 0), (said[1].chances + said[2].chances) / 2)
    certain = opinions(0.0, 0.0, LEAST / 2)
    assert torch.allclose(fused(certain, 1), (certain[0].chances + certain[2].chances) / 2), (
        "below the least all are sure"
    )


def test_the_surer_is_heard_the_more_and_ones_own_view_never() -> None:
    said = opinions(0.5, 0.01, 0.04)
    expected = (said[1].chances / 0.01 + said[2].chances / 0.04) / (1 / 0.01 + 1 / 0.04)
    assert torch.allclose(fused(said, 0), expected)
    other = [Opinion(said[0].chances * 0, said[0].variance / 9), *said[1:]]
    assert torch.equal(fused(other, 0), fused(said, 0))


def test_passes_differ_where_channels_are_dropped_and_leave_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(2, 1, 2, {"features": [4, 6], "finest": 4})
    next(iter(net.trunk.children())).eval()
    images = torch.randn(1, 1, 16, 12)
    were = [part.training for part in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    found = opinion(net, images, 4, np.random.default_rng(0))
    assert found.variance.shape == (1, 1, 16, 12)
    assert float(found.variance.max()) > 0
    assert [part.training for part in net.modules()] == were
    assert not any(part._forward_hooks for part in net.modules())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items()), "statistics of norms too"
    again = opinion(net, images, 4, np.random.default_rng(0))
    assert torch.equal(found.chances, again.chances)


def test_dropped_channels_are_made_up_for() -> None:
    """The mean over many passes of a norm's channels is what it is without dropping."""
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(3)).eval()
    x = torch.ones(4000, 3, 1, 1)
    with dropping(norm, 0.2, np.random.default_rng(0)), torch.no_grad():
        y = norm(x)
    assert set(np.round(y.unique().tolist(), 3)) == {0.0, 1.25}
    assert float(y.mean()) == pytest.approx(1.0, abs=0.02)


def test_without_weight_the_networks_are_independent() -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(3, 1, 1, {"features": [4, 6], "finest": 4})
    objective = Umct({"liver": (1,)}, peers=2, passes=2, weight=0.0)
    roles = objective.roles(net)
    images = torch.randn(1, 1, 8, 12, 16)
    batch = Batch(images, (images[:, 0] > 0).long())
    terms = objective.losses("main", roles, {LABELLED: batch, UNLABELLED: batch}, State(1, 1, np.random.default_rng(0)))
    assert float(terms["together"].detach()) == 0
    assert float(terms["supervised"].detach()) > 0


def test_too_many_peers_and_networks_without_norms_are_refused(tmp_path: Path) -> None:
    net = backbone("unet").build(3, 1, 1, {"features": [4, 6], "finest": 4})
    with pytest.raises(BadCall, match="2 to 3 views in 3 dimensions, not 4"):
        Umct({"liver": (1,)}, peers=4).roles(net)
    with pytest.raises(BadCall, match="no batch, instance or group norm"):
        opinion(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 3, 3), 2, np.random.default_rng(0))
