"""Figures are counted once, bounded, and added up over processes."""

import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ostensor.observing.counts import Counts
from ostensor.observing.figures import FIGURES, MOST, QUICK_S
from ostensor.observing.snapshots import Process, Server, Snapshots, added_up, forget, processes

ENDED = 2**22 + 7  # above the highest number Linux gives a process


def test_a_value_that_is_not_ours_becomes_other() -> None:
    """A file's name, a handle or a person's name can never become a label."""
    counts = Counts()
    for word in ("/data/Doe^Jane.nii.gz", "Jane Doe", "img_0123456789abcdef 1", "x" * 60, ""):
        counts.add("ostensor_calls_total", tool=word, outcome="ok")
        counts.add("ostensor_refusals_total", reason=word)
    rows = counts.snapshot()["numbers"]
    assert rows["ostensor_calls_total"] == [[["other", "ok"], 5.0]]
    assert rows["ostensor_refusals_total"] == [[["other"], 5.0]]


def test_a_figure_has_no_more_rows_than_its_limit() -> None:
    """Also where every value looks like one of ours."""
    counts = Counts()
    for number in range(3 * MOST):
        counts.observe("ostensor_call_seconds", 0.1, tool=f"tool_{number}")
    rows = counts.snapshot()["bins"]["ostensor_call_seconds"]
    assert len(rows) == MOST + 1
    assert sum(sum(counts) for _, counts, _ in rows) == 3 * MOST, "nothing is lost"


def test_every_label_is_bound_to_few_words() -> None:
    """Only names of tools are open, and those are cut at `MOST`."""
    for name, figure in FIGURES.items():
        assert name.startswith("ostensor_")
        assert name.endswith("_total") == (figure.kind == "counter")
        assert name.endswith("_seconds") == (figure.kind == "histogram")
        open_ended = [label for label, form in figure.labels.items() if set("*+.") & set(form)]
        assert not open_ended, (name, open_ended)


def test_a_histogram_puts_each_value_below_the_end_of_its_bin() -> None:
    """By hand: 0.003 s belongs to the bin that ends there, 0.0031 s to the next, 1000 s to the open one."""
    counts = Counts()
    for seconds in (0.003, 0.0031, 1000.0):
        counts.observe("ostensor_queue_seconds", seconds, kind="people")
    ((_, bins, total),) = counts.snapshot()["bins"]["ostensor_queue_seconds"]
    assert [n for n, count in enumerate(bins) if count] == [
        QUICK_S.index(0.003),
        QUICK_S.index(0.003) + 1,
        len(QUICK_S),
    ]
    assert total == pytest.approx(1000.0061)


def test_threads_lose_no_count() -> None:
    counts = Counts()

    def work() -> None:
        for _ in range(2000):
            counts.add("ostensor_windows_total")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert counts.value("ostensor_windows_total") == 16_000


def process(pid: int, at_work: bool, windows: float, waiting: float) -> Process:
    import time

    numbers = {
        "ostensor_windows_total": [[[], windows]],
        "ostensor_queue_length": [[["people"], waiting]],
        "ostensor_gone": [[[], 1.0]],
    }
    bins = {"ostensor_call_seconds": [[["segment"], [1] * (len(QUICK_S) + 1), 2.5]]}
    counts = {"numbers": numbers, "bins": bins, "running": []}
    return Process(1, "http", "0", pid, 0.0, time.time() if at_work else 0.0, counts)


def test_counters_of_ended_processes_stay_and_their_gauges_go() -> None:
    """A sum that fell would look like a restart to Prometheus."""
    total = added_up([process(os.getpid(), True, 3.0, 2.0), process(ENDED, False, 4.0, 5.0)])
    assert total["ostensor_windows_total"] == {(): 7.0}
    assert total["ostensor_queue_length"] == {("people",): 2.0}
    assert total["ostensor_call_seconds"] == {("segment",): ([2] * (len(QUICK_S) + 1), 5.0)}
    assert "ostensor_gone" not in total, "a figure of another version"


def test_a_file_is_for_its_owner_and_is_read_back(tmp_path: Path) -> None:
    counts = Counts()
    counts.add("ostensor_windows_total", 5)
    counts.begin_call("segment")
    made = Snapshots(tmp_path, Server(os.getpid(), "stdio", "1.2"), counts, lambda counts: [{"device": "cpu"}])
    made.start()
    made.stop()
    (path,) = (tmp_path / "observed").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (found,) = processes(tmp_path)
    assert (found.pid, found.transport, found.version, found.is_at_work) == (os.getpid(), "stdio", "1.2", True)
    assert found.counts["numbers"]["ostensor_windows_total"] == [[[], 5.0]]
    assert [call["tool"] for call in found.counts["running"]] == ["segment"]
    assert found.workers == ({"device": "cpu"},)
    assert processes(tmp_path, ENDED) == ()


def test_files_of_ended_servers_are_forgotten_and_broken_ones_left_out(tmp_path: Path) -> None:
    made = Snapshots(tmp_path, Server(os.getpid(), "http", "1"), Counts())
    made.start()
    made.stop()
    (path,) = (tmp_path / "observed").iterdir()
    machine, _, _ = path.stem.split("-")
    old = path.with_name(f"{machine}-{ENDED}-{ENDED + 1}.json")
    sibling = path.with_name(f"{machine}-{os.getpid()}-{ENDED}.json")
    old.write_text(path.read_text())
    sibling.write_text(json.dumps({"of": "another version"}))
    forget(tmp_path)
    assert sorted((tmp_path / "observed").iterdir()) == sorted([path, sibling]), "its server still runs"
    assert len(processes(tmp_path)) == 1


def test_a_folder_that_is_gone_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Snapshots(tmp_path / "gone", Server(os.getpid(), "http", "1"), Counts())
    made.write(anew=True)
    made.write(anew=True)
    assert [record.getMessage() for record in caplog.records] == [
        "figures of this process are not written: FileNotFoundError"
    ]
    assert not (tmp_path / "gone").exists()


def test_who_is_silent_is_not_at_work() -> None:
    one = process(os.getpid(), True, 0, 0)
    assert one.is_at_work
    assert not replace(one, at=one.at - 16).is_at_work
