"""Debian's PostgreSQL as a test starts it: a folder of its own, a free port, one user with a password."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from ostensor.store.shared import Shared

PASSWORD = "hush-4711"
_CONNECTIONS = 1000  # a process keeps a few for each database it has met, and tests meet a hundred databases


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Postgres:
    """A database server.

    Attributes:
        port: on 127.0.0.1.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs, self.port = folder, programs, _free_port()

    def database(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        engine = sa.create_engine(self.address("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.address(name)

    def address(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg://ostensor:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def begin(self) -> None:
        """Start, and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} "
            f"-c max_connections={_CONNECTIONS}"
        )
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log.txt", "-o", options, "start")

    def end(self) -> None:
        """Stop at once, as after a power cut: who is connected is thrown out."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def make(self) -> None:
        """Make the files of the server."""
        (self.folder / "password").write_text(PASSWORD, encoding="ascii")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            shutil.chown(self.folder / "password", "postgres", "postgres")
        self._run("initdb", "-D", "data", "-U", "ostensor", "--auth=scram-sha-256", "--pwfile=password", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        who = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()  # it refuses to run as root
        subprocess.run(
            [*who, str(self.programs / program), *arguments],
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start one; skips with what is missing."""
    programs = _programs()
    if programs is None:
        pytest.skip("needs PostgreSQL's server: `make postgres` (Debian's postgresql)")
    pytest.importorskip("psycopg", reason="needs the driver of PostgreSQL: pip install 'ostensor[shared]'")
    # Its own user must be able to enter the folders above, which pytest's do not allow.
    folder = Path(tempfile.mkdtemp(prefix="ostensor-postgres-"))
    server = Postgres(folder, programs)
    try:
        server.make()
        server.begin()
        try:
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql", "postgresql, files"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """The three ways a store is kept: in its folder, with a database, and with a database and arrays elsewhere."""
    if request.param == "sqlite":
        return Shared()
    server: Postgres = request.getfixturevalue("postgres")
    arrays = f"file://{tmp_path_factory.mktemp('arrays')}" if request.param.endswith("files") else ""
    return Shared(catalogue=server.database(), arrays=arrays)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
