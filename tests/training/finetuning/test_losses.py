"""Losses of classes against monai and slow obvious versions; strong views; what a weak view teaches."""

import monai.losses
import numpy as np
import pytest
import torch

from ostensor.models.labelled.sss.network import SssNet
from ostensor.training.finetuning.losses import class_cross_entropy, class_dice_loss, shrink_labels
from ostensor.training.finetuning.strong_views import strengthen
from ostensor.training.finetuning.weak_to_strong import WeakToStrong, agreement
from ostensor.training.objective import LABELLED, MODEL, UNLABELLED, Batch, State

from .conftest import NETWORKS


@pytest.mark.parametrize("chance", ["sigmoid", "softmax"])
def test_dice_is_monais_as_finetune_sam_calls_it(chance: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 4, 5, 7, generator=generator), torch.randint(0, 4, (2, 5, 7), generator=generator)
    theirs = monai.losses.DiceLoss(
        **{chance: True}, squared_pred=True, to_onehot_y=True, reduction="mean", smooth_nr=1e-5, smooth_dr=1e-5
    )(logits, labels[:, None].float())
    assert float(class_dice_loss(logits, labels, chance)) == pytest.approx(float(theirs), abs=1e-6)  # type: ignore[arg-type]  # one of both


def test_pixels_that_count_nothing_change_no_loss() -> None:
    """A quarter of the picture against the same quarter cut out, whose mean is over a quarter of the pixels."""
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(1, 3, 6, 8, generator=generator), torch.randint(0, 3, (1, 6, 8), generator=generator)
    weights = torch.zeros(1, 6, 8)
    weights[:, :3, :4] = 1
    cut = logits[:, :, :3, :4], labels[:, :3, :4]
    assert torch.allclose(class_dice_loss(logits, labels, "softmax", weights), class_dice_loss(*cut, "softmax"))
    assert torch.allclose(4 * class_cross_entropy(logits, labels, weights), class_cross_entropy(*cut))


def test_labels_are_brought_to_the_size_of_the_logits_and_stay_numbers() -> None:
    labels = torch.arange(16).view(1, 4, 4) % 5
    assert torch.equal(shrink_labels(labels, 2), labels[:, ::2, ::2])


def test_a_strong_view_has_other_greys_in_the_same_places() -> None:
    """A square stays where it is: its middle differs from what is around it, in every draw; the same draw gives the same view."""
    picture = torch.full((3, 1, 24, 24), 0.2)
    picture[:, :, 5:12, 9:20] = 0.8
    views = strengthen(picture, np.random.default_rng(0))
    again = strengthen(picture, np.random.default_rng(0))
    assert torch.equal(views, again)
    assert not torch.allclose(views[0], views[1])
    assert views.min() >= 0
    assert views.max() <= 1
    for view in views:
        assert view[0, 7:10, 12:17].mean() > view[0, 15:, :].mean() + 0.1


def test_views_agree_by_their_angle() -> None:
    a = torch.randn(1, 4, 2, 2)
    assert torch.allclose(agreement(a, 3 * a, 8), torch.ones(1, 8, 8), atol=1e-5)
    assert torch.allclose(agreement(a, -a, 8), torch.zeros(1, 8, 8), atol=1e-5)


@pytest.fixture(scope="module")
def net() -> SssNet:
    torch.manual_seed(0)
    made = SssNet(NETWORKS["sss"])  # type: ignore[arg-type]  # that of SSS
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return made


def _terms(net: SssNet, objective: WeakToStrong, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    given = Batch(torch.rand(2, 1, 64, 64, generator=generator), torch.randint(0, 3, (2, 64, 64), generator=generator))
    more = torch.rand(2, 1, 64, 64, generator=generator)
    other = Batch(more, torch.zeros(2, 64, 64, dtype=torch.long) if labels is None else labels)
    state = State(50, 100, np.random.default_rng(7))
    return dict(objective.losses("main", {MODEL: net}, {LABELLED: given, UNLABELLED: other}, state))


def test_outlines_of_the_unlabelled_stream_are_never_looked_at(net: SssNet) -> None:
    one = _terms(net, WeakToStrong(threshold=0.4))
    other = _terms(net, WeakToStrong(threshold=0.4), torch.full((2, 64, 64), 2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert float(one["consistency"].detach()) > 0


def test_a_weak_view_that_is_never_sure_teaches_nothing(net: SssNet) -> None:
    """Above every probability nothing counts: the cross-entropy is 0, and Dice of nothing is 0; without weight likewise."""
    for objective in (WeakToStrong(threshold=1.1), WeakToStrong(threshold=0.0, weight=0.0)):
        assert float(_terms(net, objective)["consistency"].detach()) == pytest.approx(0, abs=1e-6)


def test_no_gradient_runs_through_the_weak_view(net: SssNet) -> None:
    lesson = WeakToStrong(threshold=0.4).teach(net, torch.rand(2, 1, 64, 64))
    assert not any(one.requires_grad for one in (*lesson.maps, lesson.sure, lesson.boxes.corners))
    assert set(lesson.sure.unique().tolist()) <= {0.0, 1.0}


def test_what_is_taught_without_outlines_grows_with_the_steps() -> None:
    """exp(-5 (1 - t)^2) at half of the way to `grown`."""
    state = State(20, 100, np.random.default_rng(0))
    assert state.ramp("sigmoid", 40) == pytest.approx(np.exp(-5 * 0.25))
