"""`ostensor archives`, as a person types it, against the small server."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ostensor.commands.app import app
from ostensor.commands.options import opened_desk
from ostensor.commands.watching import doctor
from ostensor.imaging.errors import BadCall
from ostensor.store.archives.nodes import read_nodes

from ..imaging.made_dicom import ct_slice
from ..toys.archive_server import TOKEN, ArchiveServer, running_archive


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("PACS_TOKEN", TOKEN)
    with running_archive() as server:
        server.add(*[ct_slice(3.0 * n, SeriesNumber=1) for n in range(4)])
        yield server


def typed(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["archives", *words, "--archives", str(file)])


def test_an_archive_is_added_checked_used_and_removed(toy: ArchiveServer, tmp_path: Path) -> None:
    file, store = tmp_path / "archives.toml", ["--store", str(tmp_path / "s"), "--root", str(tmp_path)]
    assert "No archive is configured" in typed(file, "list").stdout
    added = typed(
        file, "add", "pacs", "--kind", "dicomweb", "--url", toy.url, "--token-env", "PACS_TOKEN", "--may-store"
    )
    assert added.exit_code == 0, added.output
    assert "dicomweb://pacs" in added.stdout
    assert TOKEN not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (line,) = typed(file, "list").stdout.splitlines()
    assert line.split(maxsplit=2)[0] == "dicomweb://pacs"
    assert line.endswith("key in PACS_TOKEN, may store")
    checked = typed(file, "check", "pacs")
    assert (checked.exit_code, checked.stdout) == (0, "ok   'pacs' answers searches (QIDO-RS).\n")
    arguments = ["call", "list_files", "--args", '{"root": "dicomweb://pacs"}', "--archives", str(file), *store]
    assert "1 study in dicomweb://pacs" in CliRunner().invoke(app, arguments).stdout
    assert typed(file, "remove", "pacs").stdout == "Removed pacs.\n"
    assert read_nodes(file) == {}


def test_a_check_that_fails_says_why_and_fails(toy: ArchiveServer, tmp_path: Path) -> None:
    file = tmp_path / "archives.toml"
    typed(file, "add", "pacs", "--kind", "dicomweb", "--url", toy.url, "--token-env", "NOT_SET_ANYWHERE")
    typed(file, "add", "gone", "--kind", "fhir", "--url", "http://127.0.0.1:1/fhir")
    done = typed(file, "check")
    assert done.exit_code == 1
    assert "BAD  The variable NOT_SET_ANYWHERE" in done.stdout
    assert "BAD  Nothing listens where 'gone' should be" in done.stdout
    with opened_desk(tmp_path / "s", [tmp_path], None, "research", file) as desk:
        told = list(doctor._archives(desk))
    assert [finding.ok for finding in told] == [False, False]


def test_a_variable_that_is_not_set_is_told_when_it_is_named(tmp_path: Path) -> None:
    done = typed(
        tmp_path / "a.toml", "add", "x", "--kind", "fhir", "--url", "https://a/fhir", "--token-env", "NOT_SET_X"
    )
    assert "NOT_SET_X is not set here" in done.stdout


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["add", "x", "--kind", "fhir"], r"no http\(s\) url"),
        (["add", "x", "--kind", "dicomweb", "--url", "http://pacs.example.org"], "unencrypted"),
        (["add", "x", "--kind", "dimse", "--host", "pacs"], "no usable host and port"),
        (["remove", "x"], "No archive is called 'x'. Configured: none."),
        (["check", "x"], "No archive is called 'x'"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], fact: str, tmp_path: Path) -> None:
    done = typed(tmp_path / "archives.toml", *words)
    assert isinstance(done.exception, BadCall)
    with pytest.raises(BadCall, match=fact):
        raise done.exception
    assert not (tmp_path / "archives.toml").exists()
