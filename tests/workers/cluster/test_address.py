"""What `--workers` may say, how much of a cluster that means, and what lies in the object store. No Ray is needed."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.tools.desk.settings import Settings
from ostensor.workers.cluster.address import ClusterAddress, cluster_of
from ostensor.workers.cluster.lending import LentImages
from ostensor.workers.cluster.messages import Facts, Room
from ostensor.workers.cluster.rooms import room_of, slots_of, threads_of
from ostensor.workers.devices import Device

CPUS = Facts("1", cpus=20.0, node_cpus=8.0, gpus=0.0, card_mb=None, store_mb=1000, pid=1)
CARDS = Facts("1", cpus=20.0, node_cpus=8.0, gpus=3.0, card_mb=80_000, store_mb=1000, pid=1)


def test_words_become_addresses() -> None:
    assert cluster_of("local") is None
    assert cluster_of("ray") == cluster_of("ray://local") == ClusterAddress()
    assert cluster_of("ray?replicas=3&store_mb=200") == ClusterAddress(replicas=3, store_mb=200)
    assert cluster_of("ray://auto?replicas=3") == ClusterAddress("auto", replicas=3)
    assert cluster_of("ray://gpu.example:10001") == ClusterAddress("gpu.example:10001")
    assert cluster_of("ray://[::1]:10001") == ClusterAddress("[::1]:10001")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "names no workers"),
        ("dask://x:1", "names no workers"),
        ("ray://gpu.example:10001/x", "names no workers"),
        ("ray://gpu.example", "lacks host or port"),
        ("ray://:10001", "lacks host or port"),
        ("ray://gpu.example:0", "lacks host or port"),
        ("ray://me:secret@gpu.example:10001", "lacks host or port"),
        ("ray?replicas=0", "whole number above 0"),
        ("ray?replicas=two", "whole number above 0"),
        ("ray?replicas=1&replicas=2", "whole number above 0"),
        ("ray?gpus=2", "whole number above 0"),
        ("ray://auto?store_mb=5", "has its own"),
        ("4", "--processes 4"),
    ],
)
def test_words_that_name_no_workers_are_refused_when_the_settings_are_made(
    tmp_path: Path, words: str, told: str
) -> None:
    with pytest.raises(BadCall, match=told):
        Settings(tmp_path, (tmp_path,), workers=words)


def test_only_ray_that_is_started_here_is_each_process_its_own(tmp_path: Path) -> None:
    started = {
        words: Settings(tmp_path, (tmp_path,), workers=words).starts_ray for words in ("local", "ray", "ray://auto")
    }
    assert started == {"local": False, "ray": True, "ray://auto": False}


def test_a_cluster_has_a_place_for_each_card_or_each_few_processors() -> None:
    def slots(
        facts: Facts, device: str, threads: int | None = None, budget: int | None = None, most: int | None = None
    ):  # type: ignore[no-untyped-def]
        return slots_of(facts, device, threads=threads, budget_mb=budget, replicas=most)

    assert slots(CPUS, "auto") == [Device("cpu")] * 5, "four processors each, of twenty"
    assert slots(CARDS, "cpu", threads=8, budget=700) == [Device("cpu", 700)] * 2
    assert slots(CARDS, "auto") == [Device("cuda", 80_000)] * 3
    assert slots(CARDS, "cuda", budget=9000, most=7) == [Device("cuda", 9000)] * 7
    assert threads_of(Facts("1", 2.0, 2.0, 0.0, None, 1, 1), None) == 2, "no more than the smallest node has"
    with pytest.raises(Unavailable, match="no GPU"):
        slots(CPUS, "cuda")
    with pytest.raises(BadCall, match="cuda:1"):
        slots(CARDS, "cuda:1")


def test_a_request_gets_the_least_share_that_holds_its_estimate() -> None:
    cards, processors = [Device("cuda", 80_000)], [Device("cpu")]
    assert [room_of(cards, CARDS, mb).gpus for mb in (0, 10_000, 10_001, 20_001, 40_001)] == [
        0.125,
        0.125,
        0.25,
        0.5,
        1.0,
    ]
    assert room_of(cards, Facts("1", 8.0, 8.0, 3.0, None, 1, 1), 10) == Room(1.0, 0), "nobody tells a card's memory"
    assert [room_of(processors, CPUS, mb).memory_mb for mb in (0, 512, 513, 1024, 5000)] == [512, 512, 1024, 1024, 8192]


def test_an_image_is_put_once_and_the_one_used_longest_ago_is_let_go(tmp_path: Path) -> None:
    """Each array takes 1 MB; the store stands for Ray's, which frees what nobody refers to."""
    for name in "abc":
        np.save(tmp_path / name, np.full(1_000_000, ord(name), np.uint8))
    put: list[int] = []
    lent = LentImages(lambda array: put.append(int(array[0])) or f"{array[0]:c}{len(put)}", budget_mb=2)
    ask = [lent.reference(str(tmp_path / f"{name}.npy")) for name in "ababcab"]
    assert ask == ["a1", "b2", "a1", "b2", "c3", "a4", "b5"]
    assert lent.held_mb == 2.0
    np.save(tmp_path / "a.npy", np.full(2_000_000, 7, np.uint8))
    assert lent.reference(str(tmp_path / "a.npy"))[-1] == "6", "another content under an old name"
