"""The MCP server: tools, resources and completions over one desk, on stdio or HTTP."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.apps import client_supports_apps
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
)

from ... import __version__
from ...tools.desk.desk import Desk
from .listed import ListedTool, listed
from .prompts import add_prompts
from .resources import add_resources
from .slabs import add_slabs
from .tasks import Support, Tasks
from .ui import is_for_pages_only
from .viewer_app import add_solids, viewer_app

NAME = "ostensor"
DESCRIPTION = "Medical image segmentation by words. Research software, not a medical device."
INSTRUCTIONS = """Work in this order: open_image (a path inside the allowed roots) -> segment (names) -> measure, render or \
export. list_files shows what can be opened, list_handles what is here already; masks made elsewhere come in by import_mask.
Everything is passed by handles: img_..., msk_..., job_.... They stay valid after a restart.
Read the verdict before any number: only 'present' may be reported as found; 'unsure' must be called unsure. A volume \
with truncated_at set is of the part inside the scan. Left and right are the patient's. Quote numbers as the tools give them, with \
their unit; never compute volumes from voxel counts, or ratios, fractions and sums, yourself: derive does. If an answer has a job_id, call get_job. Research \
software, not a medical device: a physician decides."""

_LONGEST = 50_000  # characters of an argument; the longest reports have some 10,000


class OurServer(MCPServer[Any]):
    """An MCP server that says what is wrong with the arguments of a prompt, where the library calls it an internal error.

    Tools that only the viewer's page calls are listed to hosts that show pages (MCP Apps), so that others do not read of them,
    nor of the page.

    Attributes:
        listed: set with the first list of tools; until then a host waits, and nothing else should use the processor.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.listed = threading.Event()

    async def _handle_list_tools(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        every = await super()._handle_list_tools(ctx, params)
        self.listed.set()
        if client_supports_apps(ctx):
            return every
        for_models = [tool for tool in every.tools if not is_for_pages_only(tool.meta)]
        return ListToolsResult(tools=[tool.model_copy(update={"meta": None}) for tool in for_models])

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Any = None
    ) -> GetPromptResult | InputRequiredResult:
        """The prompt; see the base class.

        Raises:
            MCPError: invalid parameters (-32602): no such prompt, or arguments it does not take.
        """
        known = {prompt.name: prompt for prompt in await self.list_prompts()}
        if name not in known:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt '{name[:40]}'. Prompts: {', '.join(known)}.")
        allowed = [argument.name for argument in known[name].arguments or []]
        unknown = sorted(set(arguments or {}) - set(allowed))
        if unknown:
            raise MCPError(
                INVALID_PARAMS, f"'{unknown[0][:40]}' is not an argument of {name}. Arguments: {', '.join(allowed)}."
            )
        long = [key for key, value in (arguments or {}).items() if len(str(value)) > _LONGEST or "\0" in str(value)]
        if long:
            raise MCPError(
                INVALID_PARAMS, f"'{long[0]}' holds a NUL character or more than {_LONGEST} characters. Shorten it."
            )
        return await super().get_prompt(name, arguments, context)


def build_server(
    desk: Desk,
    *,
    extra_tools: Sequence[Tool] = (),
    extra_tasks: Mapping[str, Support] | None = None,
    state_key: bytes | None = None,
) -> OurServer:
    """The server for a desk; the caller owns the desk and closes it.

    Args:
        extra_tools: tools of somebody else, listed after ours.
        extra_tasks: which of them may run as tasks.
        state_key: 32 bytes that seal questions to a person, when several processes share them.
    """
    entries = listed(desk.settings.toolsets)
    shows_pages = bool(set(desk.settings.toolsets) & {"viewer", "all"})
    tasks = Tasks(desk, {**{e.name: "optional" for e in entries if e.is_long}, **(extra_tasks or {})})
    server = OurServer(
        NAME,
        title="Ostensor",
        description=DESCRIPTION,
        instructions=INSTRUCTIONS,
        version=__version__,
        tools=[*(ListedTool.of(entry, desk) for entry in entries), *extra_tools],
        extensions=[tasks, *([viewer_app()] if shows_pages else [])],
        lifespan=tasks.lifespan,
        log_level="WARNING",
        request_state_security=RequestStateSecurity(keys=[state_key]) if state_key else None,
    )
    add_resources(server, desk)
    add_slabs(server, desk)
    if shows_pages:
        add_solids(server, desk)
    add_prompts(server, desk)
    return server
