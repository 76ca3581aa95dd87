"""A server of its own that is watched: spans go to a collector from tool to window, and every line of its log is JSON."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostensor.server.http.settings import HttpSettings

from ..tools.desk.test_jobs import until
from ..toys.desks import HERE
from ..toys.http_toys import Site, free_port, reached
from .collector import Collected, collecting


@contextmanager
def watched(
    tmp_path: Path, root: Path, watching: dict[str, Any], **environment: str
) -> Iterator[tuple[Site, list[str]]]:
    """A server process, and the lines of its log once the block has ended."""
    port = free_port()
    words = [str(HERE), str(tmp_path / "store"), str(root), str(port), "{}", "{}", json.dumps(watching)]
    process = subprocess.Popen(
        [sys.executable, str(HERE / "serve_toys.py"), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    try:
        until(lambda: reached(port) or process.poll() is not None, 60)
        yield Site(port, HttpSettings(port=port)), lines
    finally:
        process.send_signal(signal.SIGTERM)
        lines += process.communicate(timeout=60)[1].splitlines()


def segmented(site: Site) -> str:
    image = str(site.ask(None, "open_image", path="ct.nii.gz").structured_content["image_id"])
    assert not site.ask(None, "segment", image_id=image, structures=["liver"], wait_s=60).is_error
    return image


@pytest.fixture
def collected() -> Iterator[Collected]:
    with collecting() as made:
        yield made


def test_one_trace_goes_from_the_tool_to_the_window(tmp_path: Path, root: Path, collected: Collected) -> None:
    """Through the job's thread and the pipe to the worker process; and nothing in it names a scan or a file."""
    place = f"http://127.0.0.1:{collected.port}"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": place, "OTEL_SERVICE_NAME": "ward-7", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    watching = {"traces": True, "logs": "json", "level": "info"}
    with watched(tmp_path, root, watching, **variables) as (site, lines):
        image = segmented(site)
        assert site.ask(None, "segment", image_id="img_doe_jane", structures=["liver"]).is_error
        with contextlib.suppress(Exception):  # refused one way or the other
            site.ask(None, "doe_jane")
    parents = {one.span_id: one for one in collected.spans}
    network = collected.named("network")
    chain, at = [], network
    while at.parent_span_id in parents:
        at = parents[at.parent_span_id]
        chain.append(at.name)
    assert chain == ["worker", "tool segment", "tools/call"]
    assert {one.trace_id for one in collected.spans if one.span_id in (network.span_id, at.span_id)} == {
        network.trace_id
    }
    assert [event.name for event in network.events] == ["window"]
    worker = parents[network.parent_span_id]
    assert worker.start_time_unix_nano <= network.start_time_unix_nano <= network.end_time_unix_nano
    assert network.end_time_unix_nano <= worker.end_time_unix_nano
    assert network.start_time_unix_nano <= network.events[0].time_unix_nano <= network.end_time_unix_nano
    stages = [one.name for one in collected.spans if one.parent_span_id == worker.span_id]
    assert sorted(stages) == ["load", "network", "open", "post", "post"]
    assert {sender["service.name"] for sender in collected.senders} == {"ward-7"}
    for word in (image, "img_", "doe", "jane", "ct.nii", str(root), str(tmp_path)):
        assert word.encode() not in collected.raw, word
    said = [json.loads(line) for line in lines if line.startswith("{")]
    of_call = [one for one in said if one.get("tool") == "segment" and one["outcome"] == "ok"]
    assert [one["trace_id"] for one in of_call] == [network.trace_id.hex()]


def test_every_line_of_the_log_is_an_object(tmp_path: Path, root: Path) -> None:
    with watched(tmp_path, root, {"logs": "json", "level": "info"}) as (site, lines):
        segmented(site)
        assert site.ask(None, "open_image", path="/srv/doe_jane.nii.gz").is_error
    greeting, *rest = lines
    assert greeting.startswith("MCP at http://")
    said = [json.loads(line) for line in rest]
    calls = [(one["tool"], one["outcome"]) for one in said if one["logger"] == "ostensor.calls"]
    assert calls == [("open_image", "ok"), ("segment", "ok"), ("open_image", "bad_call")]
    for one in said:
        assert {"time", "level", "logger", "event"} <= set(one)
        assert "trace_id" not in one, "nobody asked for spans"
    assert all(one["seconds"] >= 0 for one in said if "tool" in one)
    assert "doe" not in "\n".join(lines)
    assert str(root) not in "\n".join(lines)


def test_lines_of_text_stay_as_they_were(tmp_path: Path, root: Path) -> None:
    """Calls are not among them unless somebody asks."""
    with watched(tmp_path, root, {}) as (site, lines):
        segmented(site)
    assert [line for line in lines if not line.startswith("MCP at")] == []
