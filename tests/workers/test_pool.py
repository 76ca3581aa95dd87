"""Several devices behind one client: who gets what, who waits for whom, and what a lost device costs."""

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.volume import Grid
from ostensor.models.interface import Cancelled
from ostensor.workers import devices
from ostensor.workers.devices import Device, devices_of
from ostensor.workers.line import BATCH_EVERY, Line
from ostensor.workers.local import LocalWorkers, Segmented
from ostensor.workers.placing import Places
from ostensor.workers.process import WorkerProcess, without_the_script
from ostensor.workers.protocol import SegmentRequest, WorkerOptions

SHAPE = (5, 7, 11)
NUMBERS = itertools.count()
TWO = (Device("one", 2000), Device("two", 8000))
CARDS = (Device("cuda:0", 70000), Device("cuda:1", 20000))


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def pool() -> Iterator[LocalWorkers]:
    made = LocalWorkers(WorkerOptions(factory="toy:load"), devices=TWO)
    yield made
    made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(-9, 9, SHAPE).astype(np.int16))
    return tmp_path / "a.npy"


def request(image: Path, *, model: str = "toy", key: str = "k", batch: bool = False) -> SegmentRequest:
    grid = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
    made = SegmentRequest(f"r{next(NUMBERS)}", str(image), grid, "ct", False, key, model, ("0",))
    return replace(made, is_batch=batch)


def run(
    pool: LocalWorkers, asked: SegmentRequest, *, memory_mb: int = 0, told: Callable[..., None] | None = None
) -> Segmented:
    return pool.run(
        asked, on_progress=told or (lambda share, text: None), cancelled=threading.Event(), memory_mb=memory_mb
    )


def test_two_devices_work_at_once_and_a_big_request_goes_where_it_fits(pool: LocalWorkers, image: Path) -> None:
    """Each waits until both are at work, which one worker alone could never see."""
    both = threading.Barrier(2, timeout=60)

    def together(share: float, text: str) -> None:
        if text == "looking at the image" and not seen.get(threading.get_ident()):
            seen[threading.get_ident()] = True
            both.wait()

    seen: dict[int, bool] = {}
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(run, pool, request(image, key=key), told=together) for key in "ab"]:
            assert len(done.result(timeout=90).masks) == 1
    assert len(set(pool.pids)) == 2
    run(pool, request(image, key="big"), memory_mb=5000)
    assert pool._places._held["toy", "big"] == 1
    with pytest.raises(Unavailable, match=r"about 9000 MB.*one 2000 MB, two 8000 MB"):
        run(pool, request(image), memory_mb=9000)


def test_an_image_goes_back_to_the_device_that_has_its_features(pool: LocalWorkers, image: Path) -> None:
    assert run(pool, request(image, key="a")).encoded
    run(pool, request(image, key="b"), memory_mb=5000)
    assert not run(pool, request(image, key="a")).encoded
    assert not run(pool, request(image, key="b")).encoded
    assert not run(pool, request(image, key="a")).encoded


def test_a_lost_device_costs_its_own_job_and_is_not_taken_for_one_that_knows_the_image(
    pool: LocalWorkers, image: Path
) -> None:
    run(pool, request(image, key="a"))
    run(pool, request(image, key="b"), memory_mb=5000)
    one, two = pool.pids
    assert one is not None

    def kill(share: float, text: str) -> None:
        if text == "looking at the image":
            os.kill(one, signal.SIGKILL)

    with pytest.raises(Failed, match="starts again by itself"):
        run(pool, request(image, model="slow", key="c"), told=kill)
    assert pool.pids[1] == two, "the other is unharmed"
    assert not run(pool, request(image, key="b")).encoded
    assert run(pool, request(image, key="a")).encoded


def test_words_become_devices() -> None:
    assert devices_of("cpu", 500, CARDS) == (Device("cpu", 500),)
    assert devices_of("auto", 500, ()) == (Device("cpu", 500),)
    assert devices_of("auto", None, CARDS) == devices_of("cuda", 90000, CARDS) == CARDS
    assert devices_of("cuda", 30000, CARDS) == (Device("cuda:0", 30000), CARDS[1]), (
        "the operator's limit holds on cards"
    )
    assert devices_of("cuda:1, cpu", None, CARDS) == (CARDS[1], Device("cpu"))
    with pytest.raises(Unavailable, match="no device 'cuda:7'"):
        devices_of("cuda:7", None, CARDS)
    with pytest.raises(Unavailable, match="No CUDA device"):
        devices_of("cuda", None, ())
    for words in ("gpu", "", "cpu,cpu", "cuda:x"):
        with pytest.raises(BadCall):
            devices_of(words, None, CARDS)


def test_cards_are_read_from_what_the_driver_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, 143771, GPU-aa1'\necho '1, 81559, GPU-ab2'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    devices.cards.cache_clear()
    try:
        assert [(one.name, one.budget_mb) for one in devices.cards()] == [("cuda:0", 129393), ("cuda:1", 73403)]
        for words, budgets in (("1", [73403]), ("GPU-ab", [73403]), ("1,0", [73403, 129393]), ("0,7,1", [129393]), ("", []), ("-1", []), ("MIG-7", [129393])):  # fmt: skip
            told = [(f"cuda:{number}", budget) for number, budget in enumerate(budgets)]
            assert [(one.name, one.budget_mb) for one in devices.cards(words)] == told, words
        program.write_text("#!/bin/sh\necho broken\n")
        devices.cards.cache_clear()
        assert devices.cards() == ()
    finally:
        devices.cards.cache_clear()


def test_places_are_home_first_then_the_model_then_cards() -> None:
    places = Places((Device("cpu"), *CARDS))
    assert places.place("m", "k", 0).lanes == (1, 2, 0)
    assert places.place("m", "k", 60000).lanes == (1, 0)
    places.note(2, "m", "other")
    assert places.place("m", "k", 0).lanes == (2, 1, 0)
    places.note(1, "m", "k")
    assert places.place("m", "k", 0).is_at_home
    assert places.place("m", "k", 0).lanes == (1, 2, 0)
    places.forget(1)
    assert not places.place("m", "k", 0).is_at_home
    places.note(1, "m", "")
    assert not places.place("m", "", 0).is_at_home, "nothing is kept without a key, so nothing is worth waiting for"


def test_two_workers_that_start_at_once_leave_the_script_in_its_place() -> None:
    script, leave, second_is_in = sys.modules["__main__"], threading.Event(), threading.Event()
    first_is_in = threading.Event()

    def start(inside: threading.Event) -> None:
        with without_the_script():
            inside.set()
            leave.wait(20)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(start, first_is_in)
        assert first_is_in.wait(20)
        threads.submit(start, second_is_in)
        assert not second_is_in.wait(0.2), "one at a time, or the second puts back the first's stand-in"
        leave.set()
    assert second_is_in.is_set()
    assert sys.modules["__main__"] is script


def test_a_worker_that_was_stopped_is_not_started_by_a_request_that_was_on_its_way() -> None:
    one = WorkerProcess(WorkerOptions(factory="toy:load"))
    one.stop()
    with pytest.raises(Unavailable, match="shut down"):
        one.ensure()
    assert one.pid is None


class Crowd:
    """Threads that wait in a line and write down who came when."""

    def __init__(self, line: Line) -> None:
        self.line, self.order = line, list[str]()
        self.hold = threading.Event()
        self.threads: list[threading.Thread] = []

    def come(
        self, name: str, *, batch: bool = False, owner: str = "", lanes: tuple[int, ...] = (0,), home: bool = False
    ) -> None:
        def wait() -> None:
            with self.line.turn(
                owner or name, name, threading.Event(), lanes=lanes, is_batch=batch, is_at_home=home
            ) as lane:
                self.order.append(f"{name}{lane}")
                self.hold.wait(20)

        count = self.line.waiting
        running = len(self.line._running)
        thread = threading.Thread(target=wait)
        thread.start()
        self.threads.append(thread)
        while self.line.waiting == count and len(self.line._running) == running:
            time.sleep(0.001)

    def leave(self) -> list[str]:
        self.hold.set()
        for thread in self.threads:
            thread.join(20)
        return self.order


def test_people_come_before_batches_which_do_not_stand_still() -> None:
    crowd = Crowd(Line(places=50))
    crowd.come("first")
    for number in range(3):
        crowd.come(f"batch{number}-", batch=True, owner="batch")
    for number in range(BATCH_EVERY + 3):
        crowd.come(f"person{number}-")
    order = [name.split("-")[0] for name in crowd.leave()[1:]]
    assert order[: BATCH_EVERY - 1] == [f"person{n}" for n in range(BATCH_EVERY - 1)]
    assert order[BATCH_EVERY - 1] == "batch0"
    assert order[-2:] == ["batch1", "batch2"]


def test_a_request_waits_a_little_for_its_home_and_then_goes_elsewhere() -> None:
    line = Line(places=9, lanes=2)
    crowd = Crowd(line)
    crowd.come("busy", lanes=(0, 1))
    crowd.come("guest", lanes=(0, 1), home=True)
    assert line.running_on(1) is None, "its home is taken, so it waits though another is free"
    assert line.place("guest") == 1
    crowd.come("other", lanes=(0, 1))
    assert line.running_on(1) == "other", "who is not at home does not wait"
    assert sorted(crowd.leave()[:2]) == ["busy0", "other1"]


def test_who_leaves_while_waiting_takes_no_place() -> None:
    line, gone = Line(places=9, lanes=1), threading.Event()
    crowd = Crowd(line)
    crowd.come("busy")
    gone.set()
    with pytest.raises(Cancelled), line.turn("x", "x", gone):
        pass
    assert line.waiting == 0
    crowd.leave()


def test_out_of_memory_on_a_card_is_survived_in_order_and_told(image: Path) -> None:
    """The toy has no memory on a card but in half precision, and 'starved' none there at all."""
    made = LocalWorkers(WorkerOptions(factory="toy:load"), devices=(Device("card"),))
    told: list[str] = []
    try:
        found = run(made, request(image, model="hungry"), told=lambda share, text: told.append(text))
        assert found.engine == "toy, card was out of memory: run in half precision"
        notices = [text for text in told if "out of memory" in text]
        assert [text.rpartition(": ")[2] for text in notices] == [
            "other models and features were dropped",
            "run in half precision",
        ]
        told.clear()
        again = run(made, request(image, model="hungry", key="as large"), told=lambda share, text: told.append(text))
        assert again.engine == found.engine
        assert len([text for text in told if "out of memory" in text]) == 1, "what did not fit is not tried again"
        assert run(made, request(image, model="starved")).engine == "toy, card was out of memory: run on the CPU"
        with pytest.raises(Unavailable, match="ran out of memory"):
            run(made, request(image, model="nowhere"))
        assert run(made, request(image)).engine == "toy"
    finally:
        made.close()


def test_a_model_that_fits_once_room_was_made_is_loaded_once_more_and_not_again(image: Path) -> None:
    made = LocalWorkers(WorkerOptions(factory="toy:load"), devices=(Device("card"),))
    try:
        first = run(made, request(image, model="crowded", key="a")).engine
        assert first == "load 2, card was out of memory: other models and features were dropped"
        assert run(made, request(image, model="crowded", key="b")).engine == "load 2"
    finally:
        made.close()
