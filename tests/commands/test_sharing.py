"""A shared catalogue and arrays are named by a file or the environment, and brought up by a command."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.commands.sharing import shared_of
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.store.shared import ALONE, Shared

from ..store.test_schemas import SCHEMAS, TYPES, build
from ..toys.postgres import PASSWORD, Postgres, postgres

__all__ = ["postgres"]


def written(folder: Path, text: str) -> Path:
    (folder / "shared.toml").write_text(text, encoding="utf-8")
    return folder / "shared.toml"


def test_the_environment_wins_over_the_file_and_nothing_is_shared_without_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared_of(None) == ALONE
    file = written(tmp_path, 'catalogue = "a"\narrays = "b"\ncache_mb = 7\n[options]\nkey = "k"\n')
    found = shared_of(file)
    assert (found, dict(found.options)) == (Shared("a", "b", cache_mb=7), {"key": "k"})
    monkeypatch.setenv("OSTENSOR_SHARED", str(file))
    monkeypatch.setenv("OSTENSOR_CATALOGUE", "c")
    assert shared_of(None) == Shared("c", "b", cache_mb=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("catalog = 'hush'", "Unknown shared settings: catalog. Allowed: catalogue"),
        ("catalogue = 7", "catalogue must be a str"),
        ("cache_mb = true", "cache_mb must be a int"),
        ("cache_mb = 0", "at least 1"),
        ("catalogue = 'hush", "is not TOML"),
    ],
)
def test_what_is_no_setting_is_refused_and_not_repeated(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadCall, match=said) as caught:
        shared_of(written(tmp_path, text))
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match=r"'none\.toml' cannot be read"):
        shared_of(tmp_path / "none.toml")


def test_the_store_and_every_callers_are_brought_up(tmp_path: Path) -> None:
    """Two catalogues of the first and the third version; the second time there is nothing to do."""
    folders = {"store": (tmp_path, "1"), "0123": (tmp_path / "callers" / "0123" / "store", "3")}
    for folder, version in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(folder / "catalogue.sqlite") as database:
            for statement in SCHEMAS[version]:
                database.execute(statement.format(**TYPES["sqlite"]))
        database.close()
    first = CliRunner().invoke(app, ["store", "upgrade", "--store", str(tmp_path)])
    assert first.output.splitlines() == ["store: was of version 1, now 6.", "0123: was of version 3, now 6."]
    again = CliRunner().invoke(app, ["store", "upgrade", "--store", str(tmp_path)])
    assert again.output.splitlines() == ["store: of version 6 already.", "0123: of version 6 already."]


def test_a_shared_catalogue_is_brought_up_by_the_command_alone(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by the environment, as every command reads it; the password is not said on the way."""
    address = postgres.database()
    engine = sa.create_engine(address)
    build(engine, "2")
    engine.dispose()
    monkeypatch.setenv("OSTENSOR_CATALOGUE", address)
    place = ["--store", str(tmp_path / "store")]
    refused = CliRunner().invoke(app, ["store", "ls", *place])
    assert isinstance(refused.exception, Unavailable)
    assert "run `ostensor store upgrade`" in str(refused.exception)
    done = CliRunner().invoke(app, ["store", "upgrade", *place])
    assert done.output == "store: was of version 2, now 6.\n"
    listed = CliRunner().invoke(app, ["store", "ls", *place])
    assert "img_0123456789ab" in listed.output
    assert PASSWORD not in str(refused.exception) + done.output + listed.output
