"""From process start to the first list of tools, over stdio, beside importing the MCP library alone."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

from ..machine import described


def run(*, rounds: int = 5) -> str:
    """A Markdown table of medians."""
    served, imported, helped = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            anyio.run(_first_list, Path(folder))
            served.append(time.perf_counter() - started)
        imported.append(_seconds("-c", "from mcp.server.mcpserver import MCPServer"))
        helped.append(_seconds("-m", "ostensor.commands", "--help"))
    rows = (
        ("process start to first tools/list (stdio)", served),
        ("python -c 'import MCPServer' alone", imported),
        ("ostensor --help", helped),
    )
    lines = ["| what | median, s | fastest, s |", "|---|---|---|"]
    lines += [f"| {what} | {statistics.median(times):.2f} | {min(times):.2f} |" for what, times in rows]
    ratio = statistics.median(served) / statistics.median(imported)
    return "\n".join([*lines, "", f"{rounds} rounds; first list / library import = {ratio:.2f}. {described()}."])


async def _first_list(folder: Path) -> None:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "ostensor.commands", "serve", "--store", str(folder / "store"), "--root", str(folder)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},  # the client hands on none, and another install may be about
    )
    async with Client(server) as client:
        await client.list_tools()


def _seconds(*words: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - started
