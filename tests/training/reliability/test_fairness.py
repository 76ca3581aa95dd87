"""Groups of patients compared: equity by hand, Holm against a worked example, a gap that is there and one that is not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall
from ostensor.training.cases import Case
from ostensor.training.folders import Folders
from ostensor.training.reliability import fairness
from ostensor.training.reliability.gaps import compare_groups, correct_by_holm, enough, scale_by_equity
from ostensor.training.segmenting.config import RunConfig


def test_equity_scaling_by_hand() -> None:
    assert scale_by_equity(0.8, [0.9, 0.7, 0.8]) == pytest.approx(0.8 / 1.2)
    assert scale_by_equity(0.8, [0.9, 0.7], "spread") == pytest.approx(0.8 / 1.1)
    assert scale_by_equity(0.8, [0.8, 0.8]) == 0.8
    found = [scale_by_equity(0.8, [0.8 + gap, 0.8 - gap]) for gap in (0, 0.05, 0.1)]
    assert found[0] > found[1] > found[2]


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling: 0.02, 0.03, 0.06, 0.06."""
    assert correct_by_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_by_holm([0.6, 0.7]) == [1.0, 1.0]


def cohort(shift: float) -> tuple[dict[str, float], dict[str, str]]:
    rng = np.random.default_rng(6)
    groups = {f"p{n}": "abc"[n % 3] for n in range(75)}
    scores = {one: float(rng.normal(0.8 - shift * (group == "c"), 0.05)) for one, group in groups.items()}
    return scores, groups


def test_a_gap_that_is_there_is_found_between_the_groups_it_lies_between() -> None:
    scores, groups = cohort(0.1)
    found = compare_groups({"liver": scores}, groups)[0]
    means = {one: np.mean([scores[p] for p, group in groups.items() if group == one]) for one in "abc"}
    assert {one.group: one.mean for one in found.groups} == pytest.approx(means)
    assert all(one.low < one.mean < one.high for one in found.groups)
    assert (found.widest.below, found.widest.size) == ("c", pytest.approx(max(means.values()) - means["c"]))
    assert found.widest.corrected < 0.01
    assert {(pair.above, pair.below): pair.corrected < 0.01 for pair in found.pairs if pair.below == "c"} == {
        ("a", "c"): True, ("b", "c"): True,
    }  # fmt: skip
    assert next(pair for pair in found.pairs if pair.below != "c").corrected > 0.05


def test_chance_alone_is_called_so_and_many_questions_cost() -> None:
    scores, groups = cohort(0.0)
    alone = compare_groups({"liver": scores}, groups)[0].widest
    assert alone.p == alone.corrected > 0.05
    asked = compare_groups({"liver": cohort(0.1)[0], "spleen": scores}, groups)
    assert asked[0].widest.corrected == pytest.approx(2 * asked[0].widest.p)


def test_the_p_value_of_two_patients_each_is_that_of_all_ways_to_deal_them() -> None:
    """Of 6 ways to deal 4 patients in halves, 2 have the widest gap, 1/3 of them."""
    found = compare_groups({"x": {"1": 0.0, "2": 0.1, "3": 0.9, "4": 1.0}}, {"1": "a", "2": "a", "3": "b", "4": "b"})
    assert found[0].widest.p == pytest.approx(1 / 3, abs=0.03)


def test_small_groups_are_not_shown_and_one_group_is_no_comparison() -> None:
    groups = {**{f"a{n}": "a" for n in range(5)}, **{f"b{n}": "b" for n in range(4)}, "c0": "c"}
    shown, few = enough(groups, 4)
    assert (set(shown.values()), few) == ({"a", "b"}, ["c"])
    with pytest.raises(BadCall, match="1 of 3 groups have 5 held-out patients or more"):
        enough(groups, 5)
    with pytest.raises(BadCall, match="'liver' is scored in 1 of the groups"):
        compare_groups({"liver": {"a0": 0.5, "a1": 0.6}}, shown)


def test_a_network_that_fails_one_group_is_told_by_its_dice(
    folders: Folders, toys: ModuleType, toy_plan: RunConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A toy that marks what is bright: Dice 1 where the truth is bright, 0 for two patients whose truth lies elsewhere.

    Mean 1/2, equity-scaled 1/2 / (1 + 1/2 + 1/2) and 1/2 / (1 + 1/2), one way to deal in three as far apart.
    """
    toy = toys.predictor(toys.Toy(toys.brighter_than(toys.CUT_HU), ("liver", "spleen")), ("liver", "spleen"))
    monkeypatch.setattr(fairness, "predictor_of", lambda *given: toy)
    held = sorted({case.patient for case in toys.DATASET.cases(folders.data, "test")})

    def cases(folder: Path) -> Iterator[Case]:
        for case in toys.cases(folder):
            yield case if case.patient in held[:2] else replace(case, labels=np.roll(case.labels, 9, axis=0))

    plan = replace(toy_plan, tests=(replace(toys.DATASET, load=cases),))
    table = tmp_path / "who.csv"
    rows = "".join(f"{one},{'left' if n < 2 else 'right'}\n" for n, one in enumerate(held))
    table.write_text("patient,side\n" + rows, encoding="utf-8")
    served = fairness.measure(plan, folders, table, "side", least=2)
    (one,) = served.found
    assert (one.name, one.mean, one.scaled) == ("liver", 0.5, 0.25)
    assert one.scaled_by_spread == pytest.approx(1 / 3)
    assert one.widest.p == pytest.approx(1 / 3, abs=0.03)
    told = fairness.write_table(served)
    assert "| liver | left | 2 | 1.000 | 1.000 to 1.000 |" in told
    assert "left above right by 1.000" in told
    assert not any(one in told for one in held)
    folders.docs.mkdir()
    fairness.write("toy", served, folders.docs / "fairness.md")
    assert "## toy by side" in (folders.docs / "fairness.md").read_text(encoding="utf-8")
    with pytest.raises(BadCall, match="0 of 2 groups have 20 held-out patients"):
        fairness.measure(plan, folders, table, "side")
    table.write_text("patient,side\nnobody,left\n", encoding="utf-8")
    with pytest.raises(BadCall, match="names none of the 4 held-out patients"):
        fairness.measure(plan, folders, table, "side", least=2)


def test_the_command_wants_both_the_table_and_its_column(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "hippocampus", "--groups", "sex", "--report", str(tmp_path)])
    assert isinstance(done.exception, BadCall) or "Say --groups COLUMN --table FILE.csv" in done.output
    done = CliRunner().invoke(app, ["eval", "paint-cardiac", "--groups", "sex", "--report", str(tmp_path)])
    assert isinstance(done.exception, BadCall) or "are for segmenting ones" in done.output
