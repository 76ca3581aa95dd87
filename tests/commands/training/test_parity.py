"""`eval` is a group since `eval parity`; `eval CONFIG` means what it always did, and standard output is JSON alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.training.reliability import ranking

FIXTURES = Path(__file__).resolve().parents[2] / "parity"


@pytest.mark.parametrize(
    "words", [["hippocampus", "--rank"], ["--rank", "hippocampus"], ["config", "hippocampus", "--rank"]]
)
def test_a_configuration_is_measured_wherever_its_options_stand(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ranking, "measure", lambda run, folders, **given: asked.append(run.name))
    monkeypatch.setattr(ranking, "write", lambda name, rows, path: None)
    monkeypatch.setattr(ranking, "table", lambda rows: "table")
    done = CliRunner().invoke(app, ["eval", *words, "--report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.output == "table\n"
    assert asked == ["sat-mini-hippocampus"]


def test_the_help_of_eval_names_both_and_each_has_its_own() -> None:
    whole = CliRunner().invoke(app, ["eval", "--help"]).stdout
    assert "parity" in whole
    assert "config" in whole
    assert "--json" in CliRunner().invoke(app, ["eval", "parity", "--help"]).stdout
    assert "--rank" in CliRunner().invoke(app, ["eval", "hippocampus", "--help"]).stdout


def test_parity_needs_a_folder() -> None:
    done = CliRunner().invoke(app, ["eval", "parity"])
    assert done.exit_code == 2
    assert "FOLDER" in done.output


def ostensor(*words: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostensor.commands", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_a_script_reads_json_and_the_exit_status_and_people_one_line_of_refusal(tmp_path: Path) -> None:
    done = ostensor("eval", "parity", FIXTURES / "probunet", FIXTURES / "loss_pulaski", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    keys = {"fixture", "system", "output", "kind", "holds", "error", "tolerance", "atol", "rtol", "reason"}
    assert all(set(row) == keys for row in rows)
    assert [row["fixture"] for row in rows] == sorted((row["fixture"] for row in rows), reverse=True)
    refused = ostensor("eval", "parity", tmp_path, "--json", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
