"""Volume Fusion: levels and mixtures by their definition, any backbone as the pupil, and a run that begins with it."""

import random
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.pretraining.fusion import VolumeFusion, draw_blocks, fuse, vary_pair
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row
from ostensor.training.runs import read_run
from ostensor.training.segmenting.evaluate import trained_model
from ostensor.training.segmenting.fit import fit
from ostensor.training.start import averaged_weights, carry_, heads_of
from ostensor.training.trainer import Schedule, Trainer

SIDES = (23, 31, 17)
TINY = ClassesConfig(2, options={"features": (4, 6), "finest": 4})


def test_every_block_has_one_level_and_the_border_none() -> None:
    """Each axis: blocks of one size on a grid with an offset; seeds are tried until sides do not divide."""
    for seed in range(5):
        found = draw_blocks(SIDES, 4, 0.7, (4, 4, 4), (6, 6, 6), random.Random(seed))
        same = random.Random(seed)
        block = [same.randint(4, 6) for _ in range(3)]
        start = [same.randint(0, s % b) for s, b in zip(SIDES, block, strict=True)]
        inside = np.zeros(SIDES, bool)
        levels = []
        for place in np.ndindex(*(s // b for s, b in zip(SIDES, block, strict=True))):
            cut = tuple(slice(o + n * b, o + (n + 1) * b) for o, n, b in zip(start, place, block, strict=True))
            assert len(np.unique(found[cut])) == 1
            levels.append(int(found[cut].flat[0]))
            inside[cut] = True
        assert not found[~inside].any()
        assert sum(level > 0 for level in levels) == int(0.7 * len(levels))
        assert set(levels) == {0, 1, 2, 3, 4}


def test_levels_mix_front_and_back_in_shares() -> None:
    generator = torch.Generator().manual_seed(0)
    front, back = torch.randn(1, *SIDES, generator=generator), torch.randn(1, *SIDES, generator=generator)
    level = torch.from_numpy(draw_blocks(SIDES, 4, 0.7, (4, 4, 4), (6, 6, 6), random.Random(1)))[None]
    mixed = fuse(front, back, level, 4)
    assert torch.equal(mixed[level == 0], back[level == 0])
    assert torch.equal(mixed[level == 4], front[level == 4])
    assert torch.allclose(mixed[level == 1], 0.25 * front[level == 1] + 0.75 * back[level == 1], atol=1e-6)


def test_contrast_is_changed_and_both_pictures_are_inverted_or_none() -> None:
    ramp = torch.linspace(-1, 2, 60).reshape(1, 10, 6)
    signs = set()
    for seed in range(40):
        one, other = vary_pair(ramp, 3 * ramp, random.Random(seed))
        assert ramp.min() - 1e-5 <= one.min()
        assert one.max() <= ramp.max() + 1e-5
        slopes = [torch.sign(x.flatten()[-1] - x.flatten()[0]).item() for x in (one, other)]
        assert slopes[0] == slopes[1]
        signs.add(slopes[0])
        assert not torch.equal(one, ramp)
    assert signs == {1.0, -1.0}


def trainer(folder: Path, config: ClassesConfig = TINY) -> Trainer:
    torch.manual_seed(0)
    objective = objective_row("volume-fusion").objective(Lesson({"liver": (1,)}, (), {"least": 3, "most": 5}))
    return Trainer(FixedClasses(config, ("liver",)), objective, Schedule(steps=4, warm_up=1, save_every=2), folder)


def batch(*sides: int) -> Batch:
    images = torch.randn(2, 1, *sides, generator=torch.Generator().manual_seed(2))
    return Batch(images, torch.full((2, *sides), -1))


def test_it_teaches_a_channel_for_each_level_and_resumes_to_the_bit(tmp_path: Path) -> None:
    given = batch(24, 16)
    whole = trainer(tmp_path / "whole")
    net = whole.roles[MODEL]
    assert isinstance(net, FixedClasses)
    assert net.structures == tuple(f"level {n}" for n in range(5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    whole.fit(lambda step, part: given)
    assert all(not torch.equal(before[name], value) for name, value in net.named_parameters() if value.dim() > 1)
    trainer(tmp_path / "halves").fit(lambda step, part: given, until=2)
    again = trainer(tmp_path / "halves")
    assert again.resume()
    again.fit(lambda step, part: given)
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.roles[MODEL].state_dict()[name])


def test_what_does_not_depend_on_the_number_of_levels_is_the_given_networks(tmp_path: Path) -> None:
    torch.manual_seed(3)
    given = FixedClasses(TINY, ("liver",))
    net = VolumeFusion().roles(given)[MODEL]
    heads = heads_of(given.config)
    assert 0 < len(heads) < len(given.state_dict())
    for name, value in given.state_dict().items():
        assert (net.state_dict()[name].shape == value.shape) == (name not in heads)
        assert name in heads or torch.equal(net.state_dict()[name], value)


def test_pctnet_takes_the_task_with_its_side_answers(tmp_path: Path) -> None:
    teaching = trainer(tmp_path, ClassesConfig(3, "pctnet"))
    terms = teaching.objective.losses(
        "main", teaching.roles, {LABELLED: batch(32, 32, 48)}, State(0, 1, np.random.default_rng(0))
    )
    sum(terms.values()).backward()  # type: ignore[union-attr]  # there are terms
    lacking = [name for name, value in teaching.model.named_parameters() if value.grad is None]
    assert lacking == []


def test_a_supervised_run_begins_with_it_and_has_its_own_heads(folders: Folders, tiny: ModuleType) -> None:
    """With a learning rate of nothing the weights are those of the run it begins with."""
    network = ClassesConfig(3, options={"features": (4, 6), "finest": 4})
    plan = replace(tiny.plan(steps=2), name="fused", objective="volume-fusion", options={}, network=network)
    fit(plan, folders, How())
    with pytest.raises(BadCall, match='start_run = "fused"'):
        trained_model(plan, folders)
    still = replace(plan.schedule, steps=1, learning_rate=0.0)
    later = replace(plan, name="later", objective="supervised", schedule=still, start_run="fused")
    fit(later, folders, How())
    begun, found = averaged_weights(folders.checkpoint("fused"), "", ""), trained_model(later, folders).state_dict()
    heads = heads_of(network)
    weights = [name for name in found if name not in heads and "running" not in name and "batches" not in name]
    assert len(weights) > 8
    assert all(torch.equal(found[name], begun[name]) for name in weights)
    assert {len(found[name]) for name in heads} == {2}
    with pytest.raises(Unavailable, match="'none' has not been trained here"):
        fit(replace(later, name="another", start_run="none"), folders, How())
    other = replace(later, name="other", network=replace(network, options={"features": (4, 8), "finest": 4}))
    with pytest.raises(BadCall, match="Give both runs the same"):
        fit(other, folders, How())


def test_weights_that_lack_something_are_refused() -> None:
    net = FixedClasses(TINY, ("liver",))
    state = net.state_dict()
    some = next(name for name in state if name not in heads_of(TINY))
    with pytest.raises(BadCall, match=f"'{some}' and 0 others do not fit"):
        carry_(net, {name: value for name, value in state.items() if name != some})
    with pytest.raises(BadCall, match="'strange' and 0 others do not fit"):
        carry_(net, {**state, "strange": torch.zeros(1)})


def test_options_and_batches_that_make_no_mixture_are_refused() -> None:
    for wrong in ({"levels": 0}, {"share": 1.5}, {"least": 9, "most": 8}):
        with pytest.raises(BadCall, match="Set levels to 1 or more"):
            objective_row("volume-fusion").objective(Lesson({}, (), wrong))
    one = Batch(torch.zeros(1, 1, 16, 16), torch.zeros(1, 16, 16))
    with pytest.raises(BadCall, match="Set batch to 2 or more"):
        VolumeFusion().losses("main", {}, {LABELLED: one}, State(0, 1, np.random.default_rng(0)))
    with pytest.raises(TypeError, match="of a fixed list, got Identity"):
        VolumeFusion().roles(torch.nn.Identity())


def test_the_bundled_configurations_belong_together() -> None:
    first, later = (read_run(name)[1] for name in ("volume-fusion-hippocampus", "pctnet-fused-hippocampus"))
    assert later.start_run == first.name
    assert later.network == first.network
    assert (first.objective, later.objective) == ("volume-fusion", "supervised")


def test_two_beginnings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    file.write_text('extends = "pctnet-fused-hippocampus"\nstart = "bundled"\n', encoding="utf-8")
    with pytest.raises(BadCall, match="Take start or start_run out"):
        read_run(str(file))
