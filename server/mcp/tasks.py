"""The tasks extension: a call that takes long is answered at once with a task to ask for.

Protocol 2026-07-28 with extension io.modelcontextprotocol/tasks (SEP-2663). A task is a job of
the store, so it can be read after a restart and by another process of the same server. Clients
that do not know tasks get the same work through `wait_s` and `get_job`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    InputRequiredResult,
    RequestParams,
)
from pydantic import BaseModel, Field

from ...imaging.errors import BadCall
from ...tools.desk.desk import Desk
from .background import Background, in_background

if TYPE_CHECKING:
    from ...store.records import JobRecord
    from ...store.store import Store

log = logging.getLogger(__name__)

IDENTIFIER = "io.modelcontextprotocol/tasks"
PROTOCOL = "2026-07-28"
TTL_MS = 24 * 3600 * 1000  # promised; jobs stay in the store longer
POLL_MS = 500
QUICK_S = 0.2  # work done within it is answered as usual
_WRITE_EVERY_S = 0.5  # progress is written to the store at most so often
_KIND = "tasks/"  # before the tool's name in the job of a task

Support = Literal["optional", "required", "after questions"]
"""Whether a tool may run as a task, must, or must once its questions are answered."""

_STATUS = {
    "queued": "working",
    "running": "working",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "lost": "failed",
}


class TaskParams(RequestParams):
    """Which task."""

    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    """Answers to what a task asked."""

    input_responses: dict[str, Any] = Field(default_factory=dict, alias="inputResponses")


@dataclass
class _Live:
    """A task of this process: what it waits for, and how to stop it."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    asked: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    answered: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    result: Any = None


class Tasks(Extension):
    """Runs calls of the named tools as tasks for clients that declare the extension.

    Args:
        support: the tools that may be tasks.
    """

    identifier = IDENTIFIER

    def __init__(self, desk: Desk, support: Mapping[str, Support]) -> None:
        self.desk = desk
        self.support = dict(support)
        self._live: dict[str, _Live] = {}

    @property
    def store(self) -> Store:
        """Where tasks are written down."""
        return self.desk.store

    @asynccontextmanager
    async def lifespan(self, server: object) -> AsyncIterator[dict[str, Any]]:
        """Where tasks run: they end with the server, not with the request that began them."""
        del server
        async with anyio.create_task_group() as group:
            yield {"tasks": group}
            group.cancel_scope.cancel()

    def methods(self) -> Sequence[MethodBinding]:
        """tasks/get, tasks/update and tasks/cancel; nothing else is in the extension."""
        only = frozenset({PROTOCOL})
        return (
            MethodBinding("tasks/get", TaskParams, self._get, only),
            MethodBinding("tasks/update", UpdateParams, self._update, only),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, only),
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Begin a task where the tool and the client allow it; else just call the tool."""
        support = self.support.get(params.name)
        if support in ("required", "after questions"):
            require_client_extension(ctx, IDENTIFIER)
        if support is None or ctx.protocol_version != PROTOCOL or not _declared(ctx):
            return await call_next(ctx)
        if support == "after questions" and not params.input_responses:
            return await call_next(ctx)
        record = self.store.create_job(_KIND + params.name, params.arguments or {})
        live = self._live[record.job_id] = _Live()
        ctx.lifespan_context["tasks"].start_soon(self._work, record.job_id, live, params, ctx, call_next)
        with anyio.move_on_after(QUICK_S):
            await live.ended.wait()
            if live.result is not None:
                return live.result  # type: ignore[no-any-return]  # what call_next gave
        return {"resultType": "task", **self._described(self.store.job(record.job_id), live)}

    async def _work(
        self,
        task_id: str,
        live: _Live,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> None:
        """Call the tool, and again with the answers as long as it asks; write down how it ended."""
        in_background.set(Background(self._progress_of(task_id)))
        self.store.follow_job(task_id, told=_from_thread(live.scope.cancel))
        self.store.note_job(task_id, state="running")
        try:
            with live.scope:
                live.result = await self._answered(live, params, ctx, call_next)
                self.store.end_job(task_id, state="done", progress=1.0, result={"call": _wire(live.result)})
            if live.scope.cancelled_caught:
                self.store.end_job(task_id, state="cancelled", error="The task was cancelled.")
        except MCPError as error:
            self._failed(task_id, error.code, error.message)
        except anyio.get_cancelled_exc_class():
            self.store.end_job(task_id, state="lost", error="The server ended before the task was done.")
            raise
        except Exception:  # outer loop of a task
            log.exception("task %s failed", task_id)
            self._failed(task_id, INTERNAL_ERROR, "The task failed on our side. The server's log has the details.")
        finally:
            live.ended.set()
            self._live.pop(task_id, None)

    async def _answered(
        self, live: _Live, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        while True:
            result = await call_next(ctx)
            if not isinstance(result, InputRequiredResult):
                return result
            live.answers, live.answered = {}, anyio.Event()
            live.asked = {name: _wire(request) for name, request in (result.input_requests or {}).items()}
            await live.answered.wait()
            renewed = {**params.model_dump(by_alias=True), "inputResponses": live.answers}
            fresh = CallToolRequestParams.model_validate({**renewed, "requestState": result.request_state})
            params.input_responses, params.request_state = fresh.input_responses, fresh.request_state

    def _progress_of(self, task_id: str) -> Callable[[float, str], None]:
        written_at = 0.0

        def report(share: float, message: str) -> None:
            nonlocal written_at
            if time.monotonic() - written_at >= _WRITE_EVERY_S:
                written_at = time.monotonic()
                self.store.note_job(task_id, progress=min(1.0, max(0.0, share)), message=message)

        return report

    def _failed(self, task_id: str, code: int, message: str) -> None:
        error = {"code": code, "message": message}
        self.store.end_job(task_id, state="failed", result={"error": error}, error=message)

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        self.store.mark_lost()
        record = self._known(ctx, params.task_id)
        live = self._live.get(record.job_id)
        shown = self._described(record, live)
        if shown["status"] == "input_required" and live is not None:
            shown["inputRequests"] = {name: ask for name, ask in live.asked.items() if name not in live.answers}
        elif shown["status"] == "completed":
            shown["result"] = (record.result or {})["call"]
        elif shown["status"] == "failed":
            lost = {"code": INTERNAL_ERROR, "message": record.error or "The task failed."}
            shown["error"] = (record.result or {}).get("error", lost)
        return {"resultType": "complete", **shown}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: UpdateParams) -> dict[str, Any]:
        record = self._known(ctx, params.task_id)
        live = self._live.get(record.job_id)
        if live is not None:
            live.answers |= {key: value for key, value in params.input_responses.items() if key in live.asked}
            if set(live.answers) >= set(live.asked):
                live.asked = {}
                live.answered.set()
        elif not record.is_final:
            raise MCPError(INTERNAL_ERROR, f"Task {record.job_id} runs in another process, which asks nothing here.")
        return {"resultType": "complete"}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        record = self._known(ctx, params.task_id)
        live = self._live.get(record.job_id)
        if live is not None:
            live.scope.cancel()
            await live.ended.wait()
        else:
            self.store.update_job(record.job_id, state="cancelled", error="The task was cancelled.")
        return {"resultType": "complete"}

    def _known(self, ctx: ServerRequestContext[Any, Any], task_id: str) -> JobRecord:
        """The task's job, for a client that may ask for it."""
        require_client_extension(ctx, IDENTIFIER)
        headers = getattr(ctx.request, "headers", None)
        if headers is not None and headers.get("mcp-name", "").strip() != task_id:
            raise MCPError(HEADER_MISMATCH, "The Mcp-Name header is not the taskId of the request.")
        try:
            record = self.store.job(task_id)
        except BadCall:
            record = None
        if record is None or not record.tool.startswith(_KIND):
            raise MCPError(INVALID_PARAMS, f"Unknown task '{task_id[:40]}'. Handles come from tools/call.")
        return record

    @staticmethod
    def _described(record: JobRecord, live: _Live | None) -> dict[str, Any]:
        status = "input_required" if live is not None and live.asked and not record.is_final else _STATUS[record.state]
        return {
            "taskId": record.job_id,
            "status": status,
            "statusMessage": record.message or record.state,
            "createdAt": record.created,
            "lastUpdatedAt": record.updated,
            "ttlMs": TTL_MS,
            "pollIntervalMs": POLL_MS,
        }


def _from_thread(cancel: Callable[[], None]) -> Callable[[], None]:
    """The same, to be called from another thread than that of the running event loop."""
    loop = asyncio.get_running_loop()
    return lambda: _scheduled(loop, cancel)


def _scheduled(loop: asyncio.AbstractEventLoop, cancel: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # it closed meanwhile
        loop.call_soon_threadsafe(cancel)


def _declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    return bool(capabilities and capabilities.extensions and IDENTIFIER in capabilities.extensions)


def _wire(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value
