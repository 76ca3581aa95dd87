"""`ostensor batch`: a table in a folder, JSON for machines, exit status 1 when a scan failed."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ostensor.commands import batch as command
from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall
from ostensor.tools.desk.desk import Desk


@pytest.fixture
def common(desk: Desk, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that lead to the toy desk."""
    monkeypatch.setattr(command, "opened_desk", lambda *_args, **_limits: desk)
    return ["--store", str(tmp_path / "store"), "--root", str(root)]


def test_a_batch_writes_into_a_new_folder_and_says_so_in_json(common: list[str], root: Path) -> None:
    words = [
        "batch",
        "*.nii.gz",
        "--structures",
        "liver, spleen",
        "--out",
        "results/first",
        "--what",
        "volume",
        "--json",
    ]
    done = CliRunner().invoke(app, [*words, "--formats", "csv", *common])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["cohort"]["done"], result["cohort"]["verdicts"]) == (1, {"present": 2})
    with (root / result["files"][0]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["structure"] for row in rows} == {"liver", "spleen"}
    assert result["files"][0].startswith("results/first/batch_")
    assert "intensity_mean" not in rows[0]


def test_a_failed_scan_is_shown_and_the_status_is_1(common: list[str], root: Path) -> None:
    (root / "bad.nii.gz").write_bytes(b"no scan")
    done = CliRunner().invoke(
        app, ["batch", "ct.nii.gz", "bad.nii.gz", "--structures", "liver", "--formats", "csv", *common]
    )
    assert done.exit_code == 1
    assert "1 done, 1 failed" in done.stdout
    assert "scan 1" in done.stdout


def test_a_batch_of_no_structures_is_refused(common: list[str]) -> None:
    done = CliRunner().invoke(app, ["batch", "ct.nii.gz", "--structures", " , ", *common])
    assert isinstance(done.exception, BadCall)
    assert "--structures is empty" in str(done.exception)
