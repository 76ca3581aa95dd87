"""From a fresh process to the first list of tools, beside importing the MCP library alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

_HEAVY = ("torch", "monai", "transformers", "sentence_transformers", "openvino", "faiss")
_TIMED = """
import resource, sys, time
started = time.perf_counter()
{body}
cpu = resource.getrusage(resource.RUSAGE_SELF)
heavy = [name for name in sys.argv[2:] if name in sys.modules]
print(time.perf_counter() - started, cpu.ru_utime + cpu.ru_stime, ",".join(heavy) or "none")
"""
_LIBRARY = "import mcp"
_FIRST_LIST = """
import anyio
from pathlib import Path
from mcp import Client
from ostensor.tools.desk.desk import Desk
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.settings import Settings
async def main():
    folder = Path(sys.argv[1])
    with Desk(Settings(store=folder / "store", roots=(folder,))) as desk:
        async with Client(build_server(desk)) as client:
            await client.list_tools()
anyio.run(main)
"""


def start(rounds: int) -> list[str]:
    """A table of the three, measured in turn."""
    sides: dict[str, list[tuple[float, float]]] = {"library": [], "list": [], "stdio": []}
    heavy: set[str] = set()
    for _ in range(rounds):
        for side, body in (("library", _LIBRARY), ("list", _FIRST_LIST)):
            wall, cpu, loaded = _timed(body)
            sides[side].append((wall, cpu))
            heavy |= {loaded} if side == "list" else set()
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            anyio.run(_over_stdio, Path(folder))
        sides["stdio"].append((time.perf_counter() - begun, 0.0))
    names = {
        "library": "`import mcp` alone",
        "list": "import to first tools/list, in memory",
        "stdio": "`ostensor serve`: process start to first tools/list",
    }
    lines = ["| fresh process | wall, s (fastest) | processor, s (fastest) | wall / import mcp |", "|---|---|---|---|"]
    library = statistics.median(wall for wall, _ in sides["library"])
    for side, name in names.items():
        walls, cpus = [wall for wall, _ in sides[side]], [cpu for _, cpu in sides[side]]
        cpu_cell = f"{statistics.median(cpus):.2f} ({min(cpus):.2f})" if side != "stdio" else ""
        middle = statistics.median(walls)
        lines.append(f"| {name} | {middle:.2f} ({min(walls):.2f}) | {cpu_cell} | {middle / library:.2f} |")
    return [*lines, "", f"{rounds} rounds in turn. Heavy libraries loaded by the list: {', '.join(sorted(heavy))}."]


def _timed(body: str) -> tuple[float, float, str]:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", _TIMED.format(body=body), folder, *_HEAVY]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return float(said[0]), float(said[1]), said[2]


async def _over_stdio(folder: Path) -> None:
    words = ["-m", "ostensor.commands", "serve", "--store", str(folder / "store"), "--root", str(folder)]
    async with Client(StdioServerParameters(command=sys.executable, args=words)) as client:
        await client.list_tools()
