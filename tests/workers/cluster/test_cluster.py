"""Workers on a real Ray of this machine: the same answers, refusals and endings as those of processes."""

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.formats.nifti import write_nifti
from ostensor.imaging.phantoms import torso_ct
from ostensor.imaging.volume import Grid
from ostensor.models.interface import Cancelled
from ostensor.models.synthesis.jobs import SynthesisJob
from ostensor.workers.cluster.address import ClusterAddress, cluster_of
from ostensor.workers.cluster.client import ClusterWorkers
from ostensor.workers.local import LocalWorkers, Segmented, Workers
from ostensor.workers.protocol import SegmentRequest, SynthesisRequest, WorkerOptions

from .head import HERE, Head, ray_head

pytestmark = [
    pytest.mark.skipif(  # not imported here: Ray reads RAY_AUTH_MODE when it is loaded
        importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'ostensor[cluster]'"
    ),
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),  # Ray Serve's own use of pydantic
]
SHAPE = (5, 7, 11)
GRID = Grid(SHAPE, np.diag([0.7, 0.9, 3.0, 1.0]))
NUMBERS = itertools.count()
OPTIONS = WorkerOptions(factory="toy:load", threads=1)
LOOKING = "looking at the image"
WAIT_S = 60


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with ray_head(tmp_path_factory.mktemp("head")) as made, pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(HERE.parent))
        yield made


@pytest.fixture(scope="module")
def workers(head: Head) -> Iterator[ClusterWorkers]:
    """Two places: the node has two processors, and a replica works with one."""
    made = ClusterWorkers(ClusterAddress("auto"), OPTIONS, budget_mb=8000)
    yield made
    made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(-9, 9, SHAPE).astype(np.int16))
    return tmp_path / "a.npy"


def request(image: Path, *structures: str, model: str = "toy", key: str = "k", batch: bool = False) -> SegmentRequest:
    names = structures or ("0",)
    return SegmentRequest(f"r{next(NUMBERS)}", str(image), GRID, "ct", False, key, model, names, is_batch=batch)


def run(workers: Workers, asked: SegmentRequest, told: Callable[[float, str], None] | None = None) -> Segmented:
    return workers.run(asked, on_progress=told or (lambda share, text: None), cancelled=threading.Event())


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def test_masks_are_those_of_a_local_worker_bit_for_bit(workers: ClusterWorkers, image: Path) -> None:
    local = LocalWorkers(OPTIONS)
    try:
        ours, theirs = (run(one, request(image, "0", "3")) for one in (local, workers))
    finally:
        local.close()
    assert len(theirs.masks) == 2
    for one, other in zip(ours.masks, theirs.masks, strict=True):
        np.testing.assert_array_equal(one.array, other.array)
        assert (one.structure, one.confidence, one.peak) == (other.structure, other.confidence, other.peak)
    assert (ours.encoded, ours.engine, ours.weights_sha256) == (theirs.encoded, theirs.engine, theirs.weights_sha256)


def test_the_second_query_reuses_features_and_the_image_in_the_object_store(
    workers: ClusterWorkers, image: Path
) -> None:
    assert run(workers, request(image, "0", key="second")).encoded
    before = workers._lent.reference(str(image))
    assert not run(workers, request(image, "5", key="second")).encoded
    assert workers._lent.reference(str(image)) is before
    assert run(workers, request(image, "5", key="another image")).encoded


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [("bad", BadCall, "your fault"), ("gone", Unavailable, "get it"), ("ours", Failed, "our fault"),
     ("bug", Failed, "ZeroDivisionError"), ("memory", Unavailable, "memory")],
)  # fmt: skip
def test_errors_cross_with_their_kind_and_the_replica_lives_on(
    workers: ClusterWorkers, head: Head, image: Path, name: str, kind: type[Exception], text: str
) -> None:
    run(workers, request(image))
    before = head.replicas("toy")
    with pytest.raises(kind, match=text) as refusal:
        run(workers, request(image, name))
    assert "secret details" not in str(refusal.value)
    assert head.replicas("toy") == before != set()


def test_what_needs_more_than_allowed_or_than_any_node_has_is_refused(workers: ClusterWorkers, image: Path) -> None:
    with pytest.raises(Unavailable, match="9000 MB, but the worker may use 8000 MB"):
        workers.run(request(image), on_progress=lambda s, t: None, cancelled=threading.Event(), memory_mb=9000)
    with pytest.raises(Unavailable, match="worker of 8192 MB, but the cluster's largest node has 8000 MB"):
        workers.run(request(image), on_progress=lambda s, t: None, cancelled=threading.Event(), memory_mb=7000)


def test_a_model_for_which_there_is_no_room_takes_that_of_one_used_longest_ago(
    workers: ClusterWorkers, head: Head, image: Path
) -> None:
    """The node's memory is counted as 8,000 MB, in which there is no room for 4,096 twice."""
    told: list[str] = []
    for model, memory_mb in (("old", 4000), ("young", 500), ("large", 4000)):
        found = workers.run(
            request(image, model=model), on_progress=lambda s, text: told.append(text), cancelled=threading.Event(),
            memory_mb=memory_mb,
        )  # fmt: skip
        np.testing.assert_array_equal(found.masks[0].array, np.load(image) > 0)
    assert "making room in the cluster" in told
    wait_for(lambda: not head.replicas("old"))
    assert head.replicas("young"), "no more is taken than needed"
    assert run(workers, request(image)).encoded, "what was taken down comes back when it is asked"


def test_cancelling_reaches_the_window_and_frees_a_replica_that_does_not_listen(
    workers: ClusterWorkers, head: Head, image: Path
) -> None:
    """The slow toy looks whether it was called off between windows; the stuck one never does, so its process ends."""

    def begun_and_cancelled(model: str) -> int:
        cancelled, seen = threading.Event(), list[set[int]]()

        def stop(share: float, text: str) -> None:
            if text == LOOKING:
                seen.append(head.replicas(model))
                cancelled.set()

        with pytest.raises(Cancelled):
            workers.run(request(image, model=model), on_progress=stop, cancelled=cancelled)
        (pid,) = seen[0]
        return pid

    slow, stuck = begun_and_cancelled("slow"), begun_and_cancelled("stuck")
    wait_for(lambda: not psutil.pid_exists(stuck))
    assert head.replicas("slow") == {slow}
    cancelled = threading.Event()
    with pytest.raises(Cancelled):  # its only replica takes another request, so the first has stopped
        workers.run(
            request(image, model="slow", key="next"),
            on_progress=lambda s, text: cancelled.set() if text == LOOKING else None, cancelled=cancelled,
        )  # fmt: skip
    assert head.replicas("slow") == {slow}


class Gated:
    """Requests of the toy that work until the gate is open, or until they are called off at the end of the block."""

    def __init__(self, workers: ClusterWorkers, head: Head, image: Path) -> None:
        self.workers, self.image, self.gate = workers, image, head.gate
        self.threads = ThreadPoolExecutor(4)
        self.all: list[Work] = []

    def __enter__(self) -> "Gated":
        self.gate.unlink(missing_ok=True)
        return self

    def begin(self, key: str, *, batch: bool = False) -> "Work":
        asked, looks, leave = (
            request(self.image, model="gated", key=key, batch=batch),
            threading.Event(),
            threading.Event(),
        )
        done = self.threads.submit(
            self.workers.run,
            asked,
            cancelled=leave,
            on_progress=lambda share, text: looks.set() if text == LOOKING else None,
        )
        self.all.append(Work(asked.request_id, looks, leave, done))
        return self.all[-1]

    def __exit__(self, *_: object) -> None:
        self.gate.touch()
        for one in self.all:
            one.leave.set()
        self.threads.shutdown()


@dataclass(frozen=True)
class Work:
    id: str
    looks: threading.Event
    leave: threading.Event
    done: "Future[Segmented]"


def test_of_two_replicas_one_is_killed_and_the_other_is_unharmed(
    workers: ClusterWorkers, head: Head, image: Path
) -> None:
    """The killed one's job ends as that of a local worker which is killed; people wait before batches meanwhile."""
    run(workers, request(image, batch=True))  # so that it is not a batch's turn below (`line.BATCH_EVERY`)
    with Gated(workers, head, image) as gated:
        jobs = {key: gated.begin(key) for key in "ab"}
        assert all(job.looks.wait(WAIT_S) for job in jobs.values()), "a second replica comes because two ask"
        one, other = head.replicas("gated")
        batch = gated.begin("c", batch=True)
        wait_for(lambda: workers.place(batch.id) is not None)
        person = gated.begin("d")
        wait_for(lambda: workers.place(person.id) is not None)
        assert (workers.place(person.id), workers.place(batch.id)) == (2, 3)
        for waiting in (batch, person):
            waiting.leave.set()
            with pytest.raises(Cancelled):
                waiting.done.result(WAIT_S)
        os.kill(one, signal.SIGKILL)
        wait_for(lambda: any(job.done.done() for job in jobs.values()))
        lost, kept = sorted(jobs, key=lambda key: not jobs[key].done.done())
        with pytest.raises(Failed, match="starts again by itself"):
            jobs[lost].done.result(WAIT_S)
        assert not jobs[kept].done.done()
        head.gate.touch()
        found = jobs[kept].done.result(WAIT_S)
    np.testing.assert_array_equal(found.masks[0].array, np.load(image) > 0)
    assert not run(workers, request(image, model="gated", key=kept)).encoded
    assert run(workers, request(image, model="gated", key=lost)).encoded, "called once more, it works"
    assert other in head.replicas("gated")


def test_each_image_goes_back_to_the_replica_that_has_its_features(
    workers: ClusterWorkers, head: Head, image: Path
) -> None:
    """Two replicas hold an image each; many questions in turn go home, which chance would grant once in 2^16."""
    with Gated(workers, head, image) as gated:
        jobs = [gated.begin(key) for key in "ef"]
        assert all(job.looks.wait(WAIT_S) for job in jobs)
        head.gate.touch()
        for job in jobs:
            assert job.done.result(WAIT_S).encoded
    assert len(head.replicas("gated")) == 2
    assert not any(run(workers, request(image, model="gated", key=key)).encoded for key in "ef" * 8)


def test_models_share_a_card_by_what_they_are_thought_to_need(workers: ClusterWorkers, image: Path) -> None:
    """Of 14,400 MB that may be reckoned with, an eighth holds 1,000 and a quarter 3,000; the node's card is only counted."""
    run(workers, request(image))  # this process is connected, and the second joins the same
    ray: Any = sys.modules["ray"]
    before = ray.available_resources().get("GPU")
    cards = ClusterWorkers(ClusterAddress("auto"), OPTIONS, device="cuda")
    try:
        for model, memory_mb in (("toy", 1000), ("other", 3000)):
            found = cards.run(
                request(image, model=model),
                on_progress=lambda s, t: None,
                cancelled=threading.Event(),
                memory_mb=memory_mb,
            )
            np.testing.assert_array_equal(found.masks[0].array, np.load(image) > 0)
        assert before == 1.0
        wait_for(lambda: ray.available_resources().get("GPU") == 0.625)
        with pytest.raises(Unavailable, match="about 20000 MB, but the worker may use 14400 MB"):
            cards.run(request(image), on_progress=lambda s, t: None, cancelled=threading.Event(), memory_mb=20000)
    finally:
        cards.close()


def test_an_image_is_made_by_a_replica_from_labels_it_has_no_file_of(workers: ClusterWorkers, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 2:6, 3:9] = 1
    np.save(tmp_path / "labels.npy", labels)
    job = SynthesisJob(
        "synthesize", "classical", "ct", GRID, 3, 1, {1: "liver"}, labels_path=str(tmp_path / "labels.npy")
    )
    local, made = LocalWorkers(OPTIONS), []
    try:
        for one in (local, workers):
            asked = SynthesisRequest(f"r{next(NUMBERS)}", job)
            made.append(one.synthesize(asked, on_progress=lambda s, t: None, cancelled=threading.Event()))
    finally:
        local.close()
    np.testing.assert_array_equal(made[0].array, made[1].array)


CLIENT = """
    import sys, threading
    import numpy as np
    from ostensor.imaging.volume import Grid
    from ostensor.workers.cluster.address import cluster_of
    from ostensor.workers.cluster.client import ClusterWorkers
    from ostensor.workers.protocol import SegmentRequest, WorkerOptions

    if __name__ == "__main__":
        before = "ray" in sys.modules
        workers = ClusterWorkers(cluster_of(sys.argv[1]), WorkerOptions(factory="toy:load", threads=1))
        told = []
        try:
            grid = Grid((5, 7, 11), np.diag([0.7, 0.9, 3.0, 1.0]))
            request = SegmentRequest("r", sys.argv[2], grid, "ct", False, sys.argv[3], sys.argv[4], ("3",))
            found = workers.run(request, on_progress=lambda s, t: told.append(t), cancelled=threading.Event())
            cancelled = threading.Event()
            request = SegmentRequest("s", sys.argv[2], grid, "ct", False, "new", "slow", ("3",))
            try:
                workers.run(request, on_progress=lambda s, t: cancelled.set() if "looking" in t else None, cancelled=cancelled)
            except BaseException as error:
                ended = type(error).__name__
        finally:
            workers.close()
        heavy = [name for name in ("torch", "openvino", "monai", "transformers") if name in sys.modules]
        print(before, heavy, found.encoded, int(found.masks[0].array.sum()), ended, told[0])
"""


def test_another_server_by_the_client_protocol_finds_the_image_at_home_and_loads_no_torch(
    workers: ClusterWorkers, head: Head, image: Path, tmp_path: Path
) -> None:
    run(workers, request(image, key="shared"))
    script = tmp_path / "client.py"
    script.write_text(textwrap.dedent(CLIENT), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), head.address, str(image), "shared", "toy"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    expected = f"False [] False {int((np.load(image) > 3).sum())} Cancelled connecting to the cluster"
    assert done.stdout.strip() == expected, done.stderr[-2000:]


def test_a_gateway_that_is_lost_costs_one_call_and_no_features(workers: ClusterWorkers, image: Path) -> None:
    run(workers, request(image, key="kept"))
    assert workers.pid is not None
    os.kill(workers.pid, signal.SIGKILL)
    with pytest.raises(Failed, match="call the tool once more"):
        run(workers, request(image, key="kept"))
    assert not run(workers, request(image, key="kept")).encoded


def test_addresses_where_no_cluster_answers_say_what_to_do(workers: ClusterWorkers, image: Path) -> None:
    run(workers, request(image))
    second = ClusterWorkers(ClusterAddress(), OPTIONS)
    with pytest.raises(Unavailable, match="connected to a Ray already"):
        run(second, request(image))
    assert len(run(workers, request(image)).masks) == 1, "the first is not disturbed"
    nobody = ClusterWorkers(ClusterAddress("127.0.0.1:9"), OPTIONS)
    with pytest.raises(Unavailable, match=r"No Ray cluster at ray://127.0.0.1:9.*ray start --head"):
        run(nobody, request(image))
    nobody.close()
    with pytest.raises(Unavailable, match="shut down"):
        run(nobody, request(image))


def test_a_command_starts_ray_here_says_nothing_else_and_leaves_nothing_running(head: Head, tmp_path: Path) -> None:
    """Standard output is a server's protocol, so Ray must not talk there; the catalogue's own network answers."""
    torso = torso_ct(seed=0).volume
    coarse = np.asarray(torso.array)[::2, ::2, ::2]
    grid = Grid(coarse.shape, torso.grid.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))
    write_nifti(tmp_path / "torso.nii.gz", coarse, grid)
    before = _rays()

    def call(tool: str, **arguments: object) -> dict[str, Any]:
        words = [
            "call",
            tool,
            "--json",
            "--root",
            str(tmp_path),
            "--store",
            str(tmp_path / "store"),
            "--args",
            json.dumps(arguments),
        ]
        words += ["--workers", "ray?replicas=1&store_mb=100"]
        done = subprocess.run(
            [sys.executable, "-m", "ostensor.commands", *words],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    opened = call("open_image", path=str(tmp_path / "torso.nii.gz"), modality="ct")
    found = call("segment", image_id=opened["image_id"], structures=["liver"], wait_s=200)
    assert [one["structure"] for one in found["masks"]] == ["liver"], found
    wait_for(lambda: _rays() == before)


def _rays() -> int:
    """How many clusters run on this machine."""
    return sum("gcs_server" in one.info["name"] for one in psutil.process_iter(["name"]))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    workers = ClusterWorkers(cluster_of("ray") or ClusterAddress(), OPTIONS)
    with pytest.raises(Unavailable, match=r"pip install 'ostensor\[cluster\]'"):
        run(workers, request(image))
    workers.close()
