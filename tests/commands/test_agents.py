"""`check-report`, `ask` and `replay` as people type them; on a synthetic scan and on recordings, so no model is needed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.imaging.files import write_volume
from ostensor.imaging.volume import Grid

from ..toys.desks import AFFINE, toy_scan

CASSETTES = Path(__file__).resolve().parents[1] / "server" / "cassettes"


@pytest.fixture
def made(root: Path) -> Path:
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    write_volume(root / "made.nii.gz", array, Grid(array.shape, AFFINE), synthetic=True)
    (root / "report.txt").write_text("The liver is normal.\nNo [red]mass[/] in the spleen.", encoding="utf-8")
    return root


def ostensor(*words: str, root: Path, tmp_path: Path) -> object:
    return CliRunner().invoke(app, [*words, "--store", str(tmp_path / "store"), "--root", str(root)])


def test_check_report_prints_a_table_json_and_a_page(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    shown = ostensor(
        "check-report", "made.nii.gz", str(made / "report.txt"), "--out", str(out), root=made, tmp_path=tmp_path
    )
    assert shown.exit_code == 0, shown.output
    assert "cannot tell" in shown.output
    assert "[red]" in shown.output
    assert "synthetic" in (out / "report.html").read_text(encoding="utf-8")
    told = ostensor("check-report", "made.nii.gz", str(made / "report.txt"), "--json", root=made, tmp_path=tmp_path)
    assert [row["judgement"] for row in json.loads(told.stdout)["findings"]] == ["cannot_tell", "cannot_tell"]


@pytest.mark.parametrize(
    ("name", "content", "fact"), [("none.txt", None, "does not exist"), ("bad.txt", b"\xff\xfe\x00", "not UTF-8")]
)
def test_reports_that_cannot_be_read(made: Path, tmp_path: Path, name: str, content: bytes | None, fact: str) -> None:
    if content is not None:
        (made / name).write_bytes(content)
    result = ostensor("check-report", "made.nii.gz", str(made / name), root=made, tmp_path=tmp_path)
    assert isinstance(result.exception, BadCall)
    assert fact in str(result.exception)


def test_ask_cites_its_calls_and_names_a_missing_provider(made: Path, tmp_path: Path) -> None:
    said = ostensor("ask", "Which models are there?", root=made, tmp_path=tmp_path)
    assert said.exit_code == 0, said.output
    assert "toy-ct" in said.output
    assert "[call_0_" in said.output
    wrong = ostensor("ask", "Which models are there?", "--model", "anthropic:x", root=made, tmp_path=tmp_path)
    assert isinstance(wrong.exception, Unavailable)
    assert "langchain-anthropic" in str(wrong.exception)


def test_replay_answers_again_and_fails_on_a_miss(tmp_path: Path) -> None:
    again = CliRunner().invoke(app, ["replay", str(CASSETTES / "measure.cassette")])
    assert again.exit_code == 0, again.output
    assert "measures 8.813 ml" in again.output
    tape = json.loads((CASSETTES / "measure.cassette").read_text(encoding="utf-8"))
    tape["calls"] = [call for call in tape["calls"] if call["tool"] != "measure"]
    (tmp_path / "short.cassette").write_text(json.dumps(tape), encoding="utf-8")
    short = CliRunner().invoke(app, ["replay", str(tmp_path / "short.cassette")])
    assert short.exit_code == 1
    assert "1 missed" in short.output


def test_every_command_has_help() -> None:
    for words in (["ask"], ["check-report"], ["replay"], ["eval"]):
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert shown.exit_code == 0
        assert "Usage" in shown.stdout
