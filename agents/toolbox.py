"""Any MCP server's tools as LangChain tools.

Tool errors come back as messages a model can read, protocol errors too; progress goes to the
LangGraph stream; pictures stay here and are named in the message, so that graph state holds
handles only. `langchain-mcp-adapters` pins an older `mcp` and is not used.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from mcp import Client, MCPError
from mcp_types import ImageContent, TextContent
from mcp_types import Tool as McpTool

from ..imaging.errors import OstensorError
from ..server.mcp.ui import is_for_pages_only
from ..server.mcp.wire import whole

CALL_TIMEOUT_S = 600.0
LONGEST_LIST = 100  # rows of a result that are kept for the agent


@dataclass(frozen=True)
class Called:
    """What a tool answered.

    Attributes:
        result: the structured content, {} on an error.
        pictures: names of pictures in `Toolbox.pictures`.
    """

    is_error: bool
    text: str
    result: dict[str, Any]
    pictures: tuple[str, ...] = ()


@dataclass
class Toolbox:
    """A connected server.

    Attributes:
        given: texts that may be passed by name: the argument "@report" becomes `given["@report"]`,
            so that a model neither has to repeat a long text nor can alter it.
        pictures: PNG bytes by name.
    """

    client: Client
    listed: tuple[McpTool, ...]
    given: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tools, in the server's order."""
        return tuple(tool.name for tool in self.listed)

    async def call(self, name: str, arguments: Mapping[str, Any], progress: Any = None) -> Called:
        """Call a tool; every failure is an answer, none is raised."""
        filled = {k: self.given.get(v, v) if isinstance(v, str) else v for k, v in arguments.items()}
        try:
            answer = await self.client.call_tool(
                name, filled, read_timeout_seconds=CALL_TIMEOUT_S, progress_callback=progress
            )
        except MCPError as error:
            return Called(True, f"The server could not take the call of {name}: {error}", {})
        text, pictures = [], []
        for block in answer.content:
            if isinstance(block, TextContent):
                text.append(block.text)
            elif isinstance(block, ImageContent):
                pictures.append(self._keep(base64.b64decode(block.data)))
        result = answer.structured_content if isinstance(answer.structured_content, dict) else {}
        if not answer.is_error:
            result = whole(name, result)
        return Called(bool(answer.is_error), " ".join(text), dict(result), tuple(pictures))

    def tools(self, names: tuple[str, ...] | None = None) -> list[BaseTool]:
        """The tools for an agent, all or only those named."""
        return [self._tool(tool) for tool in self.listed if names is None or tool.name in names]

    def _keep(self, png: bytes) -> str:
        name = f"pic_{hashlib.sha256(png).hexdigest()[:12]}"
        self.pictures[name] = png
        return name

    def _tool(self, tool: McpTool) -> BaseTool:
        async def run(**arguments: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
            found = await self.call(tool.name, arguments, _to_stream)
            if found.is_error:
                raise ToolException(found.text or f"{tool.name} failed without a message.")
            texts = [found.text, *(f"Picture {name} was drawn." for name in found.pictures)]
            seed = json.dumps([tool.name, arguments], sort_keys=True, default=str)
            stem = hashlib.sha256(seed.encode()).hexdigest()[:12]
            blocks = [{"type": "text", "text": text, "id": f"{stem}-{n}"} for n, text in enumerate(texts)]
            return blocks, {"structured_content": slim(found.result), "pictures": list(found.pictures)}

        hints = tool.annotations.model_dump(exclude_none=True) if tool.annotations else {}
        return StructuredTool(
            name=tool.name,
            description=tool.description or tool.name,
            args_schema=dict(tool.input_schema),
            coroutine=run,
            response_format="content_and_artifact",
            handle_tool_error=True,
            metadata={"mcp": hints},
        )


@asynccontextmanager
async def open_toolbox(target: Any, given: Mapping[str, str] | None = None) -> AsyncIterator[Toolbox]:
    """Connect to a server.

    Args:
        target: a server object (in process), an URL, or `StdioServerParameters`.
    """
    try:
        async with Client(target) as client:
            listed = (await client.list_tools()).tools
            yield Toolbox(client, tuple(tool for tool in listed if not is_for_pages_only(tool.meta)), dict(given or {}))
    except BaseExceptionGroup as group:  # the client's task groups wrap what is raised inside them
        ours = _only_error(group)
        if ours is None:
            raise
        raise ours from None


def _only_error(group: BaseExceptionGroup[BaseException]) -> OstensorError | None:
    """The one error of ours a group holds."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, OstensorError) else None


def slim(node: Any) -> Any:
    """A result with long lists cut to `LONGEST_LIST`, contradicted rows first: graph state must stay small."""
    if isinstance(node, Mapping):
        return {key: slim(value) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    rows = node
    if len(node) > LONGEST_LIST:
        rows = sorted(node, key=lambda row: not (isinstance(row, Mapping) and row.get("judgement") == "contradicted"))
    return [slim(row) for row in rows[:LONGEST_LIST]]


async def _to_stream(progress: float, total: float | None, message: str | None) -> None:
    """Progress as stream mode "custom"; outside a graph nobody listens."""
    from langgraph.config import get_stream_writer

    try:
        writer = get_stream_writer()
    except RuntimeError:
        return
    writer({"progress": progress, "total": total, "message": message or ""})
