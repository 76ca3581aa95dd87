"""Catalogues of every earlier version are brought up with their rows; what each looked like is written out here.

The statements are those SQLAlchemy sent at the commits that changed `records.py`: 39f21fe (images, masks, jobs, audit),
e0276c6 (the audit became a file), 2461c90 (beats), 374cb5b (results), and of revision 5 (events, buckets, secrets).
"""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from ostensor.imaging.errors import Unavailable
from ostensor.store.catalogue import upgrading
from ostensor.store.catalogue.engines import engine_of
from ostensor.store.records import events, metadata
from ostensor.store.shared import Shared
from ostensor.store.store import Store

from ..toys.postgres import Postgres

IMAGES = """CREATE TABLE images (
    image_id VARCHAR(16) NOT NULL, content_hash VARCHAR(64) NOT NULL, source_name TEXT NOT NULL,
    modality VARCHAR(16) NOT NULL, synthetic BOOLEAN NOT NULL, grid JSON NOT NULL, facts JSON NOT NULL,
    created VARCHAR(32) NOT NULL, PRIMARY KEY (image_id))"""
MASKS = """CREATE TABLE masks (
    mask_id VARCHAR(16) NOT NULL, content_hash VARCHAR(64) NOT NULL, image_id VARCHAR(16) NOT NULL, structure TEXT,
    voxels BIGINT NOT NULL, facts JSON NOT NULL, created VARCHAR(32) NOT NULL, PRIMARY KEY (mask_id),
    FOREIGN KEY(image_id) REFERENCES images (image_id) ON DELETE CASCADE)"""
INDEX = "CREATE INDEX masks_of_image ON masks (image_id)"
JOBS = """CREATE TABLE jobs (
    job_id VARCHAR(24) NOT NULL, tool VARCHAR(64) NOT NULL, arguments JSON NOT NULL, state VARCHAR(16) NOT NULL,
    progress {float} NOT NULL, message TEXT NOT NULL, result JSON, error TEXT, owner VARCHAR(128) NOT NULL,
    created VARCHAR(32) NOT NULL, updated VARCHAR(32) NOT NULL, PRIMARY KEY (job_id))"""
AUDIT = """CREATE TABLE audit (
    number {serial} NOT NULL, at VARCHAR(32) NOT NULL, tool VARCHAR(64) NOT NULL, arguments JSON NOT NULL,
    outcome TEXT NOT NULL, PRIMARY KEY (number))"""
BEATS = "CREATE TABLE beats (owner VARCHAR(128) NOT NULL, at {double} NOT NULL, PRIMARY KEY (owner))"
RESULTS = """CREATE TABLE results (
    result_key VARCHAR(64) NOT NULL, value JSON NOT NULL, created VARCHAR(32) NOT NULL, PRIMARY KEY (result_key))"""
EVENTS = """CREATE TABLE events (
    number {big_serial} NOT NULL, at VARCHAR(32) NOT NULL, tool VARCHAR(64) NOT NULL, arguments JSON NOT NULL,
    outcome TEXT NOT NULL, server VARCHAR(128) NOT NULL, PRIMARY KEY (number))"""
BUCKETS = """CREATE TABLE buckets (
    caller VARCHAR(128) NOT NULL, tokens {double} NOT NULL, at {double} NOT NULL, PRIMARY KEY (caller))"""
SECRETS = "CREATE TABLE secrets (name VARCHAR(64) NOT NULL, value {bytes} NOT NULL, PRIMARY KEY (name))"
STAMP = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
FIRST = (IMAGES, MASKS, INDEX, JOBS)
SCHEMAS = {
    "1": (*FIRST, AUDIT),
    "2": FIRST,
    "3": (*FIRST, BEATS),
    "3, made by 1": (*FIRST, AUDIT, BEATS),
    "4": (*FIRST, BEATS, RESULTS),
    "4, made by 1": (*FIRST, AUDIT, BEATS, RESULTS),
    "5": (*FIRST, BEATS, RESULTS, EVENTS, BUCKETS, SECRETS, STAMP),
}
TYPES = {
    "sqlite": {"float": "FLOAT", "serial": "INTEGER", "double": "DOUBLE", "big_serial": "INTEGER", "bytes": "BLOB"},
    "postgresql": {
        "float": "FLOAT",
        "serial": "SERIAL",
        "double": "DOUBLE PRECISION",
        "big_serial": "BIGSERIAL",
        "bytes": "BYTEA",
    },
}
GRID = {
    "shape": [5, 7, 11],
    "affine": [[0.7, 0, 0, 3], [0, 0.9, 0, 5], [0, 0, 3.0, 7], [0, 0, 0, 1]],
    "spacing_known": True,
}
AT = "2026-11-24T11:06:35.000001+00:00"
ROWS = (
    ("images", {"image_id": "img_0123456789ab", "content_hash": "ab" * 32, "source_name": "ct.nii", "modality": "ct",
                "synthetic": False, "grid": json.dumps(GRID), "facts": '{"warnings": ["a"]}', "created": AT}),
    ("masks", {"mask_id": "msk_0123456789ab", "content_hash": "cd" * 32, "image_id": "img_0123456789ab",
               "structure": "liver", "voxels": 5_000_000_000, "facts": "{}", "created": AT}),
    ("jobs", {"job_id": "job_0123456789abcdef", "tool": "segment", "arguments": '{"n": 1}', "state": "done",
              "progress": 1.0, "message": "done", "result": '{"masks": []}', "error": None, "owner": "a:1:1.00",
              "created": AT, "updated": AT}),
    ("audit", {"at": AT, "tool": "measure", "arguments": '{"what": ["volume"]}', "outcome": "ok"}),
    ("beats", {"owner": "a:1:1.00", "at": 1.5}),
    ("alembic_version", {"version_num": "5"}),
    ("results", {"result_key": "e" * 64, "value": '{"rows": [1]}', "created": AT}),
)  # fmt: skip


def build(engine: sa.Engine, version: str) -> None:
    """The catalogue as that version made it, with a row in each table."""
    tables = [statement.split()[2] for statement in SCHEMAS[version]]
    with engine.begin() as connection:
        for statement in SCHEMAS[version]:
            connection.exec_driver_sql(statement.format(**TYPES[engine.dialect.name]))
        for table, row in ROWS:
            if table in tables:
                names = ", ".join(f":{name}" for name in row)
                connection.execute(sa.text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({names})"), row)


def is_read_back(store: Store, version: str) -> None:
    """Every row of the old catalogue, through the store of today."""
    (image,) = store.images()
    assert (image.source_name, image.facts, image.grid.shape) == ("ct.nii", {"warnings": ["a"]}, (5, 7, 11))
    assert image.grid.affine.tolist() == GRID["affine"]
    (mask,) = store.masks_of(image.image_id)
    assert (mask.structure, mask.voxels) == ("liver", 5_000_000_000)
    job = store.job("job_0123456789abcdef")
    assert (job.state, job.result, job.arguments) == ("done", {"masks": []}, {"n": 1})
    assert store.kept_result("e" * 64) == ({"rows": [1]} if version[0] in "45" else None)
    with store.engine.connect() as connection:
        logged = [row[:5] for row in connection.execute(sa.select(events))]
    assert [row[1:] for row in logged] == [(AT, "measure", {"what": ["volume"]}, "ok")] * ("1" in version)
    store.keep_result("f" * 64, {"new": 1})
    assert store.update_job(store.create_job("segment", {}).job_id, state="done").is_final


@pytest.fixture
def unrepaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows name arrays that were never there; a start would forget them."""
    monkeypatch.setattr(Store, "repair", lambda self: ())


@pytest.mark.usefixtures("unrepaired")
@pytest.mark.parametrize("version", SCHEMAS)
def test_an_earlier_folder_is_brought_up_when_it_is_opened(tmp_path: Path, version: str) -> None:
    build(engine_of(tmp_path, Shared()), version)
    with engine_of(tmp_path, Shared()).connect() as connection:
        assert upgrading.version_of(connection, "") == version[0]
    is_read_back(Store(tmp_path), version)
    assert Store(tmp_path).kept_result("f" * 64) == {"new": 1}


@pytest.mark.usefixtures("unrepaired")
@pytest.mark.parametrize("schema", ["", "caller_0123"])
@pytest.mark.parametrize("version", SCHEMAS)
def test_an_earlier_shared_catalogue_waits_for_the_command(
    tmp_path: Path, postgres: Postgres, version: str, schema: str
) -> None:
    shared = Shared(catalogue=postgres.database(), schema=schema)
    engine = engine_of(tmp_path, shared)
    old = sa.create_engine(shared.catalogue, connect_args={"options": f"-c search_path={schema}"} if schema else {})
    if schema:
        with old.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    build(old, version)
    old.dispose()
    with pytest.raises(Unavailable, match=rf"of version {version[0]}.*store upgrade"):
        Store(tmp_path, shared=shared)
    assert upgrading.change(engine, schema, metadata, may_upgrade=True) == version[0]
    assert upgrading.schemas(engine) == ((schema,) if schema else ())
    is_read_back(Store(tmp_path, shared=shared), version)


def _looks(engine: sa.Engine) -> dict[str, object]:
    seen = sa.inspect(engine)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(table)],
            seen.get_pk_constraint(table)["constrained_columns"],
            [index["column_names"] for index in seen.get_indexes(table)],
            [(key["constrained_columns"], key["options"]) for key in seen.get_foreign_keys(table)],
        )
        for table in seen.get_table_names()
    }


@pytest.mark.usefixtures("unrepaired")
@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_brought_up_looks_like_what_is_made_today(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, version: str
) -> None:
    def kept() -> Shared:
        return Shared() if kind == "sqlite" else Shared(catalogue=request.getfixturevalue("postgres").database())

    old, new = kept(), kept()
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    build(engine_of(tmp_path / "old", old), version)
    upgrading.change(engine_of(tmp_path / "old", old), "", metadata, may_upgrade=True)
    made = Store(tmp_path / "new", shared=new)
    assert _looks(engine_of(tmp_path / "old", old)) == _looks(made.engine)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_later_catalogue_is_refused(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    shared = Shared() if kind == "sqlite" else Shared(catalogue=request.getfixturevalue("postgres").database())
    store = Store(tmp_path, shared=shared)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '77'")
    with pytest.raises(Unavailable, match=r"version '77'.*Install the version"):
        Store(tmp_path, shared=shared)


@pytest.mark.parametrize("version", ["none", "1"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_that_start_at_once_make_or_change_the_schema_once(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, version: str
) -> None:
    shared = Shared() if kind == "sqlite" else Shared(catalogue=request.getfixturevalue("postgres").database())
    engine, gate = engine_of(tmp_path, shared), threading.Barrier(6)
    if version != "none":
        build(engine, version)

    def start(_: int) -> str | None:
        gate.wait()
        return upgrading.change(engine, "", metadata, may_upgrade=True)

    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(start, range(6)), key=str)
    assert found == sorted([None if version == "none" else "1", *[upgrading.HEAD] * 5], key=str)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_change_that_fails_midway_leaves_the_old_catalogue(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Version 1, and in its way a table that the last revision wants to make."""
    shared = Shared() if kind == "sqlite" else Shared(catalogue=request.getfixturevalue("postgres").database())
    engine = engine_of(tmp_path, shared)
    build(engine, "1")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE secrets (x INTEGER)")
    before = sorted(sa.inspect(engine).get_table_names())
    with pytest.raises(sa.exc.DBAPIError):
        upgrading.change(engine, "", metadata, may_upgrade=True)
    assert sorted(sa.inspect(engine).get_table_names()) == before
