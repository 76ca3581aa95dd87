"""Clicks at a worker: they overtake batches, cost one step each, and survive a worker that was killed."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid
from ostensor.models.interface import NotUnderstood
from ostensor.models.promptable.steps import SEEDS, Bits, Mark, Step
from ostensor.workers.local import LocalWorkers, Segmented
from ostensor.workers.protocol import PromptRequest, SegmentRequest, WorkerOptions

SHAPE = (23, 19, 17)
GRID = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
NUMBERS = itertools.count()
TOYS = (Path(__file__).parent, Path(__file__).parent.parent / "toys")


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in TOYS:
        monkeypatch.syspath_prepend(str(folder))


@pytest.fixture(params=["toy:load"])
def workers(request: pytest.FixtureRequest) -> Iterator[LocalWorkers]:
    made = LocalWorkers(WorkerOptions(factory=request.param))
    yield made
    made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    array = np.full(SHAPE, -1000, np.int16)
    array[4:12, 3:14, 4:13] = 100
    np.save(tmp_path / "a.npy", array)
    return tmp_path / "a.npy"


def click(image: Path, *steps: Step, model: str = SEEDS, start: Bits | None = None) -> PromptRequest:
    name = f"click{next(NUMBERS)}"
    return PromptRequest(name, str(image), GRID, "ct", False, "k", model, (), start=start, steps=steps)


def run(workers: LocalWorkers, asked: SegmentRequest, told: Callable[[float, str], None] | None = None) -> Segmented:
    return workers.run(asked, on_progress=told or (lambda share, text: None), cancelled=threading.Event())


def at(*voxel: int, positive: bool = True) -> Step:
    x, y, z = voxel
    return Step((Mark("point", positive, at=(x, y, z)),))


def test_a_click_is_answered_before_a_batch_that_came_first(workers: LocalWorkers, image: Path) -> None:
    """One of the batch is at work until the click stands in line behind the other three; the worker's first words tell whose turn it is."""
    order: list[str] = []

    def begun(name: str) -> Callable[[float, str], None]:
        return lambda share, text: None if name in order else order.append(name)

    first = threading.Event()

    def hold(share: float, text: str) -> None:
        begun("batch 0")(share, text)
        first.set()
        until = time.monotonic() + 60
        while workers.waiting < 4 and time.monotonic() < until:
            time.sleep(0.01)

    def batch(number: int) -> None:
        asked = SegmentRequest(f"b{number}", str(image), GRID, "ct", False, f"b{number}", "toy", ("0",), is_batch=True)
        run(workers, asked, hold if number == 0 else begun(f"batch {number}"))

    def pointing() -> None:
        run(workers, click(image, at(7, 8, 8)), begun("click"))

    with ThreadPoolExecutor(5) as pool:
        pool.submit(batch, 0)
        assert first.wait(60)
        later = [pool.submit(batch, number) for number in (1, 2, 3)]
        while workers.waiting < 3:
            time.sleep(0.01)
        pool.submit(pointing)
    assert all(one.exception() is None for one in later)
    assert order[:2] == ["batch 0", "click"]


def test_a_killed_worker_draws_the_steps_before_again(workers: LocalWorkers, image: Path) -> None:
    steps = (at(7, 8, 8), at(20, 2, 2), at(5, 4, 5, positive=False))
    whole = run(workers, click(image, *steps)).masks[0].array
    for number in (1, 2):
        run(workers, click(image, *steps[:number]))
    assert workers.pid is not None
    os.kill(workers.pid, signal.SIGKILL)
    while workers.pid is not None:
        time.sleep(0.01)
    assert np.array_equal(run(workers, click(image, *steps)).masks[0].array, whole)


def test_a_mask_to_start_from_travels_as_bits(workers: LocalWorkers, image: Path) -> None:
    start = np.random.default_rng(0).random(SHAPE) > 0.5
    found = run(workers, click(image, at(0, 0, 0), start=Bits.of(start))).masks[0]
    assert not (start & ~found.array).any()
    assert "No network was used" in found.notes[0]


@pytest.mark.parametrize("workers", ["prompt_toy:load"], indirect=True)
def test_names_and_marks_are_asked_of_the_right_models(workers: LocalWorkers, image: Path) -> None:
    with pytest.raises(BadCall, match="'toy-ball' draws from clicks, not from names"):
        run(workers, SegmentRequest("a", str(image), GRID, "ct", False, "k", "toy-ball", ("liver",)))
    with pytest.raises(BadCall, match="takes names, not clicks"):
        run(workers, click(image, at(7, 8, 8), model="toy-ct"))
    with pytest.raises(NotUnderstood, match="box that says what is not meant"):
        run(workers, click(image, Step((Mark("box", False, box=((1, 3), (1, 3), (1, 3))),)), model="toy-ball"))
