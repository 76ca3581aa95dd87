"""The tools as a server lists them; what runs a tool is loaded with the first call.

A list of tools is the first thing a host asks for, and hosts wait for it. `listed.json` holds what
the tools say of themselves, so that the list needs none of them: `make docs` writes it, and a test
compares it with the tools.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool as McpTool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import ToolAnnotations
from pydantic import PrivateAttr

from ...tools.desk.desk import Desk
from .ui import ui_meta

log = logging.getLogger(__name__)

_FILE = "listed.json"
_loading = threading.Lock()


@dataclass(frozen=True)
class Listed:
    """What a tool says of itself; `tool.Tool` says what the words mean."""

    name: str
    description: str
    toolset: str
    is_long: bool
    ui: tuple[str, ...]
    annotations: dict[str, bool]
    parameters: dict[str, Any]
    output_schema: dict[str, Any]


def listed(toolsets: Sequence[str]) -> tuple[Listed, ...]:
    """The tools of these toolsets, in the order of the registry."""
    return tuple(entry for entry in _all() if "all" in toolsets or entry.toolset in toolsets)


@cache
def _all() -> tuple[Listed, ...]:
    entries = json.loads(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return tuple(Listed(**{**entry, "ui": tuple(entry["ui"])}) for entry in entries)


class ListedTool(McpTool):
    """A tool of the list, bound to a desk; the first call loads the tool itself and from then on that one answers."""

    _desk: Desk = PrivateAttr()
    _itself: McpTool | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, entry: Listed, desk: Desk) -> ListedTool:
        """The MCP server's form of it."""
        metadata = FuncMetadata(arg_model=ArgModelBase)
        metadata.output_schema = entry.output_schema  # checked by the tool itself
        made = cls(
            fn=_never,
            name=entry.name,
            title=None,
            description=entry.description,
            parameters=entry.parameters,
            fn_metadata=metadata,
            is_async=True,
            context_kwarg=None,
            annotations=ToolAnnotations.model_validate(entry.annotations),
            meta=ui_meta(entry.ui, desk.settings.toolsets),
        )
        made._desk = desk
        return made

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Run it; see the base class."""
        if self._itself is None:
            self._itself = await anyio.to_thread.run_sync(_loaded, self)
        return await self._itself.run(arguments, context, convert_result=convert_result)


def _loaded(tool: ListedTool) -> McpTool:
    with _loading:
        from ...tools.registry import tool as entry_of
        from .exposed import expose

        itself = expose(entry_of(tool.name), tool._desk)
    if (itself.parameters, itself.description) != (tool.parameters, tool.description):
        log.warning("%s is listed as it once was: run `make docs`, which writes %s.", tool.name, _FILE)
    return itself


async def _never() -> None:
    raise AssertionError("a listed tool is run by the tool itself")
