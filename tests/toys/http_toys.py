"""A web server in a thread of the test, over a desk with toy models; and requests to it."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
import nibabel
import numpy as np
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from ostensor.server.http.app import http_app
from ostensor.server.http.serve import serve_config
from ostensor.server.http.settings import HttpSettings
from ostensor.server.http.tokens import TokenFile
from ostensor.tools.desk.desk import Desk

from .desks import AFFINE


@dataclass(frozen=True)
class Site:
    """Where a test's server listens."""

    port: int
    http: HttpSettings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, token: str | None, tool: str, mode: str = "auto", **arguments: Any) -> CallToolResult:
        async def run() -> CallToolResult:
            async with self.client(token, mode) as client:
                return await client.call_tool(tool, arguments)

        return anyio.run(run)

    @asynccontextmanager
    async def client(self, token: str | None, mode: str = "auto") -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    def request(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx2.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        return httpx2.request(method, f"{self.url}{path}", headers=headers, timeout=60, **options)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def reached(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def served(desk: Desk, **settings: Any) -> Iterator[Site]:
    """A server over `desk` until the block ends."""
    port = free_port()
    http = HttpSettings(port=port, **{"drain_s": 5.0, **settings})
    config = serve_config(http)
    config.app, config.timeout_graceful_shutdown = http_app(desk, http), 2
    config.port = port
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        for _ in range(400):
            if server.started:
                break
            time.sleep(0.05)
        yield Site(port, http)
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def scan_bytes(array: np.ndarray | None = None) -> bytes:
    """A scan as NIfTI; without an array, a small CT with the toy's liver in it."""
    if array is None:
        array = np.full((31, 29, 23), -1000, np.int16)
        array[3:28, 3:26, :] = 40
        array[8:17, 10:19, 5:13] = 100
    return bytes(nibabel.Nifti1Image(array, AFFINE).to_bytes())


@pytest.fixture
def token(desk: Desk) -> str:
    """Ada's, for the core tools."""
    return TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)


@pytest.fixture
def site(desk: Desk, token: str) -> Iterator[Site]:
    """A server that wants tokens and knows Ada's."""
    with served(desk, auth="tokens") as made:
        yield made
