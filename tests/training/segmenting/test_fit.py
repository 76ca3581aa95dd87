"""Members of a pool: the same configuration under another seed and of another length."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ostensor.imaging.errors import BadCall
from ostensor.models.catalogue import WEIGHTS_FOLDER
from ostensor.training.segmenting import fit as fitting
from ostensor.training.segmenting.config import read_config
from ostensor.training.segmenting.fit import fit, member_of


def test_a_member_differs_from_its_configuration_in_name_seed_and_length_alone() -> None:
    plan = read_config("hippocampus")
    assert member_of(plan) == plan
    shorter = member_of(plan, steps=7)
    assert shorter.name == "sat-mini-hippocampus"
    assert shorter == dataclasses.replace(plan, schedule=dataclasses.replace(plan.schedule, steps=7))
    zero = member_of(plan, seed=0)
    assert (zero.name, zero.schedule) == ("sat-mini-hippocampus-seed0", dataclasses.replace(plan.schedule, seed=0))
    both = member_of(plan, seed=5, steps=7)
    assert both.name == "sat-mini-hippocampus-seed5"
    assert (both.schedule.seed, both.schedule.steps) == (5, 7)
    assert dataclasses.replace(both, name=plan.name, schedule=plan.schedule) == plan


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["average"]
    return found


def _alike(one: Path, other: Path) -> bool:
    weights, others = _weights(one), _weights(other)
    return all(torch.equal(value, others[name]) for name, value in weights.items())


def test_seeds_give_runs_of_their_own_and_the_same_seed_the_same_network(tiny_plan: Path) -> None:
    """Two steps each. The configuration's own seed is 0, so member 0 is the configuration's run under another name."""
    plain = fit("tiny", runs=tiny_plan, steps=2)
    zero, one = (fit("tiny", runs=tiny_plan, steps=2, seed=seed) for seed in (0, 1))
    again = fit("tiny", runs=tiny_plan / "again", steps=2, seed=1)
    assert [folder.name for folder in (plain, zero, one)] == [
        f"sat-mini-torso{end}" for end in ("", "-seed0", "-seed1")
    ]
    record = json.loads((one / "run.json").read_text())
    assert (record["name"], record["steps"]) == ("sat-mini-torso-seed1", 2)
    assert (record["schedule"]["seed"], record["schedule"]["steps"]) == (1, 2)
    assert _alike(one, again)
    assert _alike(plain, zero)
    assert not _alike(zero, one)


def test_steps_set_the_whole_schedule_and_not_only_where_it_ends(tiny_plan: Path) -> None:
    """Five steps of warm-up, then the three that are left are thirds of a cosine: 1, 3/4 and 1/4 of what is above 1 %."""
    folder = fit("tiny", runs=tiny_plan, steps=8)
    head, *rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    rates = [float(row[head.index("lr")]) for row in rows]
    assert rates == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 5e-3, 5e-3 * 0.7525, 5e-3 * 0.2575])


def test_a_member_may_start_from_the_bundled_weights(tiny_plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the configuration's name: the member's own name has none. Nothing is learned at a rate of 0."""
    import tiny

    bundled = read_config("hippocampus")
    plan = dataclasses.replace(
        tiny.plan(),
        name=bundled.name,
        network=bundled.network,
        view=dataclasses.replace(tiny.plan().view, patch=(16, 16, 16)),
        schedule=dataclasses.replace(tiny.plan().schedule, learning_rate=0.0),
        start="bundled",
    )
    monkeypatch.setattr(fitting, "read_config", lambda _name: plan)
    found = _weights(fit("tiny", runs=tiny_plan, seed=1, steps=1))
    values = load_file(WEIGHTS_FOLDER / f"{bundled.name}.safetensors")
    assert torch.equal(found["text.0.weight"], values["text.0.weight"].float())


@pytest.mark.parametrize("given", [{"seed": 1}, {"steps": 5}, {"seed": 0, "steps": 5}])
def test_a_prognosis_model_is_no_member_of_a_pool(given: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="'prognosis-synthetic' is a prognosis model"):
        fit("prognosis-synthetic", runs=tmp_path, **given)  # type: ignore[arg-type]  # mypy takes them for any argument
    assert list(tmp_path.iterdir()) == []
