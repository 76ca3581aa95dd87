"""`ostensor eval parity`: the stored outputs are those of the authors' code; spoilt fixtures must not hold.

Fixtures: `tests/parity` always, and those in OSTENSOR_PARITY or `../shared/parity` that a row understands.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from ostensor.benchmarks.accuracy import parity
from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall
from ostensor.models.parity import Against, Fixture

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "tests" / "parity"
OUTSIDE = Path(os.environ.get("OSTENSOR_PARITY", ROOT.parent / "shared" / "parity"))
BUNDLED = sorted(folder.parent for folder in HERE.glob("*/config.json"))


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", "parity", *map(str, words)])


def compared(*words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    done = run(*words, "--json")
    return done.exit_code, json.loads(done.stdout)


def understood(folder: Path) -> list[Path]:
    """Fixtures in a folder that have a row."""
    fixtures = [Fixture(config.parent) for config in sorted(folder.glob("*/config.json"))]
    return [one.folder for one in fixtures if any(a.understands(one) for row in parity.ROWS for a in row.parity)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The probabilistic U-Net's fixture, to be spoilt."""
    return Path(shutil.copytree(HERE / "probunet", tmp_path / "probunet"))


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A JSON or npz file with its values changed in place."""
    if file.suffix == ".json":
        values = json.loads(file.read_text(encoding="utf-8"))
        change(values)
        file.write_text(json.dumps(values), encoding="utf-8")
    else:
        with np.load(file) as stored:
            values = dict(stored)
        change(values)
        np.savez(file, **values)


def failed(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Output -> reason, of those that do not hold."""
    return {row["output"]: row["reason"] for row in rows if not row["holds"]}


def test_every_bundled_fixture_holds_and_shows_each_output_once() -> None:
    status, rows = compared(HERE)
    assert failed(rows) == {}
    assert status == 0
    for folder in BUNDLED:
        with np.load(folder / "outputs.npz") as stored:
            names = [row["output"] for row in rows if row["fixture"] == folder.name and row["kind"] == "output"]
            assert sorted(names) == sorted(stored.files)
    assert all(row["error"] <= row["tolerance"] for row in rows)


@pytest.mark.data
def test_every_understood_fixture_outside_holds_and_every_row_has_one() -> None:
    if not OUTSIDE.is_dir():
        pytest.skip("needs the folder of parity fixtures (set OSTENSOR_PARITY)")
    folders = understood(OUTSIDE)
    status, rows = compared(*folders)
    assert failed(rows) == {}
    assert status == 0
    assert {row["system"] for row in rows} == {row.name for row in parity.ROWS}


def test_a_fixture_has_one_row_and_bundled_ones_stay_small() -> None:
    """The tables are literal; 5 MB is what a clone may cost."""
    for folder in (*BUNDLED, *(OUTSIDE.glob("*/") if OUTSIDE.is_dir() else ())):
        rows = [row.name for row in parity.ROWS for one in row.parity if one.understands(Fixture(folder))]
        assert len(rows) == 1 or (not rows and folder.parent == OUTSIDE), folder.name
    assert sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file()) < 5e6


def test_the_table_for_people_says_what_holds_and_what_not(copy: Path) -> None:
    good = run(HERE / "probunet")
    assert good.exit_code == 0
    assert good.stdout.rstrip().endswith("All 9 hold.")
    rewrite(copy / "outputs.npz", lambda values: values.update(kl=values["kl"] + 1))
    bad = run(copy)
    assert bad.exit_code == 1
    assert "NO: 1 of 1" in bad.stdout
    assert bad.stdout.rstrip().endswith("1 of 9 do not hold.")


def test_one_perturbed_weight_does_not_hold(copy: Path) -> None:
    """One number of 71,076, by five percent as the fixtures' makers perturbed theirs; what it cannot reach still holds."""
    state = load_file(copy / "model.safetensors")
    state["task_net.reduce-2.weight"][0, 0] *= 1.05
    save_file(state, copy / "model.safetensors")
    status, rows = compared(copy)
    assert status == 1
    assert set(failed(rows)) == {"prior_mean_output", "draws"}
    assert all(row["error"] > row["tolerance"] for row in rows if not row["holds"])


def test_a_missing_weight_does_not_hold_and_says_why(copy: Path) -> None:
    state = load_file(copy / "model.safetensors")
    del state["task_net.reduce-1.bias"]
    save_file(state, copy / "model.safetensors")
    status, rows = compared(copy)
    assert status == 1
    assert len(failed(rows)) == len(rows) == 7
    assert all(row["reason"].startswith("ours could not be run: These are no weights of ProbUNetV2") for row in rows)
    assert {row["error"] for row in rows} == {None}


def test_a_missing_input_does_not_hold_and_says_why(copy: Path) -> None:
    rewrite(copy / "inputs.npz", lambda values: values.pop("mask"))
    status, rows = compared(copy)
    assert status == 1
    assert set(failed(rows).values()) == {"ours could not be run: KeyError: 'mask'"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v["draws"].__setitem__((1, 0, 0, 7, 11), 9.0), "1 of 6144 values lie beyond the tolerance"),
        (lambda v: v.pop("draws"), "the fixture does not hold this output"),
        (lambda v: v.update(draws=v["draws"][:, :1]), "ours has the shape [2, 2, 1, 32, 48], theirs [2, 1, 1, 32, 48]"),
        (lambda v: v["draws"].__setitem__((0, 0), np.nan), "1536 of 6144 values of theirs are not finite"),
    ],
)
def test_one_wrong_output_fails_alone(change: Callable[[dict[str, Any]], object], reason: str, copy: Path) -> None:
    rewrite(copy / "outputs.npz", change)
    status, rows = compared(copy)
    assert status == 1
    assert failed(rows) == {"draws": reason}


def test_an_output_we_do_not_give_does_not_hold(copy: Path) -> None:
    rewrite(copy / "outputs.npz", lambda values: values.update(surprise=values["kl"]))
    assert failed(compared(copy)[1]) == {"surprise": "the fixture states no tolerance for it"}
    rewrite(copy / "config.json", lambda values: values["tolerance"].update(surprise={"atol": 1}))
    status, rows = compared(copy)
    assert status == 1
    assert failed(rows) == {"surprise": "ours does not give this output"}


@pytest.mark.parametrize(
    ("file", "change", "fact"),
    [
        (
            "config.json",
            lambda v: v.update(source="github nobody/Nothing"),
            r"Nothing here has parity with 'probunet' \(nobody/Nothing.*SAT \(zhaoziheng/SAT\), FLanS .* DuPLUS .* PULASki ",
        ),
        ("config.json", lambda v: v.pop("tolerance"), "lacks system, source or tolerance"),
        ("config.json", lambda v: v["tolerance"].update(kl=-1), "tolerance of 'kl' .* is -1"),
        ("config.json", lambda v: v["tolerance"].update(kl={"atol": "wide"}), "tolerance of 'kl' .* 'wide'"),
    ],
)
def test_a_fixture_that_cannot_be_judged_is_refused_with_nothing_on_standard_output(
    file: str, change: Callable[[dict[str, Any]], object], fact: str, copy: Path
) -> None:
    rewrite(copy / file, change)
    done = run(copy, "--json")
    assert isinstance(done.exception, BadCall)
    assert done.exit_code != 0
    assert done.stdout == ""
    with pytest.raises(BadCall, match=fact):
        parity.measure([copy])


def test_folders_without_a_fixture_and_broken_files_are_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadCall, match="'empty' is no parity fixture and holds none"):
        parity.measure([tmp_path / "empty"])
    (copy / "outputs.npz").write_bytes(b"PK broken")
    with pytest.raises(BadCall, match=r"'probunet' holds no readable outputs\.npz"):
        parity.measure([copy])
    (copy / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadCall, match=r"'probunet' holds no readable config\.json"):
        parity.measure([copy])


def test_nothing_runs_when_one_of_several_is_not_understood(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(copy / "config.json", lambda values: values.update(source="nobody/Nothing"))
    monkeypatch.setattr(parity, "compare", lambda fixture, row: pytest.fail(f"{fixture.name} was run"))
    with pytest.raises(BadCall, match="'probunet'"):
        parity.measure([HERE, copy])


TOY = Against("toy/toy")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[parity.Compared]]:
    """Compares what a made-up system answers with what a made-up fixture stores."""

    def compare(
        ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: object, kept: Mapping[str, Any] | None = None
    ) -> list[parity.Compared]:
        folder = tmp_path / "toy"
        folder.mkdir(exist_ok=True)
        config = {"system": "toy", "source": "github toy/toy", "tolerance": tolerance}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        np.savez(folder / "outputs.npz", **{name: np.array(value) for name, value in theirs.items()})
        np.savez(folder / "intermediates.npz", **{name: np.array(value) for name, value in (kept or {}).items()})
        code = SimpleNamespace(reproduce=lambda fixture: {name: torch.tensor(value) for name, value in ours.items()})
        row = SimpleNamespace(name="toy", parity=(TOY,), code=lambda: code)
        monkeypatch.setattr(parity, "ROWS", (row,))
        return parity.measure([folder])

    return compare


@pytest.mark.parametrize(
    ("tolerance", "allowed", "holds"),
    [
        (0.3, 0.3, True),
        ({"atol": 0.3, "rtol": 0}, 0.3, True),
        ({"atol": 0.0, "rtol": 0.1}, 0.2, False),
        ({"a": 0.2}, 0.2, False),
        ({"a": {"atol": 0.1, "rtol": 0.1}}, 0.3, True),
    ],
)
def test_tolerances_are_a_number_or_two_for_all_or_by_name(
    tolerance: object, allowed: float, holds: bool, toy: Callable[..., list[parity.Compared]]
) -> None:
    """By hand: 2.25 for 2 is 0.25 off; -4 for -4 is exact and has the wider share of rtol."""
    (found,) = toy({"a": [2.25, -4.0]}, {"a": [2.0, -4.0]}, tolerance)
    assert found.holds is holds
    assert found.error == 0.25
    assert found.tolerance == pytest.approx(allowed)


def test_the_value_that_uses_most_of_its_tolerance_is_shown(toy: Callable[..., list[parity.Compared]]) -> None:
    """0.5 off 100 is half of what rtol 0.01 allows; 0.2 off 10 is twice."""
    (found,) = toy({"a": [100.5, 10.2]}, {"a": [100.0, 10.0]}, {"atol": 0, "rtol": 0.01})
    assert not found.holds
    assert (found.error, found.tolerance) == (pytest.approx(0.2), pytest.approx(0.1))
    assert found.reason == "1 of 2 values lie beyond the tolerance"


def test_without_any_tolerance_only_equal_numbers_hold(toy: Callable[..., list[parity.Compared]]) -> None:
    assert toy({"a": [1, 2]}, {"a": [1, 2]}, 0)[0].holds
    assert not toy({"a": [1, 3]}, {"a": [1, 2]}, 0)[0].holds


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_never_holds(value: float, toy: Callable[..., list[parity.Compared]]) -> None:
    """Not even where the authors' value is the same infinity: such a number shows nothing."""
    assert toy({"a": [1.0, value]}, {"a": [1.0, 1.0]}, 9)[0].reason == "1 of 2 values of ours are not finite"
    assert not toy({"a": [value]}, {"a": [value]}, 9)[0].holds


def test_an_empty_output_shows_nothing_and_a_fixture_without_any_is_refused(
    toy: Callable[..., list[parity.Compared]],
) -> None:
    assert toy({"a": []}, {"a": []}, 1)[0].reason == "it is empty"
    with pytest.raises(BadCall, match="'toy' holds no outputs"):
        toy({"a": [1.0]}, {}, 1)


def test_intermediates_are_held_to_the_loosest_tolerance_where_ours_answers_them(
    toy: Callable[..., list[parity.Compared]],
) -> None:
    """The stored one may be a leading corner; one that ours does not answer, and an answer nobody asked, are left out."""
    tolerance = {"a": {"atol": 0.5}, "b": {"atol": 0.1}}
    ours = {"a": [1.0], "b": [1.0], "deep": [[1.4, 7.0], [7.0, 7.0]], "more": [0.0]}
    rows = toy(ours, {"a": [1.0], "b": [1.0]}, tolerance, {"deep": [[1.0]], "other": [1.0]})
    assert [(row.output, row.kind, row.holds) for row in rows[2:]] == [("deep", "intermediate", True)]
    assert rows[2].tolerance == 0.5
    far = toy(ours | {"deep": [[1.6]]}, {"a": [1.0], "b": [1.0]}, tolerance, {"deep": [[1.0]]})
    assert not far[2].holds
    flat = toy(ours | {"deep": [1.0]}, {"a": [1.0], "b": [1.0]}, tolerance, {"deep": [[1.0]]})
    assert flat[2].reason == "ours has the shape [1], theirs [1, 1]"
