"""The toolbox connects to a server process by stdio and by HTTP as it does in process."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import httpx
import pytest
from mcp.client.stdio import StdioServerParameters

from ostensor.agents.toolbox import open_toolbox
from ostensor.tools.desk.settings import DEFAULT_TOOLSETS
from ostensor.tools.registry import TOOLS

MAIN = "from ostensor.commands.app import main; main()"
NAMES = tuple(entry.name for entry in TOOLS if entry.toolset in DEFAULT_TOOLSETS and entry.ui != ("app",))


async def used(target: object) -> tuple[tuple[str, ...], str, bool]:
    """Names of the tools, a text answer, and whether a wrong call was an answer and no exception."""
    async with open_toolbox(target) as box:
        found = await box.call("find_structures", {"query": "hepar"})
        wrong = await box.call("measure", {"mask_ids": ["msk_none"]})
        return box.names, found.text, wrong.is_error


def checked(target: object) -> None:
    names, text, refused = anyio.run(used, target)
    assert names == NAMES
    assert "liver" in text
    assert refused


def arguments(store: Path, *more: str) -> list[str]:
    return ["-c", MAIN, "serve", "--store", str(store), "--root", str(store), *more]


def test_over_stdio(tmp_path: Path) -> None:
    checked(StdioServerParameters(command=sys.executable, args=arguments(tmp_path)))


def test_over_http(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, *arguments(tmp_path, "--http", f"127.0.0.1:{port}")]) as server:
        try:
            for _ in range(300):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/mcp", timeout=1)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                pytest.fail("the server did not answer within half a minute")
            checked(f"http://127.0.0.1:{port}/mcp")
        finally:
            server.terminate()
