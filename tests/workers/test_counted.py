"""What workers do is counted where they are asked, and their log is JSON where that is wanted."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import Failed, Unavailable
from ostensor.imaging.volume import Grid
from ostensor.models.interface import Cancelled
from ostensor.observing.counts import HERE
from ostensor.observing.logs import choose_format
from ostensor.workers.fallbacks import ways_of
from ostensor.workers.local import LocalWorkers
from ostensor.workers.protocol import SegmentRequest, WorkerOptions

SHAPE = (5, 7, 11)
NUMBERS = itertools.count()
FIGURES = {
    "starts": ("ostensor_worker_starts_total", {"device": "cpu"}),
    "restarts": ("ostensor_worker_restarts_total", {"device": "cpu"}),
    "memory": ("ostensor_refusals_total", {"reason": "memory"}),
    "queue": ("ostensor_refusals_total", {"reason": "queue"}),
    "network": ("ostensor_stage_seconds", {"stage": "network"}),
    "post": ("ostensor_stage_seconds", {"stage": "post"}),
    "load": ("ostensor_stage_seconds", {"stage": "load"}),
    "windows": ("ostensor_windows_total", {}),
    "home": ("ostensor_cache_lookups_total", {"cache": "home", "outcome": "hit"}),
    "hit": ("ostensor_cache_lookups_total", {"cache": "features", "outcome": "hit"}),
    "batch": ("ostensor_queue_seconds", {"kind": "batch"}),
}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def workers() -> Iterator[LocalWorkers]:
    made = LocalWorkers(WorkerOptions(factory="toy:load"), budget_mb=500, places=2)
    yield made
    made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(-9, 9, SHAPE).astype(np.int16))
    return tmp_path / "a.npy"


def ask(workers: LocalWorkers, image: Path, structure: str = "0", model: str = "toy", **more: object) -> None:
    grid = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
    request = SegmentRequest(f"c{next(NUMBERS)}", str(image), grid, "ct", False, "k", model, (structure,))
    memory_mb = int(str(more.pop("memory_mb", 0)))
    cancelled = more.pop("cancelled", threading.Event())
    assert isinstance(cancelled, threading.Event)
    request = replace(request, **more)  # type: ignore[arg-type]
    workers.run(request, on_progress=lambda share, text: None, cancelled=cancelled, memory_mb=memory_mb)


def counted() -> dict[str, float]:
    return {name: HERE.value(figure, **labels) for name, (figure, labels) in FIGURES.items()}


def more(before: dict[str, float]) -> dict[str, float]:
    """What was added since, without zeros."""
    return {name: value - before[name] for name, value in counted().items() if value != before[name]}


def test_two_looks_at_an_image(workers: LocalWorkers, image: Path) -> None:
    """By hand: one start, one load, one network with one window; decoding and packing are `post` each."""
    before = counted()
    ask(workers, image)
    assert more(before) == {"starts": 1, "load": 1, "network": 1, "windows": 1, "post": 2}
    before = counted()
    ask(workers, image, "5", is_batch=True)
    assert more(before) == {"post": 2, "home": 1, "hit": 1, "batch": 1}


def test_a_worker_that_dies_is_counted_when_it_comes_back(workers: LocalWorkers, image: Path) -> None:
    before = counted()
    with pytest.raises(Failed):
        ask(workers, image, "die")
    ask(workers, image)
    assert {name: count for name, count in more(before).items() if "start" in name} == {"starts": 2, "restarts": 1}


def test_refusals_are_counted_by_their_reason(workers: LocalWorkers, image: Path) -> None:
    before = counted()
    with pytest.raises(Unavailable, match="500 MB"):
        ask(workers, image, memory_mb=501)
    assert more(before) == {"memory": 1}
    stop = threading.Event()

    def wait() -> None:
        with pytest.raises(Cancelled):
            ask(workers, image, model="slow", cancelled=stop)

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for one in threads:
        one.start()
    for _ in range(400):
        if HERE.value("ostensor_queue_length", kind="people") == 1:
            break
        time.sleep(0.05)
    assert HERE.value("ostensor_queue_length", kind="people") == 1, "one works, one waits"
    before = counted()
    with pytest.raises(Unavailable, match="2 jobs"):
        ask(workers, image)
    assert more(before) == {"queue": 1}
    stop.set()
    for one in threads:
        one.join()
    assert HERE.value("ostensor_queue_length", kind="people") == 0


def test_a_request_done_otherwise_is_counted_by_the_way(image: Path) -> None:
    """The toy has memory in half precision only; the card is one in name, for nothing here asks for it."""
    assert [way.word for way in ways_of("cuda:0")] == ["", "cleared", "half", "cpu"]
    made = LocalWorkers(WorkerOptions(factory="toy:load", device="cuda:0"))
    try:
        before = [HERE.value("ostensor_fallbacks_total", way=word) for word in ("cleared", "half", "cpu")]
        ask(made, image, model="hungry")
        after = [HERE.value("ostensor_fallbacks_total", way=word) for word in ("cleared", "half", "cpu")]
    finally:
        made.close()
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, 1, 0]


def test_a_worker_logs_objects_with_the_trace_and_without_a_librarys_words(
    image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = "ab" * 16
    monkeypatch.setattr("ostensor.workers.local.traceparent", lambda: f"00-{trace}-{'cd' * 8}-01")
    choose_format("json")
    made = LocalWorkers(WorkerOptions(factory="toy:load"))
    try:
        with pytest.raises(Failed):
            ask(made, image, "bug")
    finally:
        choose_format("text")
        made.close()
    (line,) = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert (line["level"], line["trace_id"]) == ("error", trace)
    assert "ZeroDivisionError" in line["trace"]
    assert "secret details" not in json.dumps(line)
