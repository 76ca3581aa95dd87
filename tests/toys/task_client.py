"""A client's half of the tasks extension: asks for the task until it ended, then gives the tool's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import anyio
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp_types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict, Field


class TaskName(RequestParams):
    task_id: str = Field(alias="taskId")
    model_config = ConfigDict(populate_by_name=True)


class TaskRequest(Request[TaskName, str]):
    name_param: ClassVar[str | None] = "taskId"


class Task(Result):
    """A task as the server describes it; what else it holds is kept under its wire name."""

    result_type: Literal["task"] = Field("task", alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str
    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Seen(Result):
    model_config = ConfigDict(extra="allow")


async def ask(session: ClientSession, method: str, task_id: str) -> dict[str, Any]:
    """tasks/get or tasks/cancel."""
    request = TaskRequest(method=method, params=TaskName(task_id=task_id))
    found = await session.send_request(request, Seen)
    return found.model_dump(by_alias=True, mode="json")


class TasksOfClient(ClientExtension):
    """Remembers every status it saw."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.ids: list[str] = []

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=Task, resolve=self._ended),)

    async def _ended(self, task: Task, context: ClaimContext) -> CallToolResult:
        self.ids.append(task.task_id)
        while True:
            found = await ask(context.session, "tasks/get", task.task_id)
            self.statuses.append(found["status"])
            if found["status"] == "completed":
                return CallToolResult.model_validate(found["result"])
            if found["status"] in ("failed", "cancelled"):
                return CallToolResult(content=[], is_error=True, structured_content={"status": found["status"]})
            await anyio.sleep(0.2)
