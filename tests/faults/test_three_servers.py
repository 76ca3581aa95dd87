"""Three servers over one database and one place for arrays: one dies, the database restarts, the arrays go away.

Each runs as on a machine of its own (its own process numbers, where the system lets a test do that).
"""

import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from ostensor.imaging.errors import Unavailable, as_one_of_ours
from ostensor.store.catalogue.engines import engine_of
from ostensor.store.catalogue.upgrading import schemas
from ostensor.store.records import events
from ostensor.store.shared import Shared
from ostensor.store.store import Store

from ..tools.desk.test_jobs import until
from ..toys.postgres import PASSWORD, Postgres, postgres
from ..toys.three_servers import Three, three_servers, wait_for

__all__ = ["postgres"]
PER_MINUTE = 2400


@pytest.fixture(scope="module")
def three(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with three_servers(postgres, tmp_path_factory.mktemp("three"), per_minute=PER_MINUTE) as made:
        yield made


def test_what_one_opens_the_second_segments_and_the_third_measures(three: Three, tmp_path: Path) -> None:
    """All began at once on an empty database, so the schema was made once; arrays come over the shared place."""
    image = three.ask(0, "open_image", path="ct.nii.gz")["image_id"]
    mask = three.ask(1, "segment", image_id=image, structures=["liver"], wait_s=60)["masks"][0]["mask_id"]
    found = three.ask(2, "measure", mask_ids=[mask], what=["volume"])["measurements"][0]
    assert found["volume_ml"] == pytest.approx(17 * 20 * 12 * 0.8 * 0.9 * 3.0 / 1000, rel=1e-3)
    assert [len(list(one.folder.rglob("*.npy"))) for one in three.servers[:2]] == [1, 1]
    assert len(list(three.arrays.rglob("*.npy"))) == 1
    (schema,) = schemas(engine_of(tmp_path, Shared(catalogue=three.catalogue)))
    with engine_of(tmp_path, Shared(catalogue=three.catalogue, schema=schema)).connect() as connection:
        logged = connection.execute(sa.select(events.c.tool, events.c.server).order_by(events.c.number)).all()
    assert [tool for tool, _ in logged] == ["open_image", "segment", "measure"]
    assert len({server for _, server in logged}) == 3


def test_the_job_of_a_server_that_dies_is_lost_and_the_work_goes_on_elsewhere(three: Three) -> None:
    image = three.ask(0, "open_image", path="slow.nii.gz")["image_id"]
    job = three.ask(1, "segment", image_id=image, structures=["liver"], wait_s=0)["job_id"]
    other = three.ask(2, "segment", image_id=image, structures=["liver"], wait_s=0)["job_id"]
    until(lambda: three.ask(0, "get_job", job_id=job, wait_s=0)["progress"] > 0)
    three.servers[1].kill()
    died = time.monotonic()
    until(lambda: three.ask(0, "get_job", job_id=job, wait_s=0)["state"] == "lost", 30)
    assert time.monotonic() - died < 12, "6 s of silence, met twice"
    assert "call the tool again" in three.ask(2, "get_job", job_id=job, wait_s=0)["error"]
    assert three.ask(0, "get_job", job_id=other, wait_s=60)["state"] == "done"
    three.servers[1] = three.begun(1)
    wait_for(three.servers[1])
    assert three.ask(1, "get_job", job_id=job, wait_s=0)["state"] == "lost"


def test_a_database_that_is_restarted_under_load_loses_nothing_acknowledged(three: Three, postgres: Postgres) -> None:
    """Three callers keep naming, opening and reading; what they were told stays true, and a job goes on to its end."""
    image = three.ask(0, "open_image", path="slow.nii.gz")["image_id"]
    job = three.ask(0, "segment", image_id=image, structures=["spleen", "liver"], wait_s=0)["job_id"]
    kept, refused, over = list[str](), list[str](), threading.Event()

    def work(number: int) -> None:
        while not over.is_set():
            answer = three.servers[number].site.ask(
                three.token, "segment", image_id=fast, structures=["liver"], wait_s=30
            )
            if answer.is_error:
                refused.append(answer.content[0].text)
            else:
                kept.append(answer.structured_content["masks"][0]["mask_id"])

    fast = three.ask(0, "open_image", path="ct.nii.gz")["image_id"]
    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(kept) > 2, 60)
        postgres.end()
        until(lambda: len(refused) > 1, 60)
        postgres.begin()
        so_far = len(kept)
        until(lambda: len(kept) > so_far + 3, 60)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert all("call it again" in text.lower() for text in refused), set(refused)
    for mask in set(kept):
        assert three.ask(0, "measure", mask_ids=[mask], what=["volume"])["measurements"]
    assert three.ask(2, "get_job", job_id=job, wait_s=60)["state"] == "done"
    until(lambda: three.servers[1].site.request("GET", "/healthz").status_code == 200, 30)


def test_arrays_that_are_away_are_said_and_copies_are_still_read(three: Three) -> None:
    image = three.ask(0, "open_image", path="ct.nii.gz")["image_id"]
    mask = three.ask(0, "segment", image_id=image, structures=["liver"], wait_s=60)["masks"][0]["mask_id"]
    away = three.arrays.with_name("away")
    three.arrays.rename(away)
    three.arrays.write_text("not a folder", encoding="ascii")
    try:
        refused = three.servers[0].site.ask(three.token, "open_image", path="slow.nii.gz", modality="mr")
        assert refused.is_error
        assert "store of arrays does not answer" in refused.content[0].text
        assert "check its address" in refused.content[0].text
        assert three.ask(0, "measure", mask_ids=[mask], what=["volume"])["measurements"]
    finally:
        three.arrays.unlink()
        away.rename(three.arrays)
    assert three.ask(0, "open_image", path="slow.nii.gz", modality="mr")["image_id"]


def test_requests_of_a_caller_are_counted_at_all_servers_together_and_nobody_else_waits(three: Three) -> None:
    """A quarter of a minute's requests may come at once; servers that count apart would give that many at each."""
    before = time.monotonic()
    statuses = list[int]()

    def flood(number: int) -> None:
        with httpx2.Client(headers={"Authorization": f"Bearer {three.others_token}"}, timeout=60) as client:
            for _ in range(500):
                statuses.append(client.get(f"{three.servers[number].site.url}/files/none").status_code)

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: 429 in statuses, 60)
    assert three.ask(1, "list_models")["models"]
    for thread in threads:
        thread.join(120)
    took_s = time.monotonic() - before
    assert PER_MINUTE / 4 <= statuses.count(404) <= PER_MINUTE / 4 + took_s * PER_MINUTE / 60 + 1
    assert set(statuses) == {404, 429}


def test_what_one_caller_has_another_does_not_know_at_any_server(three: Three) -> None:
    image = three.ask(0, "open_image", path="ct.nii.gz")["image_id"]
    until(lambda: three.servers[2].site.request("GET", "/files/none", three.others_token).status_code == 404, 60)
    answer = three.servers[2].site.ask(three.others_token, "segment", image_id=image, structures=["liver"])
    assert answer.is_error
    assert f"Unknown image '{image}'" in answer.content[0].text


def test_nobody_is_told_the_password(three: Three, tmp_path: Path) -> None:
    """Of all the above in the logs; nor of a database that is not there, in words or traces."""
    assert all(PASSWORD not in one.said() for one in three.servers)
    shared = Shared(catalogue=three.postgres.address("missing"))
    assert PASSWORD not in repr(shared)
    with pytest.raises(sa.exc.OperationalError) as caught:
        Store(tmp_path, shared=shared)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    told = as_one_of_ours(caught.value, "segment")
    assert isinstance(told, Unavailable)
    assert PASSWORD not in str(told)
