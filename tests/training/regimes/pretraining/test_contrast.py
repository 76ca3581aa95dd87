"""Contrastive learning: the loss pair by pair, what learns in each stage, and where a slice lies."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.pretraining.contrast import PROJECTOR, contrast_pairs, crop, vary_grey
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row
from ostensor.training.runs import read_run
from ostensor.training.segmenting.fit import fit, stream_of
from ostensor.training.trainer import Schedule, Trainer

TINY = {"features": (4, 6, 8), "finest": 4}


def state() -> State:
    return State(0, 1, np.random.default_rng(3))


def batch(sides: tuple[int, ...] = (24, 16), along: torch.Tensor | None = None) -> Batch:
    images = torch.randn(4, 1, *sides, generator=torch.Generator().manual_seed(2))
    return Batch(images, torch.full((4, *sides), -1), along=along)


ALONG = torch.tensor([0.0, 0.9, 0.1, 1.0])


def trainer(folder: Path, name: str, dims: int = 2, **options: float) -> Trainer:
    torch.manual_seed(0)
    net = FixedClasses(ClassesConfig(dims, options=TINY), ("liver", "spleen"))
    objective = objective_row(name).objective(Lesson({}, (), {"out": 6, **options}))
    return Trainer(net, objective, Schedule(steps=4, warm_up=1, save_every=2), folder)


def test_the_loss_is_the_mean_over_positive_pairs() -> None:
    rng = np.random.default_rng(0)
    near = rng.uniform(-1, 1, (5, 5))
    part = np.array([0, 1, 0, 1, 2])
    each = []
    for i in range(5):
        for j in range(5):
            if i != j and part[i] == part[j]:
                others = sum(np.exp(near[i, k] / 0.1) for k in range(5) if part[k] != part[i])
                each.append(-np.log(np.exp(near[i, j] / 0.1) / (np.exp(near[i, j] / 0.1) + others)))
    same = torch.from_numpy(part[:, None] == part)
    found = contrast_pairs(torch.from_numpy(near), same & ~torch.eye(5, dtype=torch.bool), ~same)
    assert len(each) == 4
    assert float(found) == pytest.approx(np.mean(each))


def test_views_differ_in_grey_values_alone_or_show_a_part() -> None:
    images = batch().images
    varied = vary_grey(images, np.random.default_rng(1))
    assert not torch.allclose(varied, images, atol=0.05)
    for one, other in zip(images, varied, strict=True):
        assert np.corrcoef(one.flatten(), other.flatten())[0, 1] == pytest.approx(1, abs=1e-5)
    ramp = torch.arange(20.0).reshape(1, 1, 20, 1).expand(1, 1, 20, 10)
    lengths = {float((part := crop(ramp, np.random.default_rng(n)))[0, 0, -1, 0] - part[0, 0, 0, 0]) for n in range(20)}
    assert min(lengths) < 17 < max(lengths) <= 19


def test_slices_of_one_part_of_the_scan_are_drawn_together(tmp_path: Path) -> None:
    """The same images: with partitions, likeness within a part lowers the loss; without, it raises it."""
    found = {}
    for partitions in (2, 0):
        teaching = trainer(tmp_path / str(partitions), "global-contrast", partitions=partitions)
        net, head = teaching.roles[MODEL], teaching.roles[PROJECTOR]
        images = batch().images
        images[2], images[3] = images[0], images[1]  # of one part each
        given = Batch(images, torch.zeros(4, 24, 16), along=ALONG)
        terms = teaching.objective.losses("main", {MODEL: net, PROJECTOR: head}, {LABELLED: given}, state())
        found[partitions] = float(terms["contrast"].detach())
    assert found[2] < found[0]
    assert teaching.objective.name == "global-contrast, as SimCLR without partitions"


@pytest.mark.parametrize(("name", "dims"), [("global-contrast", 2), ("local-contrast", 2), ("local-contrast", 3)])
def test_encoder_and_decoder_learn_in_their_stages_and_training_resumes_to_the_bit(
    tmp_path: Path, name: str, dims: int
) -> None:
    options = {"blocks": 2} if name == "local-contrast" else {"partitions": 2}
    given = batch((24, 16, 16)[:dims], ALONG)
    whole = trainer(tmp_path / "whole", name, dims, **options)
    before = {role: {k: v.clone() for k, v in net.state_dict().items()} for role, net in whole.roles.items()}
    whole.fit(lambda step, part: given)
    changed = {
        key
        for key, value in whole.roles[MODEL].state_dict().items()
        if "batches" not in key and not torch.equal(value, before[MODEL][key])
    }
    weights = {key for key in changed if "running" not in key}
    assert weights
    assert not any("heads" in key for key in weights)
    if name == "local-contrast":
        assert not any(".down." in key for key in changed), "neither weights nor what norms remember"
        assert any(".up" in key for key in weights)
    else:
        assert any(".down.2" in key for key in weights)
        assert all(".down." in key for key in weights)
    assert all(not torch.equal(v, before[PROJECTOR][k]) for k, v in whole.roles[PROJECTOR].state_dict().items())
    trainer(tmp_path / "halves", name, dims, **options).fit(lambda step, part: given, until=2)
    again = trainer(tmp_path / "halves", name, dims, **options)
    assert again.resume()
    again.fit(lambda step, part: given)
    for key, value in whole.roles[MODEL].state_dict().items():
        assert torch.equal(value, again.roles[MODEL].state_dict()[key])


def test_a_run_of_slices_knows_where_they_lie_and_stages_follow_each_other(folders: Folders, tiny: ModuleType) -> None:
    network = ClassesConfig(2, options=TINY)
    view = replace(tiny.plan().view, patch=(24, 24))
    plan = replace(
        tiny.plan(steps=2), name="one", objective="global-contrast", options={"partitions": 2.0}, network=network,
        view=view, preparation=replace(tiny.plan().preparation, dims=2), batch=8,
    )  # fmt: skip
    along = stream_of(plan, folders.data)[0](0, 0).along
    assert along is not None
    assert torch.allclose(along * 16, (along * 16).round(), atol=1e-5), "scans of 17 slices"
    assert along.unique().numel() > 3
    fit(plan, folders, How())
    local = replace(plan, name="two", objective="local-contrast", options={}, start_run="one")
    fit(local, folders, How())
    fit(replace(local, name="three", objective="supervised", start_run="two"), folders, How())


def test_what_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    teaching = trainer(tmp_path, "global-contrast", partitions=2)
    with pytest.raises(BadCall, match=r"Volumes have no place along a scan. Set partitions = 0"):
        teaching.objective.losses("main", teaching.roles, {LABELLED: batch()}, state())
    with pytest.raises(BadCall, match=r"no slices that could be told apart. Set batch to 4 or more"):
        teaching.objective.losses("main", teaching.roles, {LABELLED: batch(along=torch.zeros(4))}, state())
    local = trainer(tmp_path, "local-contrast", blocks=1)
    with pytest.raises(BadCall, match="fewer than two regions"):
        local.objective.losses("main", local.roles, {LABELLED: batch((8, 8))}, state())
    with pytest.raises(BadCall, match="No block of the decoder would learn"):
        objective_row("local-contrast").objective(Lesson({}, (), {"blocks": 0}))


def test_the_bundled_stages_begin_with_each_other() -> None:
    runs = [read_run(f"{name}cardiac")[1] for name in ("global-contrast-", "local-contrast-", "contrast-")]
    assert [run.start_run for run in runs] == ["", runs[0].name, runs[1].name]
    assert runs[0].network == runs[1].network == runs[2].network
