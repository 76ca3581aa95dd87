"""Long work: handles instead of waiting, progress, cancelling, crashes and restarts."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from ostensor.server.mcp.server import build_server
from ostensor.store.store import Store
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...toys.desks import HERE, Ask, save, toy_scan


def slow_scan(root: Path, ask: Ask, name: str = "slow.nii.gz", extra: int = 0) -> str:
    """A scan the toy looks at for ten seconds."""
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    array[0, 0, 0] = 3000
    array[1, 1, 1] = extra
    save(root / name, array)
    return str(ask("open_image", path=name).result["image_id"])


def until(check: Callable[[], Any], seconds: float = 20) -> Any:
    for _ in range(int(seconds / 0.05)):
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_work_that_takes_longer_than_wait_s_becomes_a_job(ask: Ask, root: Path) -> None:
    image = slow_scan(root, ask)
    first = ask("segment", image_id=image, structures=["liver"], wait_s=0.2)
    job = first.result["job_id"]
    assert first.result["state"] in ("queued", "running")
    assert first.result["masks"] == []
    assert "get_job" in first.text
    done = ask("get_job", job_id=job, wait_s=60)
    assert done.result["state"] == "done"
    assert done.result["result"]["masks"][0]["verdict"] == "present"
    assert ask("segment", image_id=image, structures=["liver"], wait_s=5).result["masks"], "features are kept"


def test_the_same_call_joins_the_running_job(ask: Ask, root: Path) -> None:
    image = slow_scan(root, ask)
    one, two = (ask("segment", image_id=image, structures=["liver"], wait_s=0).result["job_id"] for _ in range(2))
    assert one == two
    ask("cancel_job", job_id=one)


def test_two_jobs_on_one_image_wait_in_line_and_both_finish(ask: Ask, root: Path, desk: Desk) -> None:
    image = slow_scan(root, ask)
    one = ask("segment", image_id=image, structures=["liver"], wait_s=0).result["job_id"]
    two = ask("segment", image_id=image, structures=["spleen"], wait_s=0).result["job_id"]
    assert one != two
    place = until(lambda: ask("get_job", job_id=two, wait_s=0).result["queue_place"])
    assert place == 1
    for job in (one, two):
        assert ask("get_job", job_id=job, wait_s=60).result["state"] == "done"


def test_cancelling_frees_the_worker(ask: Ask, root: Path, image_id: str) -> None:
    image = slow_scan(root, ask)
    job = ask("segment", image_id=image, structures=["liver"], wait_s=0).result["job_id"]
    until(lambda: ask("get_job", job_id=job, wait_s=0).result["progress"] > 0)
    stopped = ask("cancel_job", job_id=job).result
    assert stopped["state"] == "cancelled"
    assert "again" in stopped["error"]
    assert not ask("segment", image_id=image_id, structures=["liver"], wait_s=30).is_error
    assert ask("cancel_job", job_id=job).result["state"] == "cancelled", "a final job stays as it is"


def test_a_killed_worker_fails_one_job_and_comes_back(ask: Ask, root: Path, desk: Desk, image_id: str) -> None:
    done = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]
    image = slow_scan(root, ask)
    job = ask("segment", image_id=image, structures=["liver"], wait_s=0).result["job_id"]
    until(lambda: ask("get_job", job_id=job, wait_s=0).result["progress"] > 0.1)
    pid = desk.workers.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    failed = ask("get_job", job_id=job, wait_s=20).result
    assert failed["state"] == "failed"
    assert "starts again by itself" in failed["error"]
    assert ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0] == done, "nothing is lost"
    assert ask("segment", image_id=image_id, structures=["spleen"]).result["masks"][0]["mask_id"], "nor is the worker"
    assert desk.workers.pid not in (None, pid)


def test_progress_notifications_grow_and_a_cancelled_call_stops_its_job(ask: Ask, root: Path, desk: Desk) -> None:
    image = slow_scan(root, ask)
    shares: list[float] = []
    seen = anyio.Event

    async def run() -> None:
        started = seen()

        async def progress(share: float, total: float | None, message: str | None) -> None:
            shares.append(share)
            started.set()

        async with Client(build_server(desk)) as client, anyio.create_task_group() as group:

            async def call() -> None:
                arguments = {"image_id": image, "structures": ["liver"], "wait_s": 60}
                await client.call_tool("segment", arguments, progress_callback=progress)

            group.start_soon(call)
            with anyio.fail_after(30):
                await started.wait()
            group.cancel_scope.cancel()

    anyio.run(run)
    assert shares == sorted(set(shares))
    states = until(lambda: [job.state for job in desk.store.jobs() if job.state == "cancelled"])
    assert states == ["cancelled"]


def test_jobs_of_a_dead_server_are_lost_with_a_reason_and_results_stay(tmp_path: Path, root: Path, ask: Ask) -> None:
    """A server killed in the middle of a job: the next one says so and still has what was finished."""
    slow_scan(root, ask)
    store = tmp_path / "other"
    script = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(HERE)!r})
        from pathlib import Path
        from desk_toy import CARDS
        from ostensor.models import catalogue
        catalogue.ENTRIES = CARDS
        from ostensor.tools.desk.desk import Desk
        from ostensor.tools.running import use
        from ostensor.tools.desk.settings import Settings
        desk = Desk(Settings(store=Path({str(store)!r}), roots=(Path({str(root)!r}),), factory="desk_toy:load"))
        quick = use(desk, "open_image", path="ct.nii.gz").result.image_id
        use(desk, "segment", image_id=quick, structures=["liver"])
        slow = use(desk, "open_image", path="slow.nii.gz").result.image_id
        print(use(desk, "segment", image_id=slow, structures=["liver"], wait_s=0.5).result.job_id, flush=True)
        time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    job = process.stdout.readline().strip()
    process.kill()
    process.communicate()
    again = Store(store)
    assert again.job(job).state == "lost"
    assert "again" in str(again.job(job).error)
    finished = [mask for image in again.images() for mask in again.masks_of(image.image_id)]
    assert [mask.structure for mask in finished] == ["liver"]
    assert again.mask(finished[0].mask_id).array.sum() == 17 * 20 * 12
    assert again.verify() == ()


def test_many_callers_at_once_all_get_their_answer(desk: Desk, image_id: str, ask: Ask) -> None:
    async def run() -> list[bool]:
        found: list[bool] = []
        async with Client(build_server(desk)) as client, anyio.create_task_group() as group:

            async def call(structure: str) -> None:
                answer = await client.call_tool("segment", {"image_id": image_id, "structures": [structure]})
                found.append(not answer.is_error and bool((answer.structured_content or {})["masks"]))

            for structure in ("liver", "spleen", "left kidney", "right kidney") * 2:
                group.start_soon(call, structure)
        return found

    assert anyio.run(run) == [True] * 8
    assert threading.active_count() < 40


def test_a_closed_desk_holds_no_file_and_may_be_used_again(settings: Settings, tmp_path: Path) -> None:
    """A server of many callers closes a desk for each that went away."""

    def held() -> list[str]:
        numbers = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return [name for name in (str(one.readlink()) for one in numbers) if str(tmp_path) in name]

    with Desk(settings) as desk:
        use(desk, "list_handles")
        assert any("catalogue.sqlite" in name for name in held())
    assert [name for name in held() if "catalogue.sqlite" in name] == []
    assert use(desk, "list_handles").result
    desk.close()
