"""The protocol's own conformance suite judges the server that users get, with the suite's fixtures on it."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import node_packages

ROOT = Path(__file__).resolve().parents[2]
# Source: requirements/*.yaml of the suite, 0.2.0-alpha.12: scenarios that must be there and pass.
SCORED = {"2025-11-25": 30, "2026-07-28": 37}
TASKS = (
    "lifecycle",
    "capability-negotiation",
    "wire-fields",
    "request-state-removal",
    "mrtr-input",
    "request-headers",
    "dispatch-and-envelope",
    "required-task-error",
    "mrtr-composition",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node_packages.package("@modelcontextprotocol/conformance")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "tests.conformance.serve", str(port), str(tmp_path_factory.mktemp("judged"))]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                pytest.fail("the server did not answer within a minute")
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()


def judged(url: str, revision: str) -> dict[str, tuple[int, int]]:
    """Checks passed and failed, by scenario."""
    suite = node_packages.package("@modelcontextprotocol/conformance") / "dist" / "index.js"
    done = node_packages.run(str(suite), "server", "--url", url, "--requirements", revision)
    summary = done.stdout.partition("=== SUMMARY ===")[2]
    rows = re.findall(r"^\S ([\w/-]+): (\d+) passed, (\d+) failed", summary, re.MULTILINE)
    failures = [row for row in rows if row[2] != "0"]
    assert not failures, f"{failures}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    assert done.returncode == 0, done.stdout[-3000:]
    return {name: (int(passed), int(failed)) for name, passed, failed in rows}


@pytest.mark.parametrize("revision", SCORED)
def test_every_scored_scenario_passes(url: str, revision: str) -> None:
    rows = judged(url, revision)
    assert len(rows) >= SCORED[revision]
    if revision == "2026-07-28":
        for name in TASKS:
            assert rows[f"tasks-{name}"][0] > 0, f"tasks-{name} checked nothing"
