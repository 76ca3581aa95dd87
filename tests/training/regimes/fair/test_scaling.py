"""FairSeg's scaling against its formula by hand, and what it must do where the released code fails."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.fair.scaling import (
    Fair,
    loss_of_groups,
    scale_as_released,
    scale_groups,
    scaled_dice,
    weighed_dice,
)
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row
from ostensor.training.trainer import Schedule, Trainer

LESSON = Lesson({"liver": (1,), "spleen": (2,)}, (), {})


def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Probabilities, masks (7 2 5 3) and groups; no two groups are served alike."""
    generator = torch.Generator().manual_seed(3)
    masks = (torch.rand(7, 2, 5, 3, generator=generator) > 0.6).float()
    groups = torch.tensor([0, 1, 1, 2, 0, 2, 1])
    noise = torch.rand(7, 2, 5, 3, generator=generator) * (0.2 + 0.3 * groups).reshape(-1, 1, 1, 1)
    return (masks - noise).abs(), masks, groups


def dice_by_hand(p: np.ndarray, t: np.ndarray) -> list[float]:
    return [
        1 - (2 * (p[:, n] * t[:, n]).sum() + 1e-5) / ((p[:, n] ** 2).sum() + (t[:, n] ** 2).sum() + 1e-5)
        for n in range(p.shape[1])
    ]


def test_the_group_served_best_weighs_tanh_of_one_and_the_others_less() -> None:
    p, masks, groups = drawn()
    lost = {one: sum(dice_by_hand(p[groups == one].numpy(), masks[groups == one].numpy())) for one in (0, 1, 2)}
    expected = [math.tanh((min(lost.values()) / lost[int(one)]) ** 2) for one in groups]
    found = scale_groups(p, masks, groups, 2.0)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert found[groups == 0].tolist() == pytest.approx([math.tanh(1)] * 2)
    assert len(set(found.tolist())) == 3


def test_the_loss_is_dice_of_scaled_probabilities() -> None:
    p, masks, groups = drawn()
    weights = scale_groups(p, masks, groups, 1.0)
    expected = np.mean(dice_by_hand((p * weights.reshape(-1, 1, 1, 1)).numpy(), masks.numpy()))
    assert float(scaled_dice(p, masks, weights)) == pytest.approx(expected, rel=1e-6)


def test_a_missing_group_has_no_say_but_stops_the_released_code() -> None:
    p, masks, groups = drawn()
    groups = torch.where(groups == 1, 2, groups)
    q = p.clone().requires_grad_()
    scaled_dice(q, masks, scale_groups(q, masks, groups, 1.0)).backward()
    assert q.grad is not None
    assert q.grad.abs().sum() > 0.1
    q = p.clone().requires_grad_()
    loss = scaled_dice(q, masks, scale_as_released(q, masks, groups, 1.0, 3))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1, abs=1e-5)
    assert q.grad.abs().sum() == 0


def test_the_unknown_weigh_one_and_change_no_group() -> None:
    p, masks, groups = drawn()
    known = groups != 1
    found = scale_groups(p, masks, torch.where(known, groups, -1), 1.0)
    assert found[~known].tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(found[known], scale_groups(p[known], masks[known], groups[known], 1.0))
    assert scale_groups(p, masks, torch.full_like(groups, -1), 1.0).tolist() == [1.0] * 7


@pytest.mark.parametrize("mode", ["prediction", "loss"])
def test_the_order_of_a_batch_does_not_matter(mode: str) -> None:
    p, masks, groups = (one.double() if one.is_floating_point() else one for one in drawn())
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])

    def loss(p: torch.Tensor, masks: torch.Tensor, groups: torch.Tensor) -> float:
        if mode == "loss":
            return float(weighed_dice(p, masks, groups, 1.0))
        return float(scaled_dice(p, masks, scale_groups(p, masks, groups, 1.0)))

    assert loss(p[order], masks[order], groups[order]) == pytest.approx(loss(p, masks, groups), rel=1e-9)


def test_weighed_losses_lean_to_the_group_served_worst() -> None:
    """By hand: losses a_g with weights a_g / least, divided by their mean; with gamma 0 the plain mean of groups."""
    p, masks, groups = (one.double() if one.is_floating_point() else one for one in drawn())
    lost = loss_of_groups(p, masks, groups, torch.tensor([0, 1, 2])).numpy() / 2
    assert float(weighed_dice(p, masks, groups, 1.0)) == pytest.approx((lost * lost).sum() / lost.sum())
    assert float(weighed_dice(p, masks, groups, 0.0)) == pytest.approx(lost.mean())


def batch(groups: torch.Tensor | None) -> Batch:
    labels = torch.randint(0, 3, (3, 16, 12), generator=torch.Generator().manual_seed(4))
    return Batch(labels[:, None].float(), labels, groups)


@pytest.mark.parametrize("mode", ["prediction", "loss"])
def test_the_objective_teaches_and_resumes_to_the_bit(tmp_path: Path, mode: str) -> None:
    given = batch(torch.tensor([0, 1, -1]))

    def trainer(folder: str) -> Trainer:
        torch.manual_seed(0)
        net = backbone("unet").build(2, 1, 2, {"features": [4, 6]})
        objective = objective_row("fair").objective(Lesson(LESSON.structures, (), {"mode": mode}))
        return Trainer(net, objective, Schedule(steps=4, warm_up=1, save_every=2), tmp_path / folder)

    whole = trainer("whole")
    before = {name: value.clone() for name, value in whole.model.state_dict().items()}
    whole.fit(lambda step, part: given)
    assert all(not torch.equal(before[name], value) for name, value in whole.model.named_parameters() if "conv" in name)
    trainer("halves").fit(lambda step, part: given, until=2)
    again = trainer("halves")
    assert again.resume()
    again.fit(lambda step, part: given)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_scans_without_groups_and_unknown_modes_are_refused() -> None:
    net = backbone("unet").build(2, 1, 2, {"features": [4, 6]})
    with pytest.raises(BadCall, match=r"needs every scan's group. Name a table and its column in \[groups\]"):
        Fair(LESSON.structures).losses(
            "main", {MODEL: net}, {LABELLED: batch(None)}, State(0, 1, np.random.default_rng(0))
        )
    with pytest.raises(BadCall, match=r"'released' is no mode of 'fair'\. Set one of prediction, loss"):
        objective_row("fair").objective(Lesson(LESSON.structures, (), {"mode": "released"}))
