"""Faults put into a running desk or server one by one: what comes of each, and how long until all is well again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ...imaging.errors import Failed, OstensorError
from ...imaging.files import write_volume
from ...imaging.phantoms import torso_ct
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import described
from .side import side_process

_OWNER = """
import sys, time
from pathlib import Path
from ostensor.store.store import Store
print(Store(Path(sys.argv[1])).create_job("segment", {}).job_id, flush=True)
time.sleep(600)
"""
_SILENT = 600


@dataclass(frozen=True)
class Found:
    """How a fault went.

    Attributes:
        seconds: from its end, or from asking for its end, until all is well.
    """

    injected: str
    outcome: str
    seconds: float


def run() -> str:
    """A table with a row for each fault."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = torso_ct(spacing_mm=(5.0, 5.0, 5.0))
        write_volume(folder / "ct.nii.gz", made.volume.array, made.volume.grid)
        found = [fault(folder) for fault in _FAULTS]
    rows = [f"| {one.injected} | {one.outcome} | {one.seconds:.2f} |" for one in found if one is not None]
    head = ["| injected | outcome | recovered after s |", "|---|---|---|"]
    return "\n".join([f"`ostensor bench faults`; {described()}.", "", *head, *rows])


@contextmanager
def _desk(folder: Path, store: str) -> Iterator[Desk]:
    with Desk(Settings(store=folder / store, roots=(folder,), threads=1)) as desk:
        yield desk


def _until(true: Callable[[], object], limit_s: float = 120.0) -> float:
    """Seconds until it is.

    Raises:
        Failed: it never is.
    """
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > limit_s:
            raise Failed("A fault was not recovered from in two minutes.")
        time.sleep(0.02)
    return time.monotonic() - began


def _refused(work: Callable[[], object]) -> str:
    """The first sentence of how it was refused, or "answered"."""
    try:
        work()
    except OstensorError as error:
        return f"{type(error).__name__}: {str(error).split('.')[0]}."
    return "answered"


def _begun(desk: Desk) -> str:
    """A segmentation under way, its worker at work."""
    image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
    given = {"image_id": image, "structures": ["liver"], "wait_s": 0}
    job = str(use(desk, "segment", **given).result.model_dump()["job_id"])
    _until(lambda: desk.workers.pid is not None and "looking" in desk.jobs.wait(job, 0).message)
    return job


def _worker_killed(folder: Path) -> Found:
    with _desk(folder, "killed") as desk:
        job = _begun(desk)
        os.kill(desk.workers.pid or 0, signal.SIGKILL)
        state = desk.jobs.wait(job, 60).state
        began = time.monotonic()
        _begun(desk)
        return Found("worker killed in a job", f"the job is {state}; the next one runs", time.monotonic() - began)


def _worker_stopped(folder: Path) -> Found:
    with _desk(folder, "stopped") as desk:
        job, pid = _begun(desk), desk.workers.pid or 0
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        state = desk.jobs.cancel(job).state
        _until(lambda: desk.workers.pid != pid)
        return Found(
            "job cancelled whose worker hears nothing (SIGSTOP)", f"{state}, worker killed", time.monotonic() - began
        )


def _cancelled_elsewhere(folder: Path) -> Found:
    with _desk(folder, "elsewhere") as one, _desk(folder, "elsewhere") as two:
        job = _begun(one)
        began = time.monotonic()
        state = two.jobs.cancel(job).state
        _until(lambda: not one.jobs.busy)
        return Found("job cancelled from another process", f"{state}, worker free", time.monotonic() - began)


def _owner_killed(folder: Path) -> Found:
    with _desk(folder, "owner") as desk:
        desk.store.images()
        words = [sys.executable, "-c", _OWNER, str(folder / "owner")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            job = owner.stdout.readline().strip()
            owner.kill()
        seconds = _until(lambda: desk.jobs.wait(job, 0).state == "lost")
        return Found("process killed that owned a job", "the job is lost for a process that was there before", seconds)


def _owner_silent(folder: Path) -> Found:
    """As on another machine: its number tells nothing here, so its silence must."""
    with _desk(folder, "silent") as one, _desk(folder, "silent") as two:
        one.store.owner = "another-host:1:1.00"
        job = one.store.create_job("segment", {}).job_id
        one.store.stop_beating()
        seconds = _until(lambda: two.jobs.wait(job, 0).state == "lost")
        return Found("process of another host falls silent", "its job is lost", seconds)


def _disk_full(folder: Path) -> Found | None:
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        return None
    try:
        with _desk(folder, "disk/store") as desk:
            image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
            with (disk / "ballast").open("ab", buffering=0) as ballast:
                for size in (1 << 20, 4096, 1):
                    _fill(ballast.fileno(), size)
            read = _refused(lambda: use(desk, "render", image_id=image))
            write = _refused(lambda: use(desk, "segment", image_id=image, structures=["liver"], wait_s=0))
            (disk / "ballast").unlink()
            seconds = _until(lambda: _refused(lambda: desk.store.create_job("segment", {})) == "answered")
            return Found("disk of the store filled to the last byte", f"reading: {read}; writing: {write}", seconds)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(descriptor: int, size: int) -> None:
    try:
        while os.write(descriptor, b"\0" * size) == size:
            continue
    except OSError:
        return


def _folder_gone(folder: Path) -> Found:
    with _desk(folder, "gone") as desk:
        use(desk, "open_image", path="ct.nii.gz")
        (folder / "gone").rename(folder / "away")
        said = _refused(lambda: desk.store.create_job("segment", {}))
        (folder / "away").rename(folder / "gone")
        seconds = _until(lambda: _refused(lambda: desk.store.create_job("segment", {})) == "answered")
        return Found("folder of the store moved away and back", said, seconds)


def _array_damaged(folder: Path) -> Found:
    with _desk(folder, "damaged") as desk:
        image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
        path = desk.store.array_path(image)
        path.write_bytes(path.read_bytes()[:-1000])
        said = _refused(lambda: use(desk, "render", image_id=image))
        began = time.monotonic()
        use(desk, "open_image", path="ct.nii.gz")
        use(desk, "render", image_id=image)
        return Found("array of a scan cut short", f"{said} Opened again, it is whole", time.monotonic() - began)


def _silent_clients(folder: Path) -> Found:
    mine = folder / "crowd"
    mine.mkdir()
    with side_process("ours", mine) as (url, _), ExitStack() as held:
        port = int(url.split(":")[2].split("/")[0])
        for _ in range(_SILENT):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        began = time.monotonic()
        status = httpx2.get(url.replace("/mcp", "/healthz"), timeout=60).status_code
        return Found(
            f"{_SILENT} connections that say nothing", f"a stranger is answered {status}", time.monotonic() - began
        )


_FAULTS: tuple[Callable[[Path], Found | None], ...] = (
    _worker_killed, _worker_stopped, _cancelled_elsewhere, _owner_killed, _owner_silent, _disk_full, _folder_gone,
    _array_damaged, _silent_clients,
)  # fmt: skip
