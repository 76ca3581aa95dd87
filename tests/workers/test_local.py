"""The worker answers, remembers, stops when told, and comes back after a crash."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.volume import Grid
from ostensor.models.interface import Cancelled, Pointing
from ostensor.workers.local import LocalWorkers, Segmented
from ostensor.workers.protocol import ReferRequest, SegmentRequest, WorkerOptions

SHAPE = (5, 7, 11)
NUMBERS = itertools.count()
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def workers() -> Iterator[LocalWorkers]:
    made = LocalWorkers(WorkerOptions(factory="toy:load"))
    yield made
    made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(-9, 9, SHAPE).astype(np.int16))
    return tmp_path / "a.npy"


def _request(image: Path, *structures: str, model: str = "toy", key: str = "k") -> SegmentRequest:
    grid = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
    return SegmentRequest(f"r{next(NUMBERS)}", str(image), grid, "ct", False, key, model, structures)


def _run(workers: LocalWorkers, request: SegmentRequest, told: Callable[[float, str], None] | None = None) -> Segmented:
    return workers.run(request, on_progress=told or (lambda share, text: None), cancelled=threading.Event())


def test_masks_come_back_on_the_grid_and_progress_only_grows(workers: LocalWorkers, image: Path) -> None:
    shares: list[float] = []
    found = _run(workers, _request(image, "0", "3"), lambda share, text: shares.append(share))
    array = np.load(image)
    for mask, threshold in zip(found.masks, (0, 3), strict=True):
        np.testing.assert_array_equal(mask.array, array > threshold)
        assert (mask.confidence, mask.peak) == (0.75, 0.875)
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert found.weights_sha256 == "0" * 64


def test_the_second_query_on_an_image_reuses_its_features(workers: LocalWorkers, image: Path) -> None:
    assert _run(workers, _request(image, "0")).encoded
    pid = workers.pid
    assert not _run(workers, _request(image, "5")).encoded
    assert _run(workers, _request(image, "5", key="another image")).encoded
    assert _run(workers, _request(image, "5", model="other")).encoded
    assert workers.pid == pid, "the process stays"


def test_features_are_dropped_oldest_use_first_under_their_budget(image: Path) -> None:
    workers = LocalWorkers(WorkerOptions(factory="toy:load", features_mb=0))
    try:
        _run(workers, _request(image, "0", key="a"))
        assert not _run(workers, _request(image, "0", key="a")).encoded, "the last one is always kept"
        _run(workers, _request(image, "0", key="b"))
        assert _run(workers, _request(image, "0", key="a")).encoded
    finally:
        workers.close()


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [("bad", BadCall, "your fault"), ("gone", Unavailable, "get it"), ("ours", Failed, "our fault"),
     ("bug", Failed, "ZeroDivisionError"), ("memory", Unavailable, "memory")],
)  # fmt: skip
def test_errors_cross_with_their_kind_and_the_worker_lives_on(
    workers: LocalWorkers, image: Path, name: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as refusal:
        _run(workers, _request(image, name))
    assert "secret details" not in str(refusal.value)
    assert len(_run(workers, _request(image, "0")).masks) == 1


def test_a_model_that_cannot_be_loaded_says_why(workers: LocalWorkers, image: Path) -> None:
    with pytest.raises(Unavailable, match="run fit"):
        _run(workers, _request(image, "0", model="missing"))


def test_a_crash_fails_one_job_and_the_next_one_works(workers: LocalWorkers, image: Path) -> None:
    with pytest.raises(Failed, match="ended in the middle"):
        _run(workers, _request(image, "die"))
    assert len(_run(workers, _request(image, "0")).masks) == 1


def test_killing_the_worker_from_outside_fails_the_running_job_clearly(workers: LocalWorkers, image: Path) -> None:
    def kill(share: float, text: str) -> None:
        if text == "looking at the image" and workers.pid:
            os.kill(workers.pid, signal.SIGKILL)

    with pytest.raises(Failed, match="starts again by itself"):
        _run(workers, _request(image, "0", model="slow"), kill)
    assert len(_run(workers, _request(image, "0")).masks) == 1


@pytest.mark.parametrize(("model", "stays"), [("slow", True), ("stuck", False)])
def test_cancelling_frees_the_worker_with_or_without_its_help(
    workers: LocalWorkers, image: Path, model: str, stays: bool
) -> None:
    cancelled = threading.Event()
    pids: list[int | None] = []

    def stop(share: float, text: str) -> None:
        if text == "looking at the image":
            pids.append(workers.pid)
            cancelled.set()

    with pytest.raises(Cancelled):
        workers.run(_request(image, "0", model=model), on_progress=stop, cancelled=cancelled)
    assert len(_run(workers, _request(image, "0")).masks) == 1
    assert (workers.pid == pids[0]) is stays, "a cooperative worker keeps its caches, a stuck one is replaced"


def test_two_jobs_on_one_image_at_once_are_both_right(workers: LocalWorkers, image: Path) -> None:
    array = np.load(image)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: _run(workers, _request(image, str(n))), range(-4, 4)))
    for threshold, one in zip(range(-4, 4), found, strict=True):
        np.testing.assert_array_equal(one.masks[0].array, array > threshold)


def test_a_waiting_job_knows_its_place_and_may_leave_the_line(workers: LocalWorkers, image: Path) -> None:
    running, leave, looked = _request(image, "0", model="slow"), threading.Event(), threading.Event()
    waiting, gone = _request(image, "0"), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(workers.run, running, on_progress=lambda share, text: looked.set(), cancelled=leave)
        assert looked.wait(60)
        second = pool.submit(workers.run, waiting, on_progress=lambda share, text: None, cancelled=gone)
        while workers.place(waiting.request_id) != 1:
            assert not second.done()
        gone.set()
        with pytest.raises(Cancelled):
            second.result(timeout=60)
        leave.set()
        with pytest.raises(Cancelled):
            first.result(timeout=60)
    assert workers.place(running.request_id) is None


def test_what_does_not_fit_is_refused_before_it_starts(image: Path) -> None:
    small = LocalWorkers(WorkerOptions(factory="toy:load"), budget_mb=500)
    with pytest.raises(Unavailable, match="1000 MB, but the worker may use 500 MB"):
        small.run(_request(image, "0"), on_progress=lambda s, t: None, cancelled=threading.Event(), memory_mb=1000)
    assert small.pid is None
    full = LocalWorkers(WorkerOptions(factory="toy:load"), places=0)
    with pytest.raises(Unavailable, match="waiting already"):
        _run(full, _request(image, "0"))


def test_after_closing_nothing_runs_and_nothing_is_left(workers: LocalWorkers, image: Path) -> None:
    _run(workers, _request(image, "0"))
    pid = workers.pid
    assert pid is not None
    workers.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(Unavailable, match="shut down"):
        _run(workers, _request(image, "0"))


PARENT = """
    import sys, threading
    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from ostensor.imaging.volume import Grid
    from ostensor.workers.local import LocalWorkers
    from ostensor.workers.protocol import SegmentRequest, WorkerOptions

    if __name__ == "__main__":
        workers = LocalWorkers(WorkerOptions(factory="toy:load"))
        request = SegmentRequest("r", sys.argv[2], Grid((5, 7, 11), np.eye(4)), "ct", False, "k", "toy", ("0",))
        workers.run(request, on_progress=lambda s, t: None, cancelled=threading.Event())
        heavy = [name for name in ("torch", "openvino", "monai", "transformers") if name in sys.modules]
        print(workers.pid, heavy, flush=True)
        input()
"""


def test_the_worker_ends_with_its_parent_and_the_parent_loads_no_torch(tmp_path: Path, image: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT), encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(script), str(HERE), str(image)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid, heavy = parent.stdout.readline().split(" ", 1)
    assert heavy.strip() == "[]"
    worker = psutil.Process(int(pid))
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=30)
    worker.wait(timeout=30)
    parent.stdout.close()
    parent.stdin.close()


def test_sentences_reach_a_model_that_takes_them_and_notes_come_back(workers: LocalWorkers, image: Path) -> None:
    """The toy that refers answers what it was told; the toy of names refuses sentences."""
    grid = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
    how = Pointing("slice", 4, "unknown")

    def ask(model: str) -> Segmented:
        request = ReferRequest(
            f"r{next(NUMBERS)}", str(image), grid, "ct", False, "k", model, ("above 3",), pointing=how
        )
        return _run(workers, request)

    (mask,) = ask("refers").masks
    expected = np.zeros(SHAPE, dtype=bool)
    expected[:, :, 4] = np.load(image)[:, :, 4] > 3
    assert np.array_equal(mask.array, expected)
    assert (mask.structure, mask.family, mask.element, mask.notes) == ("above 3", "size", 6, ("unknown",))
    with pytest.raises(BadCall, match="not sentences"):
        ask("toy")
