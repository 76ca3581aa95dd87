"""The two servers of `bench mcp`: a bare SDK server with one empty tool, and ours with the same tool beside its own.

`python -m ostensor.benchmarks.mcp.side bare|ours FOLDER [PORT]`; without a port over stdio.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from ...server.http import callers as http_callers
from ...server.http.settings import HttpSettings
from ...server.mcp.exposed import expose
from ...server.mcp.server import OurServer, build_server
from ...server.serve import serve
from ...tools.desk.desk import Answer, Call, Desk
from ...tools.desk.settings import Settings
from ...tools.desk.tool import Tool

SIDE_WORDS = ("-m", "ostensor.benchmarks.mcp.side")


class Nothing(BaseModel):
    """The empty tool's answer."""

    done: bool


def bare() -> MCPServer[Any]:
    """The SDK alone."""
    server: MCPServer[Any] = MCPServer("bare", log_level="WARNING")

    @server.tool(description="Nothing.")
    def nothing() -> Nothing:
        return Nothing(done=True)

    return server


def nothing(desk: Desk, call: Call) -> Answer:
    """Nothing. Example: nothing()"""
    del desk, call
    return Answer("Done.", Nothing(done=True))


def ours(desk: Desk, **given: Any) -> OurServer:
    """Our server; the empty tool goes the way of every tool: checks, thread, audit log, structured answer."""
    return build_server(desk, extra_tools=[expose(Tool(nothing, Nothing), desk)], **given)


def main(side: str, folder: str, port: str = "") -> None:
    """Serve until the client leaves, or the process is ended."""
    if side == "bare":
        if port:
            bare().run("streamable-http", port=int(port))
        else:
            bare().run("stdio")
        return
    settings = Settings(
        store=Path(folder) / "store", roots=(Path(folder),), reuse=False
    )  # its work is what is measured
    with Desk(settings) as desk:
        if port:
            http_callers.build_server = ours  # type: ignore[attr-defined]  # the one seam: all else is what users get
            serve(desk, HttpSettings(port=int(port), per_minute=1_000_000))
        else:
            ours(desk).run("stdio")


@contextmanager
def serve_side(side: str, folder: Path) -> Iterator[str]:
    """The address of a server process over HTTP."""
    with side_process(side, folder) as (url, _):
        yield url


@contextmanager
def side_process(side: str, folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a server process over HTTP, and its process number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, *SIDE_WORDS, side, str(folder), str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp", process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
