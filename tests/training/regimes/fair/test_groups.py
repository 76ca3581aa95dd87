"""Groups as tables tell them, and batches in which each has its turn."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.language.satmini.fixed_classes import ClassesConfig
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.objective import Batch
from ostensor.training.regimes.fair.groups import number_groups, read_groups
from ostensor.training.regimes.fair.turns import in_turn
from ostensor.training.runs import read_run
from ostensor.training.segmenting.config import Groups
from ostensor.training.segmenting.fit import fit, grouped_streams


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "groups.csv"
    rows = ["patient,sex,age", *(f"p{n},{'f' if n % 3 else 'm'},5{n}" for n in range(7)), "p7,,60"]
    path.write_text("\ufeff" + "\n".join(rows), encoding="utf-8")
    return path


def test_a_table_tells_groups_and_leaves_who_is_not_told_out(table: Path) -> None:
    found = read_groups(table, "sex")
    assert found == {f"p{n}": "f" if n % 3 else "m" for n in range(7)}
    assert number_groups(found, ["p7", "p0", "p1", "stranger"]) == {"p7": -1, "p0": 1, "p1": 0, "stranger": -1}


def test_tables_that_do_not_say_it_are_refused(table: Path) -> None:
    with pytest.raises(BadCall, match=r"has no column 'Sex'\. Closest: 'sex'"):
        read_groups(table, "Sex")
    with pytest.raises(BadCall, match=r"'none.csv' cannot be read"):
        read_groups(table.with_name("none.csv"), "sex")
    with pytest.raises(BadCall, match="of 1 known groups"):
        number_groups(read_groups(table, "sex"), ["p1", "p2", "p7"])
    twice = table.with_name("twice.csv")
    twice.write_text("patient,sex\nsecret,f\nsecret,m\n", encoding="utf-8")
    with pytest.raises(BadCall, match="a patient in two groups of 'sex'") as refused:
        read_groups(twice, "sex")
    assert "secret" not in str(refused.value)


def test_groups_have_their_turn_even_where_a_batch_is_smaller_than_their_number() -> None:
    def stream(group: int) -> object:
        return lambda step, part: Batch(torch.full((1, 1, 2, 2), float(group)), torch.full((1, 2, 2), part))

    drawn = in_turn({-1: stream(-1), 0: stream(0), 1: stream(1)}, 2)  # type: ignore[dict-item]  # plain functions
    found = [drawn(step, 0) for step in range(3)]
    assert [one.groups.tolist() for one in found if one.groups is not None] == [[-1, 0], [1, -1], [0, 1]]
    for one in found:
        assert one.groups is not None
        assert torch.equal(one.images[:, 0, 0, 0], one.groups.float())
        assert one.labels[:, 0, 0].tolist() == [0, 1], "samples of a batch differ though their groups be the same"


def test_a_run_with_groups_draws_each_patient_in_the_group_told(
    folders: Folders, tiny: ModuleType, table: Path
) -> None:
    """One patient of six is of group m: every second sample is that patient's."""
    train = sorted({case.patient for case in tiny.DATASET.cases(folders.data, "train")})
    table.write_text("patient,sex\n" + "".join(f"{one},{'m' if n == 0 else 'f'}\n" for n, one in enumerate(train)))
    network = ClassesConfig(3, options={"features": (4, 6), "finest": 4})
    plan = replace(
        tiny.plan(steps=3),
        name="fair-tiny",
        objective="fair",
        options={},
        network=network,
        groups=Groups(table.name, "sex"),
    )
    found = grouped_streams(plan, folders.data)
    stream, counts = found.by_name["labelled"], found.cases["labelled"]
    assert counts == {"tiny": 6}
    seen: Counter[int] = Counter()
    for step in range(4):
        groups = stream(step, 0).groups
        assert groups is not None
        seen.update(groups.tolist())
    assert seen == {0: 4, 1: 4}
    assert not torch.equal(stream(0, 0).images, stream(1, 0).images)
    assert torch.equal(stream(1, 0).images, stream(1, 0).images)
    assert (fit(plan, folders, How()) / "checkpoint.pt").exists()


def test_the_bundled_configuration_says_where_its_groups_stand() -> None:
    plan = read_run("fair-cardiac")[1]
    assert plan.groups == Groups("acdc_cine/groups.csv", "group")
    assert plan.objective == "fair"
