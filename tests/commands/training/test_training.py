"""`ostensor fit` and `eval` as typed: what reaches training, and what is refused before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.commands.training import folders
from ostensor.imaging.errors import BadCall
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.reliability import adapting as adapting_evaluate
from ostensor.training.reliability import pool as pool_evaluate
from ostensor.training.reliability import ranking
from ostensor.training.segmenting import kind
from ostensor.training.segmenting.config import RunConfig

NAME = "sat-mini-hippocampus"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `fit` of the segmenting kind was called with; nothing is trained."""
    calls: list[Any] = []

    def fit(run: RunConfig, folders: Folders, how: How) -> Path:
        calls.append((run, folders, how))
        return Path("runs/made")

    monkeypatch.setattr(kind, "fit", fit)
    return calls


@pytest.mark.parametrize(
    ("words", "name", "seed", "steps"),
    [
        ([], "sat-mini-hippocampus", 0, None),
        (["--seed", "3"], "sat-mini-hippocampus-seed3", 3, None),
        (["--seed", "0", "--steps", "80"], "sat-mini-hippocampus-seed0", 0, 80),
        (["--steps", "1"], "sat-mini-hippocampus", 0, 1),
    ],
)
def test_seed_and_steps_reach_training(
    words: list[str], name: str, seed: int, steps: int | None, fitted: list[Any]
) -> None:
    done = CliRunner().invoke(app, ["fit", "hippocampus", *words, "--until", "5", "--no-resume"])
    assert done.exit_code == 0, done.output
    assert "Run folder: runs/made" in done.output
    ((run, _folders, how),) = fitted
    assert (run.name, run.schedule.seed, how) == (name, seed, How("cpu", False, 5))
    assert steps in (None, run.schedule.steps)


def test_folders_are_those_given_and_else_none_of_the_packages_own(
    fitted: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Runs go below the working folder; data come from OSTENSOR_DATA where nothing is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSTENSOR_DATA", str(tmp_path / "scans"))
    assert CliRunner().invoke(app, ["fit", "hippocampus"]).exit_code == 0
    assert CliRunner().invoke(app, ["fit", "hippocampus", "--data", "d", "--runs", "r", "--report", "p"]).exit_code == 0
    first, second = (call[1] for call in fitted)
    assert (first.data, first.runs) == (tmp_path / "scans", Path("runs"))
    assert (second.data, second.runs, second.docs) == (Path("d"), Path("r"), Path("p"))


def test_an_installed_package_writes_nothing_into_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a pyproject.toml beside it the package is no checkout."""
    monkeypatch.setattr(folders, "PACKAGE", tmp_path / "site-packages" / "ostensor")
    monkeypatch.delenv("OSTENSOR_DATA", raising=False)
    found = folders.folders_of()
    assert found == Folders(Path("data"), Path("runs"), Path("weights"), Path("docs"), found.shelf)
    assert found.shelf is not None
    assert found.shelf.name == "trained", "the user's own folder"


@pytest.mark.parametrize("words", [["--steps", "0"], ["--steps", "-3"], ["--seed", "-1"], ["--seed", "x"]])
def test_numbers_that_are_no_seed_or_length_are_refused(words: list[str], fitted: list[dict[str, Any]]) -> None:
    done = CliRunner().invoke(app, ["fit", "hippocampus", *words])
    assert done.exit_code == 2
    assert words[0] in done.output
    assert fitted == []


@pytest.mark.parametrize("words", [["--seed", "1"], ["--steps", "5"]])
def test_a_comparison_of_augmentations_refuses_seed_and_steps(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["fit", "paint-hippocampus", "--augment", "synthetic", *words])
    assert isinstance(done.exception, BadCall)
    assert "seeds and steps of its own" in str(done.exception)


@pytest.mark.parametrize("words", [["--calibrate"], ["--adapt"], ["--rank"], ["--robust"], ["--pool", "a,b"]])
def test_questions_about_doubt_are_for_segmenting_runs(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["eval", "prognosis-synthetic", *words])
    assert isinstance(done.exception, BadCall)
    assert "'prognosis-synthetic' is a prognosis run" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "module", "calls"),
    [
        (["--rank", "--most", "3", "--threads", "1"], ranking, [(NAME, {"most": 3, "threads": 1})]),
        (["--pool", " a, b,"], pool_evaluate, [(NAME, ["a", "b"], {"most": 8, "threads": None})]),
        (["--adapt"], adapting_evaluate, [(NAME, {"most": 8, "threads": None})]),
    ],
)
def test_each_question_about_doubt_measures_writes_and_shows_its_table(
    words: list[str], module: Any, calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured: list[Any] = []
    written: list[Any] = []

    def measure(*given: object, **named: object) -> str:
        run, *rest = given
        measured.append((run.name, *(one for one in rest if not isinstance(one, Folders)), named))  # type: ignore[attr-defined]
        return "rows"

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "write", lambda *given: written.append(given))
    monkeypatch.setattr(module, "table", lambda rows: f"| table of {rows} |")
    monkeypatch.setattr(adapting_evaluate, "tune", lambda run, folders, threads: "tuned")
    done = CliRunner().invoke(app, ["eval", "hippocampus", *words, "--report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.output == "| table of rows |\n"
    assert measured == calls
    report = tmp_path / "uncertainty.md"
    assert written == [(NAME, "rows", report, *(["tuned"] if module is adapting_evaluate else []))]
