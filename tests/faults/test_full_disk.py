"""A disk that is really full (a file system of 24 MB): reading goes on, writing says why not, jobs end, and all is well again after."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import Unavailable
from ostensor.server.http.health import Checkup
from ostensor.server.http.limits import RateLimit
from ostensor.store.store import Store
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ..tools.desk.test_jobs import until
from ..toys.desks import save, toy_scan
from ..toys.http_toys import scan_bytes, served
from .conftest import SmallDisk


@pytest.fixture
def full_desk(settings: Settings, small_disk: SmallDisk) -> Iterator[Desk]:
    with Desk(replace(settings, store=small_disk.folder / "store")) as made:
        yield made


def noise(root: Path) -> None:
    array = toy_scan() + np.random.default_rng(0).integers(0, 9, (61, 53, 29)).astype(np.int16)
    save(root / "other.nii.gz", array)


def test_a_server_with_a_full_disk_reads_and_recovers(full_desk: Desk, small_disk: SmallDisk, root: Path) -> None:
    noise(root)
    with served(full_desk) as site:
        image = site.ask(None, "open_image", path="ct.nii.gz").structured_content["image_id"]
        done = site.ask(None, "segment", image_id=image, structures=["liver"], wait_s=60).structured_content
        mask = done["masks"][0]["mask_id"]
        assert site.request("GET", "/healthz").json()["status"] == "ok"
        small_disk.fill()
        for _ in range(3):  # the limiter, the audit and the heartbeat all write before an answer
            assert not site.ask(None, "measure", mask_ids=[mask], what=["volume"]).is_error
            assert not site.ask(None, "render", image_id=image).is_error
            assert not site.ask(None, "list_models").is_error
        told = site.ask(None, "open_image", path="other.nii.gz")
        assert told.is_error
        assert "disk is full" in told.content[0].text
        told = site.ask(None, "segment", image_id=image, structures=["spleen"], wait_s=60)
        assert told.is_error
        assert "full" in told.content[0].text, told.content[0].text
        upload = site.request("POST", "/upload", params={"name": "a.nii"}, content=scan_bytes())
        assert (upload.status_code, "full" in upload.text) == (507, True)
        until(lambda: site.request("GET", "/healthz").json()["store"] == "full")
        assert site.request("GET", "/healthz").status_code == 503
        small_disk.free()
        assert not site.ask(None, "open_image", path="other.nii.gz").is_error
        assert not site.ask(None, "segment", image_id=image, structures=["spleen"], wait_s=60).is_error
        assert full_desk.store.audit.behind == 0
        lines = full_desk.store.audit.path.read_text().splitlines()
        assert sum('"tool": "measure"' in line for line in lines) == 3, "what was not written was written later"


def test_a_failing_chore_ends_neither_the_others_nor_the_server(full_desk: Desk, small_disk: SmallDisk) -> None:
    limit, done = RateLimit(full_desk.store.folder / "limits.sqlite", 600), []
    limit.wait_s("somebody")
    checkup = Checkup(full_desk, (limit.forget_idle, full_desk.store.mark_lost, lambda: done.append(1)))
    small_disk.fill()
    for _ in range(30):
        checkup.tick()
        assert limit.wait_s("somebody") == 0.0
    assert len(done) == 30
    assert checkup.health().tick == "ok"
    limit.close()


def test_a_limit_still_limits_on_a_full_disk(tmp_path: Path, small_disk: SmallDisk) -> None:
    limit = RateLimit(small_disk.folder / "limits.sqlite", 4, clock=lambda: 1000.0)
    small_disk.fill()
    waits = [limit.wait_s("a") for _ in range(5)]
    assert waits[0] == 0
    assert waits[-1] > 0
    limit.close()
    small_disk.free()
    started_full = RateLimit(tmp_path / "none" / "limits.sqlite", 4, clock=lambda: 1000.0)
    assert [started_full.wait_s("a") > 0 for _ in range(2)] == [False, True]
    started_full.close()


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_job_ends_whatever_the_disk_does(full_desk: Desk, small_disk: SmallDisk, ends: str) -> None:
    """The end is known at once in this process, and written when there is room."""
    filled = threading.Event()

    def work(job_id: str, report: object, cancelled: threading.Event) -> dict[str, int]:
        small_disk.fill()
        filled.set()
        if ends == "badly":
            raise OSError(28, "No space left on device")
        return {"kept": 1}

    job = full_desk.jobs.start("segment", {"n": ends}, work)
    assert filled.wait(60)
    record = full_desk.jobs.wait(job, 60)
    assert record.state == ("done" if ends == "well" else "failed"), record
    if ends == "badly":
        assert "disk is full" in str(record.error)
    assert not full_desk.jobs.busy
    small_disk.free()
    other = Store(full_desk.store.folder)
    until(lambda: other.job(job).is_final)
    assert other.job(job).state == record.state


def test_a_store_whose_folder_is_taken_away_says_so(settings: Settings, tmp_path: Path, root: Path) -> None:
    with Desk(settings) as desk, served(desk) as site:
        image = site.ask(None, "open_image", path="ct.nii.gz").structured_content["image_id"]
        settings.store.rename(tmp_path / "elsewhere")
        told = site.ask(None, "segment", image_id=image, structures=["liver"], wait_s=30)
        assert told.is_error
        assert "removed or replaced" in told.content[0].text
        until(lambda: site.request("GET", "/healthz").json()["store"] == "gone")
        settings.store.mkdir()
        with pytest.raises(Unavailable, match="removed or replaced"):
            use(desk, "open_image", path="ct.nii.gz")
        settings.store.rmdir()
        (tmp_path / "elsewhere").rename(settings.store)
        assert not site.ask(None, "segment", image_id=image, structures=["liver"], wait_s=30).is_error
