"""Several processes on one store: cancelling, dying, cleaning up and writing at the same time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.store import heartbeat
from ostensor.store.records import beats, jobs
from ostensor.store.shared import Shared
from ostensor.store.store import Store
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ..tools.desk.test_jobs import until
from ..toys.postgres import postgres, shared

__all__ = ["postgres", "shared"]

GRID = Grid((5, 7, 11), np.diag([0.7, 0.9, 3.0, 1.0]))


def volume(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).integers(-1000, 900, GRID.shape).astype(np.int16), GRID, "ct")


def test_a_cancel_from_another_process_reaches_work_that_reports_nothing(settings: Settings) -> None:
    """Progress once carried the news: work that was silent went on to its end."""
    stopped = threading.Event()

    def work(job_id: str, report: object, cancelled: threading.Event) -> dict[str, int]:
        assert cancelled.wait(60)
        stopped.set()
        return {}

    with Desk(settings) as one, Desk(settings) as two:
        job = one.jobs.start("segment", {}, work)
        assert two.jobs.cancel(job).state == "cancelled"
        assert stopped.wait(10)
        until(lambda: not one.jobs.busy)
        assert two.store.job(job).state == "cancelled"


OWNER = """
    import sys, time
    from pathlib import Path
    from ostensor.store.store import Store
    print(Store(Path(sys.argv[1])).create_job("segment", {}).job_id, flush=True)
    time.sleep(600)
"""


def test_the_job_of_a_killed_process_is_lost_for_processes_that_were_there_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    job = owner.stdout.readline().strip()
    assert store.mark_lost() == ()
    owner.send_signal(signal.SIGKILL)
    owner.wait(timeout=30)
    owner.stdout.close()
    until(lambda: store.mark_lost() == (job,) or store.job(job).state == "lost")


def test_silence_of_another_machine_is_believed_when_met_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SILENT_S", 0.3)
    monkeypatch.setattr(heartbeat, "CONFIRMED_S", 0.2)
    store = Store(tmp_path)
    job = store.create_job("segment", {}).job_id
    store.stop_beating()
    with store.engine.begin() as connection:
        connection.execute(jobs.update().values(owner="another-host:1:1.00"))
        connection.execute(beats.insert().values(owner="another-host:1:1.00", at=heartbeat.database_time(store.engine)))
    other = Store(tmp_path)
    assert other.job(job).state == "queued", "it may be alive"
    until(lambda: other.mark_lost() == (job,))
    assert "call the tool again" in str(other.job(job).error)


def test_a_process_that_beats_is_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by one that cannot tell by process numbers, as on another machine or in another container."""
    monkeypatch.setattr(heartbeat, "CONFIRMED_S", 0.0)
    monkeypatch.setattr("ostensor.store.jobs.BEAT_S", 0.1)
    store = Store(tmp_path)
    store.owner = "another-host:1:1.00"
    job = store.create_job("segment", {}).job_id
    other = Store(tmp_path)
    for _ in range(20):
        assert other.mark_lost() == ()
        threading.Event().wait(0.05)
    with store.engine.connect() as connection:
        assert connection.scalar(sa.select(beats.c.at).where(beats.c.owner == store.owner)) is not None
    assert other.job(job).state == "queued"
    store.stop_beating()


def test_the_heart_stops_when_nothing_is_left_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path)
    job = store.create_job("segment", {}).job_id
    assert any(thread.name == "heartbeat" for thread in threading.enumerate())
    store.update_job(job, state="done", result={})
    until(lambda: store._pulse._thread is None)
    second = store.create_job("segment", {}).job_id
    assert store._pulse._thread is not None
    store.update_job(second, state="failed", error="x")


@pytest.mark.parametrize("moment", ["after the file", "before the file"])
def test_gc_never_takes_an_array_that_is_being_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """An old array nobody names is there already; a clean-up comes between looking at it and naming it."""
    store = Store(tmp_path)
    first = store.add_image(volume(0), source_name="a")
    store.remove_image(first.image_id)
    os.utime(store.arrays.image_path(first.content_hash), (0, 0))
    cleaner, real, cleaned = Store(tmp_path), store.arrays.put_image, []

    def put(content_hash: str, array: np.ndarray) -> None:
        if moment == "before the file":
            cleaned.append(cleaner.gc(older_than_s=0))
        real(content_hash, array)
        if moment == "after the file" and len(cleaned) < 2:
            cleaned.append(cleaner.gc(older_than_s=0))

    monkeypatch.setattr(store.arrays, "put_image", put)
    kept = store.add_image(volume(0), source_name="a")
    assert cleaned
    assert cleaned[0] > 0
    np.testing.assert_array_equal(store.volume(kept.image_id).array, volume(0).array)
    assert store.verify() == ()


WRITER = """
    import json, sys
    from pathlib import Path
    import numpy as np
    from ostensor.imaging.volume import Grid, Mask, Volume
    from ostensor.store.shared import Shared
    from ostensor.store.store import Store
    store, grid = Store(Path(sys.argv[1]), shared=Shared(**json.loads(sys.argv[2]))), Grid((5, 7, 11), np.eye(4))
    for turn in range(40):
        values = np.random.default_rng(turn % 4).integers(0, 99, grid.shape).astype("int16")
        image = store.add_image(Volume(values, grid, "ct"), source_name="a")
        mask = store.add_mask(Mask(values > 50, grid), image_id=image.image_id)
        assert (store.mask(mask.mask_id).array == (store.volume(image.image_id).array > 50)).all()
        store.remove_image(image.image_id)
    print("kept", flush=True)
"""


def test_writing_and_cleaning_up_at_once_loses_nothing(tmp_path: Path, shared: Shared) -> None:
    """A process keeps and forgets the same four images while another deletes every file nobody names at that moment."""
    store = Store(tmp_path / "cleaner" if shared.arrays else tmp_path, shared=shared)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), json.dumps(vars(shared))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as writer:
        freed = 0
        while writer.poll() is None:
            freed += store.gc(older_than_s=0)
        said, complained = writer.communicate(timeout=60)
    assert said == "kept\n", complained
    assert freed > 0


def test_a_mask_is_kept_though_its_twin_was_forgotten(tmp_path: Path) -> None:
    """Two images share voxels; forgetting one while the other is opened leaves the other whole."""
    store, other = Store(tmp_path), Store(tmp_path)
    image = store.add_image(volume(1), source_name="a")
    mask = Mask(volume(1).array > 0, GRID)
    record = store.add_mask(mask, image_id=image.image_id)
    other.remove_image(image.image_id)
    other.gc(older_than_s=0)
    again = store.add_image(volume(1), source_name="b")
    assert store.add_mask(mask, image_id=again.image_id).mask_id == record.mask_id
    assert store.verify() == ()
