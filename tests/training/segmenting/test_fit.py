"""Members of a pool: the same configuration under another seed and of another length."""

import dataclasses
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from ostensor.models.catalogue import WEIGHTS_FOLDER
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.runs import read_run, varied
from ostensor.training.segmenting.fit import fit


def test_a_member_differs_from_its_configuration_in_name_seed_and_length_alone() -> None:
    plan = read_run("hippocampus")[1]
    assert varied(plan) == plan
    shorter = varied(plan, steps=7)
    assert shorter.name == "sat-mini-hippocampus"
    assert shorter == dataclasses.replace(plan, schedule=dataclasses.replace(plan.schedule, steps=7))
    zero = varied(plan, seed=0)
    assert (zero.name, zero.schedule) == ("sat-mini-hippocampus-seed0", dataclasses.replace(plan.schedule, seed=0))
    both = varied(plan, seed=5, steps=7)
    assert both.name == "sat-mini-hippocampus-seed5"
    assert (both.schedule.seed, both.schedule.steps) == (5, 7)
    assert dataclasses.replace(both, name=plan.name, schedule=plan.schedule) == plan


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["average"]
    return found


def _alike(one: Path, other: Path) -> bool:
    weights, others = _weights(one), _weights(other)
    return all(torch.equal(value, others[name]) for name, value in weights.items())


def test_seeds_give_runs_of_their_own_and_the_same_seed_the_same_network(folders: Folders, tiny: ModuleType) -> None:
    """Two steps each. The configuration's own seed is 0, so member 0 is the configuration's run under another name."""
    plan = varied(tiny.plan(), steps=2)
    plain = fit(plan, folders, How())
    zero, one = (fit(varied(plan, seed=seed), folders, How()) for seed in (0, 1))
    again = fit(varied(plan, seed=1), dataclasses.replace(folders, runs=folders.runs / "again"), How())
    assert [folder.name for folder in (plain, zero, one)] == [
        f"sat-mini-torso{end}" for end in ("", "-seed0", "-seed1")
    ]
    record = json.loads((one / "run.json").read_text())
    assert (record["name"], record["steps"]) == ("sat-mini-torso-seed1", 2)
    assert (record["schedule"]["seed"], record["schedule"]["steps"]) == (1, 2)
    assert _alike(one, again)
    assert _alike(plain, zero)
    assert not _alike(zero, one)


def test_steps_set_the_whole_schedule_and_not_only_where_it_ends(folders: Folders, tiny: ModuleType) -> None:
    """Five steps of warm-up, then the three that are left are thirds of a cosine: 1, 3/4 and 1/4 of what is above 1 %."""
    folder = fit(varied(tiny.plan(), steps=8), folders, How())
    head, *rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    rates = [float(row[head.index("lr")]) for row in rows]
    assert rates == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 5e-3, 5e-3 * 0.7525, 5e-3 * 0.2575])


def test_a_member_may_start_from_the_bundled_weights(folders: Folders, tiny: ModuleType) -> None:
    """Those of the configuration's name: the member's own name has none. Nothing is learned at a rate of 0."""
    bundled = read_run("hippocampus")[1]
    plan = dataclasses.replace(
        tiny.plan(),
        name=bundled.name,
        network=bundled.network,
        view=dataclasses.replace(tiny.plan().view, patch=(16, 16, 16)),
        schedule=dataclasses.replace(tiny.plan().schedule, learning_rate=0.0),
        start=bundled.name,
    )
    found = _weights(fit(varied(plan, seed=1, steps=1), folders, How()))
    values = load_file(WEIGHTS_FOLDER / f"{bundled.name}.safetensors")
    assert torch.equal(found["text.0.weight"], values["text.0.weight"].float())


@pytest.mark.parametrize("config", ["prognosis-synthetic", "hippocampus-raters", "flans", "paint-hippocampus-pix2pix"])
def test_every_kind_of_run_can_be_another_member(config: str) -> None:
    """A name of its own, another seed, another length, and nothing else."""
    run = read_run(config)[1]
    other = read_run(config, seed=9, steps=3)[1]
    assert (other.name, other.schedule.steps) == (f"{run.name}-seed9", 3)
    assert getattr(other, "seed", None) == 9 or other.schedule.seed == 9
    assert read_run(config, seed=9)[1].schedule.steps == run.schedule.steps
