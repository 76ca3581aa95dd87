"""What the server adds to a call, how soon it lists its tools, and a hundred clients that poll while one segments."""

from __future__ import annotations

import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from ..imaging.files import write_volume
from ..imaging.phantoms import torso_ct
from ..tools.desk import Desk
from ..tools.settings import Settings
from . import mcp_side
from .machine import described

TRANSPORTS = ("memory", "stdio", "http")
_HEAVY = ("torch", "monai", "transformers", "sentence_transformers", "openvino", "faiss")
_WORDS = ["-m", "ostensor.benchmarks.mcp_side"]


def run(*, calls: int = 200, clients: int = 100, polls: int = 5, rounds: int = 3) -> str:
    """Markdown tables: overhead per call, start, crowd."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        lines = ["| transport | bare SDK, ms | ours, ms | ratio |", "|---|---|---|---|"]
        for transport in TRANSPORTS:
            bare, our = anyio.run(_overhead, transport, path, calls)
            lines.append(f"| {transport} | {bare:.2f} | {our:.2f} | {our / bare:.2f} |")
        lines += ["", *_start(rounds), "", *anyio.run(_crowd, path, clients, polls)]
    load = os.getloadavg()[0]
    note = f"Medians of {calls} calls of an empty tool, both sides in turn; load average {load:.1f} at the end."
    return "\n".join([*lines, "", f"{note} {described()}."])


async def _overhead(transport: str, folder: Path, calls: int) -> tuple[float, float]:
    """Median milliseconds per call of the bare server and of ours, measured in turn."""
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    async with _client("bare", transport, folder) as bare, _client("ours", transport, folder) as our:
        for number in range(calls + 10):
            for side, client in (("bare", bare), ("ours", our)):
                started = time.perf_counter()
                answer = await client.call_tool("nothing", {})
                took = time.perf_counter() - started
                assert answer.structured_content == {"done": True}, answer
                if number >= 10:
                    times[side].append(took * 1000)
    return statistics.median(times["bare"]), statistics.median(times["ours"])


@asynccontextmanager
async def _client(side: str, transport: str, folder: Path) -> AsyncIterator[Client]:
    mine = folder / f"{side}_{transport}"
    mine.mkdir(exist_ok=True)
    if transport == "memory":
        with Desk(Settings(store=mine / "store", roots=(mine,))) as desk:
            async with Client(mcp_side.bare() if side == "bare" else mcp_side.ours(desk)) as client:
                yield client
    elif transport == "stdio":
        async with Client(StdioServerParameters(command=sys.executable, args=[*_WORDS, side, str(mine)])) as client:
            yield client
    else:
        with served(side, mine) as url:
            async with Client(url) as client:
                yield client


@contextmanager
def served(side: str, folder: Path) -> Iterator[str]:
    """The address of a server process over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, *_WORDS, side, str(folder), str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()


_FIRST_LIST = """
import resource, sys, time
started = time.perf_counter()
import anyio
from pathlib import Path
from mcp import Client
from ostensor.tools.desk import Desk
from ostensor.tools.server import build_server
from ostensor.tools.settings import Settings
async def main():
    folder = Path(sys.argv[1])
    with Desk(Settings(store=folder / "store", roots=(folder,))) as desk:
        async with Client(build_server(desk)) as client:
            await client.list_tools()
anyio.run(main)
cpu = resource.getrusage(resource.RUSAGE_SELF)
heavy = [name for name in sys.argv[2:] if name in sys.modules]
print(time.perf_counter() - started, cpu.ru_utime + cpu.ru_stime, ",".join(heavy) or "none")
"""


def _start(rounds: int) -> list[str]:
    """From a fresh process's first import to its first list of tools."""
    walls, cpus, heavy = [], [], set()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-c", _FIRST_LIST, folder, *_HEAVY]
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        walls.append(float(said[0]))
        cpus.append(float(said[1]))
        heavy.add(said[2])
    return [
        f"Import to first tools/list in a fresh process: {statistics.median(walls):.2f} s wall (fastest "
        f"{min(walls):.2f}), {statistics.median(cpus):.2f} s of processor time; heavy libraries loaded: "
        f"{', '.join(sorted(heavy))}."
    ]


async def _crowd(folder: Path, clients: int, polls: int) -> list[str]:
    """Clients that poll one job each `polls` times while another client segments."""
    mine = folder / "crowd"
    mine.mkdir()
    made = torso_ct(spacing_mm=(3.0, 3.0, 3.0))
    write_volume(mine / "torso.nii.gz", made.volume.array, made.volume.grid, synthetic=True)
    took: list[float] = []
    failed: list[str] = []
    with served("ours", mine) as url:
        async with Client(url) as busy:
            image = (await busy.call_tool("open_image", {"path": "torso.nii.gz"})).structured_content or {}
            given = {"image_id": image["image_id"], "structures": ["liver", "spleen", "hip bones"], "wait_s": 0}
            job = ((await busy.call_tool("segment", given)).structured_content or {})["job_id"]
            async with anyio.create_task_group() as group:
                for _ in range(clients):
                    group.start_soon(_poll, url, str(job), polls, took, failed)
            ended: dict[str, Any] = {"state": "running"}
            while ended["state"] in ("queued", "running"):
                ended = (await busy.call_tool("get_job", {"job_id": job, "wait_s": 20})).structured_content or {}
    took.sort()
    p99 = took[math.ceil(0.99 * len(took)) - 1]
    return [
        f"{clients} clients over HTTP, each polling a job {polls} times while it runs: {len(took)} polls, "
        f"p50 {statistics.median(took) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {len(failed)} errors; the job ended "
        f"{ended['state']}. Clients and server share the machine."
    ]


async def _poll(url: str, job: str, polls: int, took: list[float], failed: list[str]) -> None:
    try:
        async with Client(url) as client:
            for _ in range(polls):
                started = time.perf_counter()
                answer = await client.call_tool("get_job", {"job_id": job, "wait_s": 0})
                took.append(time.perf_counter() - started)
                if answer.is_error:
                    failed.append(str(answer.content))
                await anyio.sleep(1.0)
    except Exception as error:  # outer loop of a client: any failure is what is counted
        failed.append(repr(error))
