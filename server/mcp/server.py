"""The MCP server: tools, resources and completions over one desk, on stdio or HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.request_state import RequestStateSecurity

from ... import __version__
from ...tools.desk.desk import Desk
from .listed import ListedTool, listed
from .prompts import PromptServer, add_prompts
from .resources import add_resources
from .slabs import add_slabs
from .tasks import Support, Tasks
from .viewer_app import viewer_app

NAME = "ostensor"
DESCRIPTION = "Medical image segmentation by words. Research software, not a medical device."
INSTRUCTIONS = """Work in this order: open_image (a path inside the allowed roots) -> segment (names) -> measure, render or \
export. Everything is passed by handles: img_..., msk_..., job_.... They stay valid after a restart.
Read the verdict before any number: only 'present' may be reported as found; 'unsure' must be called unsure. A volume \
with truncated_at set is of the part inside the scan. Left and right are the patient's. Quote numbers as the tools give them, with \
their unit; never compute volumes from voxel counts, or ratios, fractions and sums, yourself: derive does. If an answer has a job_id, call get_job. Research \
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
    server = PromptServer(
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
