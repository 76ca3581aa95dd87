"""What the server adds to a call, how soon it lists its tools, a hundred clients that poll, and the Inspector's load test."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ..machine import described
from . import side as mcp_side
from .side import SIDE_WORDS, serve_side

TRANSPORTS = ("memory", "stdio", "http")
_WARM = 20  # calls of each side before the clock counts


def run(*, calls: int = 200, clients: int = 100, polls: int = 5, rounds: int = 3) -> str:
    """Markdown tables: overhead per call, start, crowd, load."""
    from .crowd import crowd, inspected
    from .listing import start

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        lines = [
            "| transport | bare SDK, ms (fastest tenth) | ours, ms (fastest tenth) | ratio of medians | of fastest tenths |",
            "|---|---|---|---|---|",
        ]
        for transport in TRANSPORTS:
            lines.append(_row(transport, *anyio.run(_overhead, transport, path, calls)))
        load = os.getloadavg()[0]
        lines += ["", f"Medians of {calls} calls of an empty tool, both sides in turn; load average {load:.1f}."]
        lines += ["", *start(rounds), "", *anyio.run(crowd, path, clients, polls), "", *inspected(path, calls, 10)]
    return "\n".join([*lines, "", f"{described()}."])


def _row(transport: str, bare: list[float], ours: list[float]) -> str:
    middles, fast = [statistics.median(times) for times in (bare, ours)], [_tenth(times) for times in (bare, ours)]
    cells = [f"{middle:.2f} ({quick:.2f})" for middle, quick in zip(middles, fast, strict=True)]
    return f"| {transport} | {cells[0]} | {cells[1]} | {middles[1] / middles[0]:.2f} | {fast[1] / fast[0]:.2f} |"


def _tenth(times: list[float]) -> float:
    return sorted(times)[len(times) // 10]


async def _overhead(transport: str, folder: Path, calls: int) -> tuple[list[float], list[float]]:
    """Milliseconds per call of the bare server and of ours, measured in turn."""
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    async with _client("bare", transport, folder) as bare, _client("ours", transport, folder) as our:
        for number in range(calls + _WARM):
            for side, client in (("bare", bare), ("ours", our)):
                started = time.perf_counter()
                answer = await client.call_tool("nothing", {})
                took = time.perf_counter() - started
                assert answer.structured_content == {"done": True}, answer
                if number >= _WARM:
                    times[side].append(took * 1000)
    return times["bare"], times["ours"]


@asynccontextmanager
async def _client(side: str, transport: str, folder: Path) -> AsyncIterator[Client]:
    mine = folder / f"{side}_{transport}"
    mine.mkdir(exist_ok=True)
    if transport == "memory":
        with Desk(Settings(store=mine / "store", roots=(mine,))) as desk:
            async with Client(mcp_side.bare() if side == "bare" else mcp_side.ours(desk)) as client:
                yield client
    elif transport == "stdio":
        async with Client(StdioServerParameters(command=sys.executable, args=[*SIDE_WORDS, side, str(mine)])) as client:
            yield client
    else:
        with serve_side(side, mine) as url:
            async with Client(url) as client:
                yield client
