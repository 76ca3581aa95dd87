"""The catalogue's schema: made once in an empty database, brought up from every earlier version.

An empty catalogue gets the tables of today. An older one goes through Alembic's revisions (`store/migrations`), in one
transaction under a lock, so that several servers that start at once change it once and a kill changes nothing. A
folder's own SQLite file is brought up when it is opened; a database that servers share only by `ostensor store
upgrade`, because servers of the earlier version may be at work on it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from ...imaging.errors import Unavailable
from .. import migrations

log = logging.getLogger(__name__)

HEAD = "6"
_STAMP = "alembic_version"
_TABLES_OF = (("beats", "2"), ("results", "3"))  # an unstamped catalogue that lacks this table is of this version


def prepare(engine: sa.Engine, schema: str, metadata: sa.MetaData) -> None:
    """Make sure that the catalogue has the tables of today.

    Raises:
        Unavailable: it is a shared one of an earlier version, or one of a later version.
    """
    is_file = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        version = version_of(connection, schema)
    if version != HEAD:
        change(engine, schema, metadata, may_upgrade=is_file)
    elif is_file:
        metadata.create_all(engine)


def change(engine: sa.Engine, schema: str, metadata: sa.MetaData, *, may_upgrade: bool) -> str | None:
    """Make or bring up the schema, alone; answers the version that was there, None for an empty database.

    Raises:
        Unavailable: as `prepare`.
    """
    with _alone(engine, schema) as connection:
        version = version_of(connection, schema)
        if version is None:
            metadata.create_all(connection)
            connection.execute(sa.text(f"CREATE TABLE {_STAMP} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(sa.text(f"INSERT INTO {_STAMP} VALUES (:head)"), {"head": HEAD})
        elif version != HEAD:
            _refuse_later(version)
            if not may_upgrade:
                raise Unavailable(
                    f"The shared catalogue is of version {version}, this program needs {HEAD}. Stop the servers of the "
                    "earlier version, keep a copy (pg_dump), run `ostensor store upgrade`, then start again."
                )
            _run_revisions(connection, version)
            log.warning("the catalogue was brought from version %s to %s", version, HEAD)
        return version


def version_of(connection: sa.Connection, schema: str) -> str | None:
    """The version of the schema; None for a database without our tables."""
    tables = _tables(connection, schema)
    if _STAMP in tables:
        place = f'"{schema}".{_STAMP}' if schema else _STAMP
        found = connection.scalar(sa.text(f"SELECT version_num FROM {place}"))
        return None if found is None else str(found)
    if "images" not in tables:
        return None
    if "audit" in tables and "beats" not in tables:
        return "1"
    return next((version for table, version in _TABLES_OF if table not in tables), "4")


def schemas(engine: sa.Engine) -> tuple[str, ...]:
    """Those of a shared database that hold a catalogue of a caller."""
    query = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'images' AND table_schema LIKE 'caller\\_%'"
    with engine.connect() as connection:
        return tuple(sorted(connection.scalars(sa.text(query))))


def _tables(connection: sa.Connection, schema: str) -> set[str]:
    if connection.dialect.name == "sqlite":
        return set(connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")))
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = COALESCE(:schema, current_schema())"
    return set(connection.scalars(sa.text(query), {"schema": schema or None}))


def _refuse_later(version: str) -> None:
    if not version.isdigit() or int(version) > int(HEAD):
        raise Unavailable(
            f"The catalogue is of version '{version[:20]}', which is later than {HEAD}, the latest this program knows. "
            "Install the version of ostensor that wrote it."
        )


@contextmanager
def _alone(engine: sa.Engine, schema: str) -> Iterator[sa.Connection]:
    """A transaction in which nobody else changes this schema."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(
                sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"ostensor {schema}"}
            )
            if schema:
                connection.execute(sa.text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
                connection.execute(sa.text(f'SET LOCAL search_path TO "{schema}"'))
        yield connection


def _run_revisions(connection: sa.Connection, version: str) -> None:
    """Alembic's way from a version to the latest, within the transaction."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, script, fn=lambda heads, context: script._upgrade_revs(HEAD, heads or version)
    ) as environment:
        environment.configure(connection=connection)
        context = environment.get_context()
        if not context.get_current_heads():
            context.stamp(script, version)
        environment.run_migrations()
