"""Choosing from a pool: members that are read from runs, toys that agree or contradict themselves, and the table."""

import dataclasses
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.language.satmini.predictor import SatMiniPredictor
from ostensor.models.text.encoders import known_vectors
from ostensor.training.folders import Folders
from ostensor.training.reliability import pool as pool_evaluate
from ostensor.training.reliability.adapting import SPOILT
from ostensor.training.reliability.pool import Picked, measure, member, picks_of, table, write
from ostensor.training.segmenting.config import RunConfig
from ostensor.training.segmenting.fit import network_of

# OpenVINO traces the network through torch.jit, which torch calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
LIVER = {"liver": (1,)}


def _saved(folder: Path, **states: object) -> None:
    folder.mkdir(parents=True)
    torch.save(states, folder / "checkpoint.pt")


def test_a_member_is_the_averaged_network_of_its_run(tiny: ModuleType, folders: Folders) -> None:
    """Not the one trained last; what it says is what the network itself says, in the precision of its features."""
    plan = dataclasses.replace(tiny.plan(), views=("x",), single=("liver",))
    torch.manual_seed(0)
    last, average = (network_of(plan).eval() for _ in range(2))
    average.load_state_dict({name: value + (name == "text.2.bias") for name, value in average.state_dict().items()})
    _saved(folders.runs / "toy-seed1", average=average.state_dict(), roles={"student": last.state_dict()})
    found = member(plan, "toy-seed1", runs=folders.runs, threads=1)
    image = np.random.default_rng(0).normal(size=(12, 10, 8)).astype(np.float32)
    text = torch.from_numpy(known_vectors()["liver"])[None]
    with torch.no_grad():
        said, other = (
            torch.sigmoid(net(torch.from_numpy(image)[None, None], text))[0].numpy() for net in (average, last)
        )
    assert found.probabilities(image, ["liver"]) == pytest.approx(said, abs=0.02)
    assert np.abs(said - other).max() > 0.05, "the two can be told apart"
    assert (found.decisions.single, found.decisions.views) == ({"liver"}, ("x",))
    assert found.how == plan.preparation


def test_the_bundled_network_may_be_a_member_until_a_run_has_its_name(
    toys: ModuleType, tiny: ModuleType, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = toys.predictor(toys.brighter_than(toys.CUT_HU))
    monkeypatch.setattr(pool_evaluate, "load_predictor", lambda name, threads: {toys.NAME: bundled}[name])
    assert member(tiny.plan(), toys.NAME, runs=folders.runs) is bundled
    _saved(folders.runs / toys.NAME, average={})
    with pytest.raises(Unavailable, match="of another network"):
        member(tiny.plan(), toys.NAME, runs=folders.runs)


def test_a_run_that_is_not_there_or_of_another_network_is_refused(tiny: ModuleType, folders: Folders) -> None:
    plan = tiny.plan()
    with pytest.raises(
        Unavailable, match=r"no run 'toy-seed1'.*`ostensor fit CONFIG --seed N`, or name 'sat-mini-torso'"
    ):
        member(plan, "toy-seed1", runs=folders.runs)
    wider = dataclasses.replace(plan, network=dataclasses.replace(plan.network, features=(8, 24)))
    _saved(folders.runs / "toy-seed1", average=network_of(wider).state_dict())
    with pytest.raises(Unavailable, match="'toy-seed1' is of another network than 'sat-mini-torso'"):
        member(plan, "toy-seed1", runs=folders.runs)


@pytest.mark.parametrize("members", [["a"], ["a", "a"], []])
def test_a_pool_of_one_leaves_no_choice(members: list[str], toy_plan: RunConfig, folders: Folders) -> None:
    with pytest.raises(BadCall, match=f"A pool of {len(set(members))} leaves no choice"):
        measure(toy_plan, members, folders)


def _pool(toys: ModuleType) -> dict[str, SatMiniPredictor]:
    """One that looks voxel by voxel and so never contradicts itself; one whose cut moves with the patch it sees, from
    which the body around the liver is marked in some; and one that marks nothing and is sure of it."""

    def moody(image: torch.Tensor) -> torch.Tensor:
        return 9 * (image - toys.prepared(toys.BODY_HU)) - 9 + 40 * (image.mean() - toys.prepared(100)).abs()

    return {
        "silent": toys.predictor(toys.brighter_than(340, 30.0)),
        "moody": toys.predictor(moody),
        "calm": toys.predictor(toys.brighter_than(toys.CUT_HU)),
    }


def test_the_member_that_never_contradicts_itself_is_chosen(toys: ModuleType) -> None:
    """Patches overlap, so a voxel by voxel answer has no spread; the silent one's is none, either, but it marks nothing."""
    found = {one.change: one for one in picks_of(_pool(toys), toys.case(), LIVER)}
    assert list(found) == list(SPOILT)
    clean = found["none"]
    assert clean.scores["silent"] == math.inf
    assert clean.scores["calm"] == pytest.approx(0, abs=1e-9)
    assert clean.scores["moody"] > 0.001
    assert (clean.dice["silent"], clean.dice["calm"]) == (0.0, 1.0)
    assert 0 < clean.dice["moody"] < 0.9
    assert (clean.chosen, clean.selected) == ("calm", 1.0)


def test_the_ensemble_is_the_mean_of_probabilities(toys: ModuleType) -> None:
    """In the liver .99 and .2 make .6, so all of it is marked; .99 and .0 and .2 make .4, so nothing is."""
    calm = toys.predictor(toys.brighter_than(toys.CUT_HU, 7.0))
    low = toys.predictor(lambda image: 0 * image - math.log(4))
    none = toys.predictor(lambda image: 0 * image - 20)
    two = next(picks_of({"calm": calm, "low": low}, toys.case(), LIVER))
    three = next(picks_of({"calm": calm, "low": low, "none": none}, toys.case(), LIVER))
    assert (two.ensemble, three.ensemble) == (1.0, 0.0)


def test_where_nobody_marks_anything_nobody_is_chosen(toys: ModuleType) -> None:
    silent = [toys.predictor(toys.brighter_than(340, 30.0)) for _ in range(2)]
    found = next(picks_of(dict(zip("ab", silent, strict=True)), toys.case(), LIVER))
    assert found.chosen is None
    assert found.selected == found.ensemble == 0.0


def test_dice_is_the_mean_over_structures_the_scan_shows(toys: ModuleType) -> None:
    """Label 1 as two structures: one that is found exactly, and one whose opposite is marked; no spleen is here."""
    network = toys.predictor(toys.brighter_than(toys.CUT_HU), ("liver", "stomach", "spleen"))
    structures = {"liver": (1,), "stomach": (1,), "spleen": (2,)}
    found = next(picks_of({"a": network, "b": network}, toys.case(), structures))
    assert found.dice == {"a": 0.5, "b": 0.5}


def test_a_scan_without_any_of_the_structures_is_left_out(toys: ModuleType) -> None:
    network = toys.predictor(toys.brighter_than(toys.CUT_HU))
    assert list(picks_of({"a": network, "b": network}, toys.case(), {"liver": (7,)})) == []


def test_held_out_cases_and_claimed_structures_are_measured(
    toys: ModuleType, toy_plan: RunConfig, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spleen is not claimed by the network whose card this borrows; nor is it shown. Four patients, five changes."""
    pool = _pool(toys)
    asked: list[str] = []

    def picks(given: object, case: object, structures: dict[str, object]) -> list[Picked]:
        assert given == {"calm": pool["calm"], "moody": pool["moody"]}
        asked.append(case.patient)  # type: ignore[attr-defined]
        assert list(structures) == ["liver"]
        return []

    monkeypatch.setattr(pool_evaluate, "member", lambda plan, name, runs, threads: pool[name])
    monkeypatch.setattr(pool_evaluate, "picks_of", picks)
    assert measure(toy_plan, ["calm", "moody"], folders) == []
    held_out = sorted(toys.DATASET.held_out([f"p{n}" for n in range(6)]))
    assert asked == held_out
    asked.clear()
    measure(toy_plan, ["calm", "moody"], folders, most=2)
    assert asked == [held_out[0], held_out[-1]]


FOUND = [
    Picked("none", {"a": 0.9, "b": 0.6}, 0.8, {"a": 0.1, "b": 0.2}, "a"),
    Picked("none", {"a": 0.4, "b": 0.8}, 0.7, {"a": 0.1, "b": 0.2}, "a"),
    Picked("noise", {"a": 0.0, "b": 0.3}, 0.2, {"a": math.inf, "b": math.inf}, None),
]


def test_the_table_by_hand() -> None:
    """b is better over all three (1.7 against 1.3). Without a choice the mean of probabilities stands for it."""
    lines = table(FOUND).splitlines()
    assert lines[2:5] == [
        "| none | 2 | 0.675 | 0.700 (0) | 0.750 (0) | 0.650 (1) | 0.850 (0) | 1 |",
        "| noise | 1 | 0.150 | 0.300 (1) | 0.200 (1) | 0.200 (1) | 0.300 (1) | 0 |",
        "| all | 3 | 0.500 | 0.567 (1) | 0.567 (1) | 0.500 (2) | 0.667 (1) | 1 |",
    ]
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert "the member best over all of these scans, b," in lines[-1]
    assert lines[-1].endswith("Chosen: a 2, b 0.")


def test_the_report_gets_the_pools_section(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("# Doubt\n")
    write("toys", FOUND, path)
    assert path.read_text() == f"# Doubt\n\n## selection from a pool, toys\n\n{table(FOUND)}\n"
