"""`ostensor fit` and `eval` as typed: what reaches training, and what is refused before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall
from ostensor.training.reliability import adapting as adapting_evaluate
from ostensor.training.reliability import pool as pool_evaluate
from ostensor.training.reliability import ranking
from ostensor.training.segmenting import fit as fitting


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `fit` was called with; nothing is trained."""
    calls: list[dict[str, Any]] = []

    def fit(config: str, **given: object) -> Path:
        calls.append({"config": config, **given})
        return Path("runs/made")

    monkeypatch.setattr(fitting, "fit", fit)
    return calls


@pytest.mark.parametrize(
    ("words", "seed", "steps"),
    [
        ([], None, None),
        (["--seed", "3"], 3, None),
        (["--seed", "0", "--steps", "80"], 0, 80),
        (["--steps", "1"], None, 1),
    ],
)
def test_seed_and_steps_reach_training(
    words: list[str], seed: int | None, steps: int | None, fitted: list[dict[str, Any]]
) -> None:
    done = CliRunner().invoke(app, ["fit", "hippocampus", *words])
    assert done.exit_code == 0, done.output
    assert "Run folder: runs/made" in done.output
    assert fitted == [
        {"config": "hippocampus", "device": "cpu", "resume": True, "until": None, "seed": seed, "steps": steps}
    ]


@pytest.mark.parametrize("words", [["--steps", "0"], ["--steps", "-3"], ["--seed", "-1"], ["--seed", "x"]])
def test_numbers_that_are_no_seed_or_length_are_refused(words: list[str], fitted: list[dict[str, Any]]) -> None:
    done = CliRunner().invoke(app, ["fit", "hippocampus", *words])
    assert done.exit_code == 2
    assert words[0] in done.output
    assert fitted == []


@pytest.mark.parametrize("config", ["flans", "paint-hippocampus", "hippocampus-raters"])
@pytest.mark.parametrize("words", [["--seed", "0"], ["--steps", "5"]])
def test_networks_that_make_no_pool_refuse_seed_and_steps(
    config: str, words: list[str], fitted: list[dict[str, Any]]
) -> None:
    done = CliRunner().invoke(app, ["fit", config, *words])
    assert isinstance(done.exception, BadCall)
    assert f"--seed and --steps of '{config}' are not known" in str(done.exception)
    assert fitted == []


@pytest.mark.parametrize("words", [["--seed", "1"], ["--steps", "5"]])
def test_a_comparison_of_augmentations_refuses_seed_and_steps(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["fit", "paint-hippocampus", "--augment", "synthetic", *words])
    assert isinstance(done.exception, BadCall)
    assert "seeds and steps of its own" in str(done.exception)


@pytest.mark.parametrize("words", [["--seed", "1"], ["--steps", "5"]])
def test_prognosis_models_refuse_seed_and_steps(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["fit", "prognosis-synthetic", *words])
    assert isinstance(done.exception, BadCall)
    assert "'prognosis-synthetic' is a prognosis model" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "module", "calls"),
    [
        (["--rank", "--most", "3", "--threads", "1"], ranking, [("hippocampus", {"most": 3, "threads": 1})]),
        (["--pool", " a, b,"], pool_evaluate, [("hippocampus", ["a", "b"], {"most": 8, "threads": None})]),
        (["--adapt"], adapting_evaluate, [("hippocampus", {"most": 8, "threads": None})]),
    ],
)
def test_each_question_about_doubt_measures_writes_and_shows_its_table(
    words: list[str], module: Any, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Any] = []
    written: list[Any] = []

    def measure(*given: object, **named: object) -> str:
        measured.append((*given, named))
        return "rows"

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "write", lambda *given: written.append(given))
    monkeypatch.setattr(module, "table", lambda rows: f"| table of {rows} |")
    monkeypatch.setattr(adapting_evaluate, "tune", lambda config, threads: "tuned")
    done = CliRunner().invoke(app, ["eval", "hippocampus", *words])
    assert done.exit_code == 0, done.output
    assert done.output == "| table of rows |\n"
    assert measured == calls
    assert written == [("sat-mini-hippocampus", "rows", *(["tuned"] if module is adapting_evaluate else []))]
