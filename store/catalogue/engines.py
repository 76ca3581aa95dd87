"""Opening the database of a catalogue; its address, which holds a password, is never written anywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ...imaging.errors import BadCall, Unavailable
from ..shared import Shared

_POOL, _MORE = 5, 10  # connections of a process, for all its callers together; PostgreSQL allows 100 in all
_SETTINGS = "-c lock_timeout=30000 -c idle_in_transaction_session_timeout=60000"  # ms


def engine_of(folder: Path, shared: Shared) -> sa.Engine:
    """The engine of a store's catalogue; stores of one process in one PostgreSQL database share their connections.

    Raises:
        BadCall: the address is of no PostgreSQL database.
        Unavailable: the driver is not installed.
    """
    if not shared.catalogue:
        return _sqlite_engine(folder / "catalogue.sqlite")
    engine = _postgresql_engine(shared.catalogue)
    return engine.execution_options(schema_translate_map={None: shared.schema}) if shared.schema else engine


def _sqlite_engine(file: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{file}", hide_parameters=True)  # errors are logged, and rows name files

    @sa.event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 30000")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged row survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


@cache
def _postgresql_engine(address: str) -> sa.Engine:
    try:
        url = sa.make_url(address)
    except sa.exc.ArgumentError:
        raise BadCall(
            "The catalogue's address cannot be read. It is postgresql+psycopg://USER@HOST/DATABASE. Correct it."
        ) from None
    if url.get_backend_name() != "postgresql":
        raise BadCall(
            f"A catalogue of '{url.get_backend_name()}' cannot be shared. It is postgresql+psycopg://USER@HOST/DATABASE; "
            "for SQLite name no catalogue, only a folder."
        )
    try:
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_pre_ping=True,  # a database that was restarted is met with new connections
            pool_size=_POOL,
            max_overflow=_MORE,
            connect_args={
                "connect_timeout": 5,
                "application_name": "ostensor",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "options": _SETTINGS,
            },
        )
    except ModuleNotFoundError:
        raise Unavailable(
            "The driver of PostgreSQL is not installed. Install it with `pip install 'ostensor[shared]'`."
        ) from None


def put_row(engine: sa.Engine, table: sa.Table, key: str, **values: Any) -> sa.Executable:
    """A statement that inserts a row, or changes the one that has its key, at once: no two processes collide."""
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).values(**values)
    return statement.on_conflict_do_update(
        index_elements=[table.c[key]], set_={name: statement.excluded[name] for name in values if name != key}
    )
