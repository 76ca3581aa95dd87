"""Real server processes: several over one store, and a stop that keeps what was begun."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ostensor.server.http.settings import HttpSettings
from ostensor.server.resuming import resume
from ostensor.store.records import JobRecord
from ostensor.store.store import Store
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...tools.desk.test_jobs import until
from ...toys.desks import HERE, save, toy_scan
from ...toys.http_toys import Site, free_port

SLOW = 3000  # the toy looks at such a scan for ten seconds


@contextmanager
def program(tmp_path: Path, root: Path, **settings: Any) -> Iterator[tuple[Site, subprocess.Popen[str]]]:
    port = free_port()
    arguments = [str(HERE), str(tmp_path / "store"), str(root), str(port), json.dumps(settings)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "serve_toys.py"), *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )
    site = Site(port, HttpSettings(port=port, **settings))
    try:
        until(lambda: reached(port) or process.poll() is not None, 60)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        yield site, process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def reached(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def slow_scan(root: Path) -> None:
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    array[0, 0, 0] = SLOW
    save(root / "slow.nii.gz", array)


def begun(site: Site, structures: list[str] | None = None) -> str:
    image = site.ask(None, "open_image", path="slow.nii.gz").structured_content["image_id"]
    found = site.ask(None, "segment", image_id=image, structures=structures or ["liver"], wait_s=0)
    return str(found.structured_content["job_id"])


def stopped(process: subprocess.Popen[str]) -> str:
    """What it said, once it has ended by itself after SIGTERM."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == [], "no process stays behind"
    return said


@pytest.mark.slow
def test_a_stopped_server_puts_jobs_down_and_the_next_one_takes_them_up(tmp_path: Path, root: Path) -> None:
    """The handle a client holds is good again after the restart, and the job ends as if nothing had been."""
    slow_scan(root)
    with program(tmp_path, root, drain_s=0.5) as (site, process):
        job = begun(site)
        until(lambda: Store(tmp_path / "store").job(job).progress > 0)
        said = stopped(process)
        assert process.returncode == 0
        assert "Put 1 jobs down" in said
        assert "Traceback" not in said
        assert f"MCP at http://127.0.0.1:{site.port}/mcp (this machine only, no login, 1 process)" in said
    record = Store(tmp_path / "store").job(job)
    assert (record.state, record.owner, record.error) == ("queued", "aside", None)
    with program(tmp_path, root, drain_s=0.5) as (site, _):
        done = site.ask(None, "get_job", job_id=job, wait_s=60).structured_content
        assert done["state"] == "done"
        assert done["result"]["masks"][0]["verdict"] == "present"


@pytest.mark.slow
def test_a_server_that_is_stopped_lets_running_jobs_end(tmp_path: Path, root: Path) -> None:
    slow_scan(root)
    with program(tmp_path, root, drain_s=40.0) as (site, process):
        job = begun(site)
        stopped(process)
    assert Store(tmp_path / "store").job(job).state == "done"


@pytest.mark.slow
def test_several_processes_are_one_server(tmp_path: Path, root: Path) -> None:
    """Jobs, cancelling and counts do not depend on which process a request happens to reach."""
    slow_scan(root)
    with program(tmp_path, root, workers=2, drain_s=0.5) as (site, process):
        workers = until(lambda: serving(process.pid, site.port), 60)
        assert len(workers) == 2
        job = begun(site)
        owners = set()
        for _ in range(12):
            record = site.ask(None, "get_job", job_id=job, wait_s=0).structured_content
            assert record["state"] in ("queued", "running")
            owners.add(Store(tmp_path / "store").job(job).owner.split(":")[-2])
        assert owners <= {str(pid) for pid in workers}
        until(lambda: site.ask(None, "cancel_job", job_id=job).structured_content["state"] == "cancelled")
        second = begun(site, ["spleen"])
        done = site.ask(None, "get_job", job_id=second, wait_s=60).structured_content
        assert done["state"] == "done", done
        assert site.ask(None, "list_models", mode="legacy").is_error is False
        stopped(process)


def serving(parent: int, port: int) -> list[int]:
    """Processes under `parent` that accept connections at `port`, once there are two."""
    found = []
    for child in psutil.Process(parent).children():
        kept = child.net_connections(kind="tcp")
        if any(one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in kept):
            found.append(child.pid)
    return found if len(found) >= 2 else []


@pytest.fixture
def two_desks(settings: Settings) -> Iterator[tuple[Desk, Desk]]:
    """Two desks over one store stand for two processes."""
    with Desk(settings) as one, Desk(settings) as two:
        yield one, two


def running(desk: Desk, root: Path) -> str:
    slow_scan(root)
    image = use(desk, "open_image", path="slow.nii.gz").result.image_id
    job = str(use(desk, "segment", image_id=image, structures=["liver"], wait_s=0).result.job_id)
    until(lambda: desk.store.job(job).progress > 0)
    return job


def test_another_process_waits_for_a_job_and_cancels_it(two_desks: tuple[Desk, Desk], root: Path) -> None:
    one, two = two_desks
    job = running(one, root)
    seen: list[float] = []
    waiting = threading.Thread(target=lambda: two.jobs.wait(job, 30, on_progress=lambda share, _: seen.append(share)))
    waiting.start()
    until(lambda: len(set(seen)) >= 2)
    assert two.jobs.cancel(job).state == "cancelled"
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    until(lambda: not one.jobs.busy)


def test_only_one_process_takes_up_a_job(two_desks: tuple[Desk, Desk], root: Path) -> None:
    one, two = two_desks
    job = running(one, root)
    assert one.jobs.set_aside(0.0) == (job,)
    until(lambda: one.store.job(job).owner == "aside")
    both: list[tuple[JobRecord, ...]] = [desk.store.take_up() for desk in (two, one)]
    assert [[record.job_id for record in taken] for taken in both] == [[job], []]


def test_a_job_that_cannot_be_begun_again_is_lost_and_says_so(desk: Desk) -> None:
    job = desk.store.create_job("segment", {"image_id": "img_gone", "structures": ["liver"]}).job_id
    desk.store.set_aside(job)
    assert resume(desk) == ()
    record = desk.store.job(job)
    assert record.state == "lost"
    assert "call the tool again" in str(record.error)


def test_a_final_job_is_not_put_down(desk: Desk) -> None:
    job = desk.store.create_job("segment", {}).job_id
    desk.store.update_job(job, state="done", result={})
    desk.store.set_aside(job)
    assert desk.store.job(job).state == "done"
