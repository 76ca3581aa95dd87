"""The MCP server: tools, resources and completions over one desk, on stdio or HTTP."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.request_state import RequestStateSecurity

from .. import __version__
from .desk import Desk
from .http_settings import HttpSettings
from .listed import ListedTool, listed
from .prompts import add_prompts
from .resources import add_resources
from .slabs import add_slabs
from .tasks import Support, Tasks
from .viewer_page import viewer_app

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
    desk: Desk,
    *,
    extra_tools: Sequence[Tool] = (),
    extra_tasks: Mapping[str, Support] | None = None,
    state_key: bytes | None = None,
) -> MCPServer[Any]:
    """The server for a desk; the caller owns the desk and closes it.

    Args:
        extra_tools: tools of somebody else, listed after ours.
        extra_tasks: which of them may run as tasks.
        state_key: 32 bytes that seal questions to a person, when several processes share them.
    """
    entries = listed(desk.settings.toolsets)
    tasks = Tasks(desk, {**{e.name: "optional" for e in entries if e.is_long}, **(extra_tasks or {})})
    server: MCPServer[Any] = MCPServer(
        NAME,
        title="Ostensor",
        description=DESCRIPTION,
        instructions=INSTRUCTIONS,
        version=__version__,
        tools=[*(ListedTool.of(entry, desk) for entry in entries), *extra_tools],
        extensions=[tasks, *([viewer_app()] if set(desk.settings.toolsets) & {"viewer", "all"} else [])],
        lifespan=tasks.lifespan,
        log_level="WARNING",
        request_state_security=RequestStateSecurity(keys=[state_key]) if state_key else None,
    )
    add_resources(server, desk)
    add_slabs(server, desk)
    add_prompts(server, desk)
    return server


def serve(desk: Desk, http: HttpSettings | None = None) -> None:
    """Serve until the client leaves (stdio) or the process is stopped (HTTP).

    Args:
        http: for streamable HTTP; None for stdio.

    Raises:
        OstensorError: the address cannot be used.
    """
    log_to_stderr()
    if http is not None:
        from .http_serve import serve_http

        serve_http(desk, http)
        return
    server = build_server(desk)
    log_to_stderr()  # the library has set up its own meanwhile
    threading.Thread(target=_get_ready, args=(desk,), daemon=True, name="getting ready").start()
    server.run("stdio")


def _get_ready(desk: Desk) -> None:
    """Open the store, take up jobs an earlier server put down, and load the tools, while the client asks for the list."""
    from .resuming import resume

    try:
        for line in desk.store.repairs:
            log.warning("%s", line)
        resume(desk)
    except Exception:  # outer loop of the thread: the first call that needs the store says it to the client
        log.exception("the store could not be made ready")


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
