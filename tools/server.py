"""The MCP server: tools, resources and completions over one desk, on stdio or HTTP."""

from __future__ import annotations

import ipaddress
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings

from .. import __version__
from ..imaging.errors import BadCall
from .desk import Desk
from .exposed import expose
from .prompts import add_prompts
from .registry import shown
from .resources import add_resources
from .slabs import add_slabs
from .tasks import Support, Tasks

log = logging.getLogger(__name__)

NAME = "ostensor"
DESCRIPTION = "Medical image segmentation by words. Research software, not a medical device."
INSTRUCTIONS = """Work in this order: open_image (a path inside the allowed roots) -> segment (names) -> measure, render or \
export. Everything is passed by handles: img_..., msk_..., job_.... They stay valid after a restart.
Read the verdict before any number: only 'present' may be reported as found; 'unsure' must be called unsure. A volume \
with truncated_at set is a lower bound. Left and right are the patient's. Quote numbers as the tools give them, with \
their unit; never compute volumes from voxel counts yourself. If an answer has a job_id, call get_job. Research \
software, not a medical device: a physician decides."""


def build_server(
    desk: Desk, *, extra_tools: Sequence[Tool] = (), extra_tasks: Mapping[str, Support] | None = None
) -> MCPServer[Any]:
    """The server for a desk; the caller owns the desk and closes it.

    Args:
        extra_tools: tools of somebody else, listed after ours.
        extra_tasks: which of them may run as tasks.
    """
    entries = shown(desk.settings.toolsets)
    tasks = Tasks(desk.store, {**{e.name: "optional" for e in entries if e.is_long}, **(extra_tasks or {})})
    server: MCPServer[Any] = MCPServer(
        NAME,
        title="Ostensor",
        description=DESCRIPTION,
        instructions=INSTRUCTIONS,
        version=__version__,
        tools=[*(expose(entry, desk) for entry in entries), *extra_tools],
        extensions=[tasks],
        lifespan=tasks.lifespan,
        log_level="WARNING",
    )
    add_resources(server, desk)
    add_slabs(server, desk)
    add_prompts(server, desk)
    return server


def serve(desk: Desk, http: str | None = None) -> None:
    """Serve until the client leaves (stdio) or the process is stopped (HTTP).

    Args:
        http: "HOST:PORT" for streamable HTTP; None for stdio.

    Raises:
        BadCall: the address cannot be used safely.
    """
    server = build_server(desk)
    log_to_stderr()
    for line in desk.store.repairs:
        log.warning("%s", line)
    if http is None:
        server.run("stdio")
        return
    host, port = address(http)
    hosts = [host, f"{host}:*", "localhost", "localhost:*"]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{name}" for name in hosts])
    server.run("streamable-http", host=host, port=port, transport_security=security)


def address(http: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT".

    Raises:
        BadCall: it is not an address, or one that listens on every interface: there is no
            authentication yet, so only a named one may be used.
    """
    host, _, port = http.rpartition(":")
    if ":" not in http or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise BadCall(f"'{http}' is not HOST:PORT. Give e.g. 127.0.0.1:8765.")
    host = host.strip("[]") or "127.0.0.1"
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    if everywhere:
        raise BadCall(
            f"'{host}' would offer your files on every network without a password. Use 127.0.0.1, behind a proxy that asks who calls."
        )
    return host, int(port)


def log_to_stderr(level: int = logging.WARNING) -> None:
    """One line per record on standard error; the MCP library's own set-up is replaced."""
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )


def main() -> None:
    """`python -m ostensor.tools.server`: the same as `ostensor serve`, with its options."""
    from .cli import app

    app(["serve", *sys.argv[1:]])


if __name__ == "__main__":
    main()
