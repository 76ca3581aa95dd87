"""What holds of every objective of few labels: it learns, what is frozen stays, it stops and resumes without a trace, it names its terms."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, UNLABELLED, Batch, Objective, State
from ostensor.training.regimes.row import Lesson, ObjectiveRow
from ostensor.training.regimes.semi.rows import OBJECTIVES
from ostensor.training.runs import read_run
from ostensor.training.trainer import Schedule, Stream, Trainer

LESSON = {"liver": (1,), "spleen": (2, 3)}
FROZEN = {"bcp": ("teacher",), "cfcnet": ("model",)}
EVERY = pytest.mark.parametrize("row", OBJECTIVES, ids=lambda row: row.name)
PLAN = Schedule(steps=4, warm_up=1, learning_rate=0.01, save_every=2, bf16=False)


def streams(dims: int = 2, count: int = 2) -> Mapping[str, Stream]:
    sides = [16, 12, 8][:dims]

    def batch(seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randint(0, 4, (count, *[-(-side // 4) for side in sides]), generator=generator)
        labels = coarse
        for axis in range(1, dims + 1):
            labels = labels.repeat_interleave(4, axis)
        return Batch(labels[:, None].float() + 0.3 * torch.randn(count, 1, *sides, generator=generator), labels)

    def unlabelled(step: int, part: int) -> Batch:
        images = batch(5000 + 10 * step + part).images
        return Batch(images, torch.full_like(images[:, 0], -1).long())

    return {LABELLED: lambda step, part: batch(10 * step + part), UNLABELLED: unlabelled}


def trainer(row: ObjectiveRow, folder: Path, dims: int = 2, plan: Schedule = PLAN) -> Trainer:
    torch.manual_seed(0)
    net = backbone("unet").build(dims, 1, 2, {"features": [4, 6, 8], "finest": 4})
    return Trainer(net, row.objective(Lesson(LESSON, (), {})), plan, folder)


def weights(made: Trainer) -> dict[str, torch.Tensor]:
    return {f"{r}.{n}": v.clone() for r, net in made.roles.items() for n, v in net.state_dict().items()}


@EVERY
@pytest.mark.parametrize("dims", [2, 3])
def test_every_role_learns_or_only_follows(row: ObjectiveRow, dims: int, tmp_path: Path) -> None:
    made = trainer(row, tmp_path, dims)
    learned = {id(value) for group in made.groups.values() for value in group}
    before = {role: [v.clone() for v in net.parameters()] for role, net in made.roles.items()}
    made.fit(streams(dims))
    for role, net in made.roles.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[role], net.parameters(), strict=True)]
        assert any(moved), role
        assert all(id(value) in learned for value in net.parameters()) == (role not in FROZEN.get(row.name, ()))
    assert (tmp_path / "log.csv").read_text().count("\n") == 5


@EVERY
def test_a_run_cut_in_two_is_bit_for_bit_the_whole_run(row: ObjectiveRow, tmp_path: Path) -> None:
    whole = trainer(row, tmp_path / "whole")
    whole.fit(streams())
    trainer(row, tmp_path / "cut").fit(streams(), until=2)
    cut = trainer(row, tmp_path / "cut")
    assert cut.resume()
    cut.fit(streams())
    again = weights(cut)
    assert all(torch.equal(value, again[name]) for name, value in weights(whole).items())
    assert all(torch.equal(value, cut.average[name]) for name, value in whole.average.items())


@EVERY
def test_chance_comes_from_the_state_alone(row: ObjectiveRow, tmp_path: Path) -> None:
    """The same step of the same networks, with torch's own generator elsewhere."""
    batches = {name: stream(0, 0) for name, stream in streams().items()}
    found = []
    for seed in (1, 2):
        made = trainer(row, tmp_path)
        torch.manual_seed(seed)
        state = State(3, 4, np.random.default_rng(5))
        terms = made.objective.losses("main", made.roles, batches, state)
        found.append({name: float(value.detach()) for name, value in terms.items()})
    assert found[0] == found[1]
    assert all(np.isfinite(list(found[0].values())))


@EVERY
def test_a_stream_that_is_missing_is_named(row: ObjectiveRow, tmp_path: Path) -> None:
    made = trainer(row, tmp_path)
    assert made.objective.streams == row.streams
    if UNLABELLED in row.streams:
        with pytest.raises(BadCall, match=f"'{made.objective.name}' needs the data streams .*unlabelled"):
            made.fit({LABELLED: streams()[LABELLED]})


@EVERY
def test_a_network_of_other_channels_is_refused(row: ObjectiveRow, tmp_path: Path) -> None:
    objective: Objective = row.objective(Lesson({"liver": (1,)}, (), {}))
    net = backbone("unet").build(2, 1, 2, {"features": [4, 6, 8], "finest": 4})
    with pytest.raises(BadCall, match="2 output channels, but 1 structures"):
        Trainer(net, objective, PLAN, tmp_path).fit(streams())


@EVERY
def test_it_says_how_near_it_is_and_has_a_configuration(row: ObjectiveRow) -> None:
    assert row.system
    assert row.number > 0
    assert row.source
    assert all(one.endswith(".") for one in row.deviations)
    run = read_run(f"{row.name}-hippocampus")[1]
    assert run.objective == row.name
    assert (run.labelled_cases > 0) == (UNLABELLED in row.streams)
