"""Hi-End-MAE: patches and losses by their definition, what may depend on what, and what of the network learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention.hiend import HiEndUnetr, place_codes
from ostensor.models.backbones.table import backbone
from ostensor.models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.pretraining.hiend import DECODER, HiEndMae, as_patches, hidden_loss, predict
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row
from ostensor.training.runs import read_run
from ostensor.training.trainer import Schedule, Trainer

SIZES = {"width": 24, "depth": 4, "heads": 2, "patch": 4, "feature": 4}
OPTIONS = {"width": 12, "heads": 2, "before": 1}
SIDES = (8, 12, 16)


def batch() -> Batch:
    images = torch.randn(2, 1, *SIDES, generator=torch.Generator().manual_seed(2))
    return Batch(images, torch.full((2, *SIDES), -1))


def made(**changes: float) -> tuple[HiEndMae, dict[str, torch.nn.Module]]:
    torch.manual_seed(0)
    objective = objective_row("hiend-mae").objective(Lesson({}, (), {**OPTIONS, **changes}))
    assert isinstance(objective, HiEndMae)
    return objective, objective.roles(FixedClasses(ClassesConfig(3, "hiend-unetr", SIZES), ("liver", "spleen")))


def test_patches_are_cut_as_slices_would() -> None:
    image = torch.randn(2, 3, *SIDES, generator=torch.Generator().manual_seed(1))
    found = as_patches(image, 4)
    number = 0
    for x in range(2):
        for y in range(3):
            for z in range(4):
                cube = image[:, :, 4 * x : 4 * x + 4, 4 * y : 4 * y + 4, 4 * z : 4 * z + 4]
                assert torch.equal(found[:, number], cube.movedim(1, -1).flatten(1))
                number += 1
    assert found.shape == (2, number, 3 * 64)


def test_the_loss_is_that_of_hidden_patches_normed_each_for_itself() -> None:
    rng = np.random.default_rng(0)
    said, patches = rng.normal(size=(2, 6, 5)), rng.normal(2, 3, size=(2, 6, 5))
    shuffle = np.stack([rng.permutation(6) for _ in range(2)])
    wrong = []
    for b in range(2):
        for n in shuffle[b, 2:]:
            one = patches[b, n]
            wrong.append((said[b, n] - (one - one.mean()) / np.sqrt(one.var() + 1e-6)) ** 2)
    tensors = [torch.from_numpy(one) for one in (said, patches, shuffle)]
    assert float(hidden_loss(*tensors, 2)) == pytest.approx(np.mean(wrong))
    tensors[0][0, int(shuffle[0, 0])] += 1
    tensors[1][1, int(shuffle[1, 1])] += 1
    assert float(hidden_loss(*tensors, 2)) == pytest.approx(np.mean(wrong)), "visible patches do not count"


def test_what_is_said_depends_on_visible_patches_alone() -> None:
    _, roles = made()
    net, decoder = roles[MODEL].net, roles[DECODER]
    shuffle = torch.stack([torch.randperm(24, generator=torch.Generator().manual_seed(n)) for n in range(2)])
    places = place_codes((2, 3, 4), 24), place_codes((2, 3, 4), 12)
    image = batch().images

    def said(image: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return predict(net.encoder, decoder, image, shuffle, 6, places)

    def changed(patch: int) -> torch.Tensor:
        x, y, z = np.unravel_index(patch, (2, 3, 4))
        other = image.clone()
        other[0, :, 4 * x : 4 * x + 4, 4 * y : 4 * y + 4, 4 * z : 4 * z + 4] += 1
        return said(other)

    plain = said(image)
    assert torch.equal(changed(int(shuffle[0, 6])), plain)
    seen = changed(int(shuffle[0, 5]))
    assert torch.equal(seen[1], plain[1])
    assert not torch.allclose(seen[0], plain[0], atol=1e-4)


def test_a_shallow_block_learns_straight_from_the_decoder() -> None:
    """With all blocks behind it silenced for gradients, the block that is asked first still gets one."""
    objective, roles = made()
    net = roles[MODEL].net
    asked = roles[DECODER].depths(4)
    assert asked == [1, 2, 3]
    cut = net.encoder.blocks[asked[0] + 1]
    cut.register_forward_pre_hook(lambda module, given: (given[0].detach(),))
    terms = objective.losses("main", roles, {LABELLED: batch()}, State(0, 1, np.random.default_rng(0)))
    terms["hidden"].backward()
    grad = net.encoder.blocks[asked[0]].mlp.fc1.weight.grad
    assert grad is not None
    assert grad.abs().sum() > 0


def test_the_encoder_and_its_decoder_learn_and_training_resumes_to_the_bit(tmp_path: Path) -> None:
    def trainer(folder: str) -> Trainer:
        objective, roles = made()
        schedule = Schedule(steps=4, warm_up=1, save_every=2, weight_decay=0.05)
        return Trainer(roles[MODEL], objective, schedule, tmp_path / folder)

    given = batch()
    whole = trainer("whole")
    before = {role: {k: v.clone() for k, v in net.state_dict().items()} for role, net in whole.roles.items()}
    whole.fit(lambda step, part: given)
    for role, net in whole.roles.items():
        for name, value in net.state_dict().items():
            learns = role == DECODER or name.startswith("net.encoder.")
            assert torch.equal(value, before[role][name]) != learns, (role, name)
    trainer("halves").fit(lambda step, part: given, until=2)
    again = trainer("halves")
    assert again.resume()
    again.fit(lambda step, part: given)
    for role, net in whole.roles.items():
        for name, value in net.state_dict().items():
            assert torch.equal(value, again.roles[role].state_dict()[name])


def test_places_have_codes_of_their_own_that_do_not_depend_on_the_grid() -> None:
    small, large = place_codes((2, 3, 4), 12)[0], place_codes((3, 3, 4), 12)[0]
    assert torch.equal(small, large[: len(small)]), "the first axis runs slowest"
    assert len({tuple(row.tolist()) for row in large}) == 36
    with pytest.raises(ValueError, match="a multiple of 6, not 10"):
        place_codes((1, 1, 1), 10)


def test_what_makes_no_task_is_refused() -> None:
    for ratio in (0.0, 1.0):
        objective, roles = made(ratio=ratio)
        with pytest.raises(BadCall, match=f"Of 24 patches {24 if ratio == 0 else 0} would be visible"):
            objective.losses("main", roles, {LABELLED: batch()}, state())
    objective, roles = made()
    with pytest.raises(BadCall, match=r"do not divide by 4. Change the patch"):
        objective.losses("main", roles, {LABELLED: cut(batch(), 3)}, state())
    with pytest.raises(BadCall, match='teaches the backbone "hiend-unetr" and no other'):
        objective.roles(backbone("unet").build(2, 1, 2, {"features": [4, 6]}))
    with pytest.raises(BadCall, match="5 depths of 4 blocks"):
        made(across=5)
    with pytest.raises(BadCall, match="make no decoder: 5 heads cannot share 12"):
        made(heads=5)


def test_the_bundled_configurations_belong_together() -> None:
    first, later = (read_run(name)[1] for name in ("hiend-mae-hippocampus", "hiend-unetr-hippocampus"))
    assert later.start_run == first.name
    assert later.network == first.network


def test_unetrs_levels_halve_and_double(tmp_path: Path) -> None:
    net = backbone("hiend-unetr").build(3, 1, 2, SIZES)
    assert isinstance(net, HiEndUnetr)
    said = net(torch.zeros(1, 1, *SIDES))
    assert {name: tuple(one.shape[1:]) for name, one in said.features.items()} == {
        "encoder.0": (4, 8, 12, 16), "encoder.1": (8, 4, 6, 8), "encoder.2": (24, 2, 3, 4),
        "decoder.1": (8, 4, 6, 8), "decoder.0": (4, 8, 12, 16),
    }  # fmt: skip


def cut(given: Batch, end: int) -> Batch:
    return Batch(given.images[..., :end], given.labels[..., :end])


def state() -> State:
    return State(0, 1, np.random.default_rng(0))
