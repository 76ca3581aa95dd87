"""One caller's load is its own: places in line, threads, room on the disk, memory."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging import files
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.interface import Cancelled
from ostensor.server.http.tokens import TokenFile
from ostensor.store.quota import NoRoom, Quota, bytes_kept
from ostensor.tools.desk import job_threads
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use
from ostensor.workers.line import Line, Waiting

from ..tools.desk.test_jobs import until
from ..toys.http_toys import scan_bytes, served


@pytest.fixture
def tokens(desk: Desk) -> dict[str, str]:
    return {name: TokenFile(desk.store.folder).add(name, toolsets=["core"], days=1) for name in ("ada", "ben")}


class Crowd:
    """Requests in threads that wait for their turn and note it."""

    def __init__(self, line: Line) -> None:
        self.line, self.served = line, list[str]()
        self.first, self.go = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def come(self, owner: str, number: int, leave: threading.Event | None = None) -> None:
        def run() -> None:
            try:
                with self.line.turn(owner, f"{owner}{number}", leave or threading.Event()):
                    self.served.append(f"{owner}{number}")
                    self.first.set()
                    self.go.wait(60)
            except (Cancelled, Unavailable):
                self.served.append(f"{owner}{number} left")

        before = self.line.place(f"{owner}{number}")
        assert before is None
        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()
        until(lambda: self.line.place(f"{owner}{number}") is not None)

    def end(self) -> list[str]:
        self.go.set()
        for thread in self._threads:
            thread.join(60)
        return self.served


def test_owners_take_turns_and_only_their_own_places_are_taken() -> None:
    crowd = Crowd(Line(places=4))
    for number in range(4):
        crowd.come("a", number)
    with pytest.raises(Unavailable, match="4 jobs are waiting"), crowd.line.turn("a", "a4", threading.Event()):
        pass
    assert crowd.first.wait(60)
    for number in range(2):
        crowd.come("b", number)
    assert [crowd.line.place(f"{name}") for name in ("a0", "b0", "a1", "b1", "a2", "a3")] == [0, 1, 2, 3, 4, 5]
    assert crowd.end() == ["a0", "b0", "a1", "b1", "a2", "a3"]
    assert not crowd.line.is_busy


def test_who_leaves_the_line_or_finds_it_closed_holds_nobody_up() -> None:
    crowd, leave = Crowd(Line(places=4)), threading.Event()
    crowd.come("a", 0)
    assert crowd.first.wait(60)
    crowd.come("a", 1, leave)
    crowd.come("b", 0)
    leave.set()
    until(lambda: crowd.line.place("a1") is None)
    crowd.line.close()
    assert crowd.end() == ["a0", "a1 left", "b0 left"]


def test_uploads_that_are_opened_slowly_hold_up_nobody_else(
    desk: Desk, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """45 uploads of one caller stand still while they are opened; another signs in, lists and calls tools meanwhile."""
    go, real = threading.Event(), files.read_image

    def slowly(*arguments: object, **options: object) -> object:
        assert go.wait(120)
        return real(*arguments, **options)  # type: ignore[arg-type]  # what it was given

    monkeypatch.setattr(files, "read_image", slowly)
    with served(desk, auth="tokens") as site, ThreadPoolExecutor(45) as pool:
        sent = [
            pool.submit(
                site.request, "POST", "/upload", tokens["ada"], params={"name": f"s{n}.nii"}, content=scan_bytes()
            )
            for n in range(45)
        ]
        try:
            until(lambda: len(list((desk.store.folder / "callers").rglob("files/*_s*.nii"))) >= 40, 60)
            assert not site.ask(tokens["ben"], "list_models").is_error
            assert site.request("GET", "/healthz").status_code == 200
            assert not any(one.done() for one in sent)
        finally:
            go.set()
        assert {one.result(timeout=120).status_code for one in sent} == {201}


def test_a_quota_holds_under_parallel_uploads(desk: Desk, tokens: dict[str, str]) -> None:
    noise = np.random.default_rng(7).integers(-1000, 1000, (8, 61, 53, 41), dtype=np.int16)
    with served(desk, auth="tokens", quota_mb=2) as site, ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(
                lambda n: (
                    site.request(
                        "POST", "/upload", tokens["ada"], params={"name": f"s{n}.nii"}, content=scan_bytes(noise[n])
                    ).status_code
                ),
                range(8),
            )
        )
        kept = max(bytes_kept(folder) for folder in (desk.store.folder / "callers").iterdir())
    assert set(statuses) == {201, 413}
    assert kept < 2_000_000 + 600_000, "scans and files hold; SQLite's journal may come on top"


def test_a_quota_holds_for_masks_and_exports_and_reading_goes_on(desk: Desk, root: Path) -> None:
    image = use(desk, "open_image", path="ct.nii.gz").result.image_id
    mask = use(desk, "segment", image_id=image, structures=["liver"], wait_s=60).result.masks[0].mask_id
    desk.store.quota = Quota(desk.store.folder, bytes_kept(desk.store.folder) + 2000)
    for work in (
        lambda: use(desk, "segment", image_id=image, structures=["spleen"], wait_s=60),
        lambda: use(desk, "export", mask_ids=[mask], folder="."),
    ):
        with pytest.raises(BadCall, match="There is no room"):
            work()
    assert use(desk, "measure", mask_ids=[mask], what=["volume"]).result.measurements
    assert use(desk, "segment", image_id=image, structures=["liver"], wait_s=60).result.masks[0].mask_id == mask
    assert not list(root.glob("*liver*"))


def test_promises_are_kept_together(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 1000)
    quota.promise(600)
    with pytest.raises(NoRoom):
        quota.promise(600)
    quota.keep(600, 100)
    quota.promise(600)
    (tmp_path / "a").write_bytes(b"x" * 700)
    quota.keep(600)
    assert quota.left(anew=True) == 300
    with pytest.raises(NoRoom, match="0 MB of the 0 MB"):
        quota.promise(301)


@pytest.fixture
def live_before() -> int:
    gc.collect()
    return sum(type(thing) is job_threads._Live for thing in gc.get_objects())


def test_a_finished_job_leaves_nothing_in_memory(desk: Desk, live_before: int) -> None:
    def fails(*_: object) -> dict[str, int]:
        raise BadCall("No.")

    for number in range(100):
        work = fails if number % 2 else (lambda *_: {"n": 1})
        job = desk.jobs.start("segment", {"n": number}, work)
        assert desk.jobs.wait(job, 60).state == ("failed" if number % 2 else "done")
    until(lambda: not desk.jobs.busy)
    gc.collect()
    assert sum(type(thing) is job_threads._Live for thing in gc.get_objects()) <= live_before
    assert isinstance(desk.jobs.error_of(job), BadCall)
    assert len(desk.jobs._errors) <= 64
    assert desk.store._mine == {}


def test_a_question_about_an_image_that_was_looked_at_comes_before_new_looks() -> None:
    """A clock of the test's own; lane 1 is free, lane 0 knows the image."""
    now = [0.0]
    line = Line(16, 2, clock=lambda: now[0])
    busy = line.join(Waiting("x", "busy", (0,)))
    assert line.take(busy) == 0
    home = line.join(Waiting("late", "home", (0, 1), is_at_home=True, patience_s=25.0))
    new = line.join(Waiting("early", "new", (0, 1)))
    assert line.take(home) is None, "it waits for the worker that knows its image"
    assert line.take(new) == 1
    other = line.join(Waiting("early", "other", (0, 1)))
    batch = line.join(Waiting("b", "batch", (0, 1), is_batch=True, is_at_home=True))
    line.leave(busy)
    assert line.next_up() is home
    assert line.take(other) is None, "lane 0 is for whom it knows"
    assert line.take(home) == 0
    now[0] = 30.0
    again = line.join(Waiting("late", "again", (0, 1), is_at_home=True, patience_s=25.0))
    line.leave(new)
    now[0] = 60.0
    assert line.take(again) is None, "it may go elsewhere by now, but others were there before"
    assert line.take(other) == 1
    line.leave(other)
    assert line.take(again) == 1, "after its patience another worker will do"
    assert line.take(batch) is None
