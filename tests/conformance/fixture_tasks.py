"""Tools of the suite's tasks-* scenarios; the extension that runs them is the product's."""

from __future__ import annotations

from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, InputRequiredResult

from ostensor.server.mcp.tasks import Support

from .fixture_questions import TEXT, answer, asking, form

Ctx = Context[Any, Any]
YES_NO = {"type": "boolean"}


def greet(name: str) -> str:
    return f"Hello, {name}!"


async def slow_compute(seconds: float, label: str = "") -> str:
    await anyio.sleep(seconds)
    return f"Computed {label} for {seconds} s."


async def failing_job() -> str:
    await anyio.sleep(1.0)
    raise ToolError("This job always fails.")


async def protocol_error_job() -> str:
    await anyio.sleep(0.3)
    raise MCPError(INTERNAL_ERROR, "This job breaks the protocol.")


def confirm_delete(filename: str, ctx: Ctx) -> str | InputRequiredResult:
    found = answer(ctx, "confirm")
    if found is None:
        return asking(confirm=form(f"Delete {filename}?", confirm=YES_NO))
    return f"Deleted {filename}." if found.content and found.content.get("confirm") else "Kept."


def multi_input(ctx: Ctx) -> str | InputRequiredResult:
    name, sure = answer(ctx, "name"), answer(ctx, "sure")
    if name is None or sure is None:
        return asking(name=form("Name?", name=TEXT), sure=form("Sure?", confirm=YES_NO))
    return f"{name.content} {sure.content}"


async def test_tool_with_task(ctx: Ctx) -> str | InputRequiredResult:
    found = answer(ctx, "user_name")
    if found is None:
        return asking("asked", user_name=form("What is your name?", name=TEXT))
    await anyio.sleep(0.5)
    return f"Done for {found.content['name']}."


SUPPORT: dict[str, Support] = {
    "slow_compute": "optional",
    "failing_job": "required",
    "protocol_error_job": "optional",
    "confirm_delete": "optional",
    "multi_input": "optional",
    "test_tool_with_task": "after questions",
}


def task_tools() -> list[Tool]:
    functions = (
        greet,
        slow_compute,
        failing_job,
        protocol_error_job,
        confirm_delete,
        multi_input,
        test_tool_with_task,
    )
    return [
        Tool.from_function(function, description=function.__name__.replace("_", " "), structured_output=False)
        for function in functions
    ]
