"""A connection to a server: in memory, over stdio or over HTTP, of the handshake era or of 2026-07-28."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.from_thread
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, ElicitResult

from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

HERE = Path(__file__).parent
TRANSPORTS = ("memory", "stdio", "http")
ERAS = {"2026-07-28": "auto", "handshake": "legacy"}


@dataclass
class Line:
    """An open connection. Questions the server asks land in `asked` and get the answer `says`."""

    transport: str
    era: str
    root: Path
    portal: anyio.from_thread.BlockingPortal
    client: Client = field(init=False)
    says: ElicitResult = field(default_factory=lambda: ElicitResult(action="decline"))
    asked: list[str] = field(default_factory=list)

    def run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call something of the client's where the connection lives."""

        async def called() -> Any:
            return await function(*arguments, **named)

        return self.portal.call(called)

    def call(
        self, tool: str, /, *, timeout_s: float | None = None, progress: Any = None, **given: Any
    ) -> CallToolResult:
        """Call a tool."""
        found = self.run(self.client.call_tool, tool, given, read_timeout_seconds=timeout_s, progress_callback=progress)
        assert isinstance(found, CallToolResult)
        return found

    async def answer(self, context: Any, params: Any) -> ElicitResult:
        """What the person says."""
        del context
        self.asked.append(params.message)
        return self.says


@contextmanager
def line(transport: str, era: str, folder: Path, root: Path, **more: Any) -> Iterator[Line]:
    """A server with toy models and a client of it; both end with the block."""
    store = folder / "store"
    with ExitStack() as stack:
        target: Any
        if transport == "memory":
            settings = Settings(store=store, roots=(root,), factory="desk_toy:load")
            target = build_server(stack.enter_context(Desk(settings)))
        elif transport == "stdio":
            words = [str(HERE / "serve_toy.py"), str(store), str(root)]
            target = StdioServerParameters(command=sys.executable, args=words)
        else:
            target = stack.enter_context(http_server(store, root))
        portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
        made = Line(transport, era, root, portal)
        client = Client(target, mode=ERAS[era], elicitation_callback=made.answer, **more)
        made.client = stack.enter_context(portal.wrap_async_context_manager(client))
        yield made


@contextmanager
def http_server(store: Path, root: Path, toolsets: str = "core,clinical,viewer") -> Iterator[str]:
    """The address of a server process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, str(HERE / "serve_toy.py"), str(store), str(root), f"127.0.0.1:{port}", toolsets]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
