"""Copy-paste: what is pasted where, whose labels count how much, and what the teacher becomes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.training.objective import LABELLED, MODEL, UNLABELLED, Batch, State
from ostensor.training.regimes.semi.bcp import Bcp, largest_parts, paste, pasted_loss
from ostensor.training.regimes.semi.masked import masked_dice_ce, two_classes
from ostensor.training.regimes.semi.peers import TEACHER
from ostensor.training.regimes.semi.views import hole, random_box


class Shift(torch.nn.Module):
    """Logits are the image and a number, so that what a network saw can be read off."""

    def __init__(self, number: float = 0.0) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.tensor(number))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.number


def batch(seed: int, sides: tuple[int, ...] = (11, 13)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 1, *sides, generator=generator)
    return Batch(images, (images[:, 0] > 0.4).long())


def losses(
    objective: Bcp, net: torch.nn.Module, teacher: torch.nn.Module, step: int, **more: Batch
) -> Mapping[str, float]:
    batches = {LABELLED: batch(1), UNLABELLED: batch(2), **more}
    state = State(step, 8, np.random.default_rng(3))
    terms = objective.losses("main", {MODEL: net, TEACHER: teacher}, batches, state)
    return {name: float(value.detach()) for name, value in terms.items()}


OBJECTIVE = Bcp({"liver": (1,)})


def test_a_box_is_two_thirds_of_each_side_and_lies_inside() -> None:
    found = [random_box((24, 36, 9), [2 / 3] * 3, np.random.default_rng(seed)) for seed in range(40)]
    assert {tuple(one.stop - one.start for one in box) for box in found} == {(16, 24, 6)}
    assert {box[2].start for box in found} == {0, 1, 2, 3}


def test_mixed_labels_are_the_labelled_halves_inside_and_outside() -> None:
    mask = hole((5, 7), (slice(1, 4), slice(2, 6)), torch.zeros(1))
    one, other = torch.full((1, 5, 7), 3.0), torch.full((1, 5, 7), 8.0)
    mixed = paste(one, other, mask)
    assert bool((mixed[:, 1:4, 2:6] == 8).all())
    assert int((mixed == 3).sum()) == 35 - 12


def test_the_first_stage_is_supervised_by_labelled_scans_alone() -> None:
    told = losses(OBJECTIVE, Shift(), Shift(9.0), 1)
    assert list(told) == ["pasted"]
    unseen = replace(batch(2), images=batch(2).images * float("nan"))
    assert losses(OBJECTIVE, Shift(), Shift(9.0), 1, unlabelled=unseen) == told


def test_a_pseudo_weight_of_zero_leaves_the_labelled_regions() -> None:
    """By hand: the same box, both mixtures, only the region that has labels."""
    a, u, rng = batch(1), batch(2), np.random.default_rng(3)
    mask = hole((11, 13), random_box((11, 13), [2 / 3] * 2, rng), a.images)
    inward = paste(u.images[:2], a.images[:2], mask)
    outward = paste(a.images[2:], u.images[2:], mask)
    inside = masked_dice_ce(two_classes(inward), a.labels[:2], (1 - mask).expand(2, -1, -1), pool="batch").half
    outside = masked_dice_ce(two_classes(outward), a.labels[2:], mask.expand(2, -1, -1), pool="batch").half
    found = losses(replace(OBJECTIVE, pseudo=0.0), Shift(), Shift(9.0), 5)
    assert found == pytest.approx({"inward": float(inside), "outward": float(outside)}, rel=1e-5)
    assert losses(OBJECTIVE, Shift(), Shift(9.0), 5)["inward"] > found["inward"]


def test_hidden_labels_do_not_matter() -> None:
    hidden = replace(batch(2), labels=batch(2).labels * 0 - 1)
    assert losses(OBJECTIVE, Shift(), Shift(0.3), 5) == losses(OBJECTIVE, Shift(), Shift(0.3), 5, unlabelled=hidden)


@pytest.mark.parametrize("extra", [(), (3,)])
def test_the_largest_part_of_each_is_left(extra: tuple[int, ...]) -> None:
    labels = torch.zeros(2, 7, 9, *extra, dtype=torch.long)
    labels[0, 0, 0], labels[0, 3:5, 3:6] = 1, 1
    found = largest_parts(labels)
    assert not found[1].any()
    assert not found[0, 0, 0].any()
    assert bool((found[0, 3:5, 3:6] == 1).all())


def test_the_teacher_is_the_network_and_later_follows_it_slowly() -> None:
    """Closed form: after the first stage the distance to a network that stands still shrinks by 0.99 a step."""
    roles = {MODEL: Shift(1.0), TEACHER: Shift(0.0)}
    OBJECTIVE.after_step(roles, State(1, 8, np.random.default_rng(0)))
    assert float(roles[TEACHER].number.detach()) == 1.0
    with torch.no_grad():
        roles[MODEL].number.fill_(3.0)
    for step in (2, 3, 4):
        OBJECTIVE.after_step(roles, State(step, 8, np.random.default_rng(0)))
    assert float(roles[TEACHER].number.detach()) == pytest.approx(3 - 2 * 0.99**3)


def test_weights_belong_to_regions() -> None:
    labels = torch.zeros(1, 5, 7, dtype=torch.long)
    mask = hole((5, 7), (slice(0, 2), slice(0, 7)), torch.zeros(1))
    logits = torch.zeros(1, 2, 5, 7)
    logits[:, 1, :2] = 4.0
    heavy, light = (float(pasted_loss(logits, labels, labels, mask, (1.0, w), pool="each").half) for w in (1.0, 0.0))
    assert heavy > light + 1, "the mistake lies in the patch"


def test_odd_batches_are_refused() -> None:
    odd = Batch(batch(1).images[:3], batch(1).labels[:3])
    with pytest.raises(BadCall, match="stream 'labelled' holds 3"):
        losses(OBJECTIVE, Shift(), Shift(), 1, labelled=odd)
    with pytest.raises(BadCall, match="stream 'unlabelled' holds 3"):
        losses(OBJECTIVE, Shift(), Shift(), 5, unlabelled=odd)
