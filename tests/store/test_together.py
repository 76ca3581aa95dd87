"""What servers count, log and know together, in PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from ostensor.imaging.errors import BadCall
from ostensor.server.http.limits import RateLimit
from ostensor.store.catalogue.engines import engine_of
from ostensor.store.catalogue.together import Buckets, EventLog, shared_secret
from ostensor.store.jobs import JobsLedger
from ostensor.store.records import buckets, events
from ostensor.store.shared import Shared
from ostensor.store.store import Store

from ..toys.postgres import Postgres


@pytest.fixture
def engine(postgres: Postgres, tmp_path: Path) -> sa.Engine:
    """Of an empty shared catalogue."""
    return Store(tmp_path, shared=Shared(catalogue=postgres.database())).engine


def test_a_bucket_gives_its_burst_and_then_as_it_fills(engine: sa.Engine) -> None:
    """By hand: 6 a minute are one in 10 s, a quarter of 24 at once is 6; the clock is set back in the row, not waited for."""
    kept = Buckets(engine)
    assert [kept.wait_s("ada", 1.0, 6.0, 0.1) for _ in range(6)] == [0.0] * 6
    assert kept.wait_s("ada", 1.0, 6.0, 0.1) == pytest.approx(10.0, abs=1.0)
    assert kept.wait_s("ben", 1.0, 6.0, 0.1) == 0.0
    with engine.begin() as connection:
        connection.execute(buckets.update().where(buckets.c.caller == "ada").values(at=buckets.c.at - 20.0))
    assert [kept.wait_s("ada", 1.0, 6.0, 0.1) for _ in range(2)] == [0.0] * 2
    assert kept.wait_s("ada", 1.0, 6.0, 0.1) > 5.0
    kept.forget_idle(60.0)
    with engine.begin() as connection:
        assert set(connection.scalars(sa.select(buckets.c.caller))) == {"ada", "ben"}
        connection.execute(buckets.update().where(buckets.c.caller == "ben").values(at=0.0))
    kept.forget_idle(60.0)
    with engine.connect() as connection:
        assert set(connection.scalars(sa.select(buckets.c.caller))) == {"ada"}


def test_buckets_taken_from_at_once_give_no_more_than_they_hold(engine: sa.Engine) -> None:
    kept, gate = Buckets(engine), threading.Barrier(8)

    def take(_: int) -> int:
        gate.wait()
        return sum(kept.wait_s("ada", 1.0, 20.0, 0.001) == 0.0 for _ in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 20


def test_while_the_database_is_away_each_server_counts_alone_and_calls_wait(
    engine: sa.Engine, postgres: Postgres, tmp_path: Path
) -> None:
    limit = RateLimit(tmp_path / "none", 8, clock=lambda: 1000.0, shared=Buckets(engine))
    log = EventLog(engine, "server 1")
    assert limit.wait_s("ada") == 0.0
    postgres.end()
    try:
        assert [limit.wait_s("ada") for _ in range(3)] == [0.0, 0.0, 7.5]
        log.write("measure", {"n": 1}, "ok")
        assert log.behind == 1
    finally:
        postgres.begin()
    log.write("segment", {"n": float("nan")}, "ok")  # no JSON, so it is given up, and holds up nobody
    assert log.behind == 1
    log.write("compare", {}, "ok")
    with engine.connect() as connection:
        assert list(connection.scalars(sa.select(events.c.tool).order_by(events.c.number))) == ["measure", "compare"]
    assert log.behind == 0


def test_servers_that_ask_at_once_know_the_same_key(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: shared_secret(engine, "http.key"), range(16)))
    assert [len(key) for key in found] == [32]
    assert shared_secret(engine, "another") not in found


def test_jobs_begun_at_once_by_a_process_that_never_beat_are_all_written(engine: sa.Engine) -> None:
    """Two inserts of the first beat once collided where writers do not wait for each other."""
    for _ in range(3):
        ledger, gate = JobsLedger(engine), threading.Barrier(8)
        ledger.owner = f"{ledger.owner}:{id(ledger)}"

        def begin(_: int, ledger: JobsLedger = ledger, gate: threading.Barrier = gate) -> str:
            gate.wait()
            return ledger.create_job("segment", {}).job_id

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(begin, range(8)))) == 8
        ledger.stop_beating()


def test_other_databases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="catalogue of 'mysql' cannot be shared"):
        engine_of(tmp_path, Shared(catalogue="mysql://a:hush@b/c"))
    with pytest.raises(BadCall, match="cannot be read") as caught:
        engine_of(tmp_path, Shared(catalogue="hush no address"))
    assert "hush" not in str(caught.value)
