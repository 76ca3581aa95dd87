"""TraCoCo's losses voxel by voxel, and two contexts of one place."""

import numpy as np
import pytest
import torch

from ostensor.training.objective import LABELLED, MODEL, UNLABELLED, Batch, State
from ostensor.training.regimes.semi.peers import PEER
from ostensor.training.regimes.semi.tracoco import TraCoCo, confident_loss, context_divergence, negative_entropy
from ostensor.training.regimes.semi.views import overlapping


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(1, keepdims=True)


def test_confidence_teaches_and_what_is_unlikely_is_avoided_voxel_by_voxel() -> None:
    rng = np.random.default_rng(0)
    logits, peer = rng.normal(size=(2, 3, 5, 7)), 2 * rng.normal(size=(2, 3, 5, 7))
    p, q = softmax(logits), softmax(peer)
    towards, away = [], []
    for b, x, y in np.ndindex(2, 5, 7):
        k = int(q[b, :, x, y].argmax())
        if q[b, k, x, y] >= 0.65:
            towards.append(-q[b, k, x, y] * np.log(p[b, k, x, y]))
        away += [-np.log(1 - p[b, c, x, y]) for c in range(3) if q[b, c, x, y] < 0.1]
    assert towards
    assert away
    found = confident_loss(torch.from_numpy(logits), torch.from_numpy(peer))
    assert float(found) == pytest.approx(np.mean(towards) + np.mean(away))


def test_the_released_form_differs_from_the_paper() -> None:
    one, other = (torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(n)) * 3 for n in (0, 1))
    for loss in (confident_loss, context_divergence):
        assert float(loss(one, other)) != pytest.approx(float(loss(one, other, "released")), rel=0.01)
    assert float(negative_entropy(one)) != pytest.approx(float(negative_entropy(one, "released")), rel=0.01)


def test_equal_contexts_do_not_diverge_and_even_ones_have_the_entropy_of_a_coin() -> None:
    one = torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert float(context_divergence(one, one)) == pytest.approx(0, abs=1e-6)
    assert float(negative_entropy(torch.zeros(1, 2, 3))) == pytest.approx(-np.log(2))


def test_nothing_sure_teaches_nothing() -> None:
    logits = torch.zeros(1, 2, 5, requires_grad=True)
    assert float(confident_loss(logits, torch.zeros(1, 2, 5)).detach()) == 0


@pytest.mark.parametrize("seed", range(5))
def test_two_crops_show_the_same_where_they_overlap(seed: int) -> None:
    image = torch.rand(3, 17, 13, 11)
    crops = overlapping((17, 13, 11), 0.75, np.random.default_rng(seed))
    first, second = image[(..., *crops.first)], image[(..., *crops.second)]
    assert first.shape == second.shape == (3, 12, 9, 8)
    shared = first[(..., *crops.in_first)]
    assert torch.equal(shared, second[(..., *crops.in_second)])
    assert shared.numel() > 0


class Bright(torch.nn.Module):
    """Voxel by voxel, so that the context is without influence."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.gain * images


def test_networks_that_see_no_context_agree() -> None:
    """The same network twice, voxel by voxel: the overlap is answered alike, so nothing is left to agree on."""
    images = torch.randn(2, 1, 16, 12, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, (images[:, 0] > 0).long())
    roles = {MODEL: Bright(), PEER: Bright()}
    state = State(10, 10, np.random.default_rng(0))
    objective = TraCoCo({"liver": (1,)})
    terms = objective.losses("main", roles, {LABELLED: batch, UNLABELLED: batch}, state)
    assert float(terms["agreement"].detach()) == pytest.approx(0, abs=1e-6)
    assert float(terms["confident"].detach()) > 0
    assert float(terms["entropy"].detach()) < 0
