"""`ostensor top`: what a server did, by its store or its address; and what to do where there is none."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.observing.counts import Counts
from ostensor.observing.snapshots import Server, Snapshots
from ostensor.tools.desk.desk import Desk

from ...toys.http_toys import free_port, served


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Of a server with one call under way, one that failed, and a worker."""
    counts = Counts()
    counts.add("ostensor_calls_total", 3, tool="measure", outcome="ok")
    counts.add("ostensor_calls_total", tool="measure", outcome="failed")
    for _ in range(4):
        counts.observe("ostensor_call_seconds", 0.25, tool="measure")
    counts.put("ostensor_worker_cache_bytes", 5e8, device="cuda:1", cache="features")
    counts.put("ostensor_worker_cache_budget_bytes", 2e9, device="cuda:1", cache="features")
    worker = {"device": "cuda:1", "pid": 4242, "bytes": 3_000_000_000, "budget_mb": 9000}
    counts.begin_call("segment")
    Snapshots(tmp_path, Server(os.getpid(), "stdio", "9.8.7"), counts, lambda counts: [worker]).start()
    return tmp_path


def test_once_shows_calls_workers_and_tools(store: Path) -> None:
    done = CliRunner().invoke(app, ["top", "--once", "--store", str(store)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    server = next(row for row in rows if "stdio 9.8.7" in row)
    assert server[4:6] == ["4", "1"]
    assert server[-1].startswith("segment")
    worker = next(row for row in rows if row[0] == "4242")
    assert worker == ["4242", "cuda:1", "3.0 GB", "0 MB of 0 MB", "500 MB of 2.0 GB", "0", "9.0 GB"]
    assert next(row for row in rows if row[0] == "measure") == ["measure", "4", "3", "0.250 s"]


def test_json_is_for_programs(store: Path) -> None:
    done = CliRunner().invoke(app, ["top", "--json", "--store", str(store)])
    (one,) = json.loads(done.stdout)["processes"]
    assert (one["transport"], one["workers"][0]["device"]) == ("stdio", "cuda:1")


def test_without_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    for words in (["top", "--once"], ["top", "--json"]):
        done = CliRunner().invoke(app, [*words, "--store", str(tmp_path)])
        assert isinstance(done.exception, Unavailable)
        assert "ostensor serve" in str(done.exception)


def test_a_server_elsewhere_is_asked(desk: Desk) -> None:
    with served(desk, metrics=True) as site:
        site.ask(None, "list_files")
        done = CliRunner().invoke(app, ["top", "--json", "--url", site.url])
    (one,) = json.loads(done.stdout)["processes"]
    assert one["transport"] == "http"


def test_a_server_that_does_not_tell_or_is_not_there_is_named(desk: Desk) -> None:
    def said(url: str) -> str:
        found = CliRunner().invoke(app, ["top", "--once", "--url", url]).exception
        assert isinstance(found, Unavailable | BadCall)
        return str(found)

    with served(desk) as site:
        assert "--metrics" in said(site.url)
    assert "does not answer" in said(f"http://127.0.0.1:{free_port()}")
    assert "is no address" in said("127.0.0.1:8765")
