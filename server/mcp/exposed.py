"""From a tool of ours to a tool of the MCP server: signature, schema, threads, progress, cancellation, errors."""

from __future__ import annotations

import base64
import inspect
import logging
import threading
import typing
from collections.abc import Mapping
from typing import Annotated, Any

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool as McpTool
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import Field, SkipValidation, ValidationError

from ...imaging.errors import OstensorError, as_one_of_ours, log_crash
from ...tools.desk.desk import Answer, Call, Desk
from ...tools.desk.pace import Pace
from ...tools.desk.tool import HIDDEN, Tool
from ...tools.running import explained, run_tool
from .approval import NAME as APPROVAL
from .approval import asked_before, check_approved
from .background import in_background
from .ui import ui_meta
from .wire import packed

log = logging.getLogger(__name__)

_THREADS = 128  # calls that wait for jobs hold a thread each
_PROGRESS_EVERY_S = 0.2
RELIED_ON = {
    "answers": (
        "image_id", "mask_id", "masks", "candidates", "ambiguous", "measurements", "dice", "iou", "nsd", "hd95_mm", "assd_mm",
        "files", "findings", "risk", "survival", "refused", "cohort", "prompts", "job_id", "lesions", "category",
    ),
    "jobs": ("job_id", "state", "progress", "queue_place", "result", "error"),
    "MaskRow": ("structure", "mask_id", "verdict", "confidence", "volume_ml", "truncated_at", "side", "warnings"),
    "Candidate": ("mask_id", "score", "verdict", "reasons"),
    "Measurement": ("mask_id", "volume_ml"),
    "FileRow": ("mask_id", "path", "format", "readback_dice"),
    "ReportFinding": ("sentence", "structure", "side", "size_mm", "judgement", "reasons", "evidence"),
    "SurvivalPoint": ("day", "probability", "low", "high"),
    "PromptRow": ("text", "kind", "sources", "checked"),
}  # fmt: skip
"""Kind of row, or answers and jobs themselves -> fields that programs rely on (DESIGN §4): those are listed with their types."""


class ExposedTool(McpTool):
    """A tool that refuses unknown arguments and explains wrong ones, and every failure, in a line that says what to do.

    Attributes:
        entry: the tool as we know it.
    """

    entry: Annotated[Tool | None, SkipValidation] = Field(default=None, exclude=True)

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Run it; see the base class."""
        given = self.entry.given(arguments) if self.entry is not None else arguments
        try:
            return await super().run(given, context, convert_result=convert_result)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, ValidationError):
                raise ToolError(explained(cause, self.name, list(self.parameters.get("properties", {})))) from None
            if isinstance(cause, ToolError):  # our own words, without the library's prefix
                raise ToolError(str(cause)) from None
            if isinstance(cause, Exception):
                log_crash(log, self.name, cause)
                raise ToolError(str(as_one_of_ours(cause, self.name))) from None
            raise


def expose(entry: Tool, desk: Desk) -> ExposedTool:
    """The MCP server's form of a tool, bound to a desk."""
    hints = typing.get_type_hints(entry.function, include_extras=True)
    visible = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(entry.function).parameters.values()
        if parameter.name not in HIDDEN
    ]
    limiter = anyio.CapacityLimiter(_THREADS)

    async def called(ctx: Context[Any, Any], **arguments: Any) -> CallToolResult:
        check_approved(arguments.pop(APPROVAL, None), entry.name)
        answer = await _in_thread(entry, desk, arguments, ctx, limiter)
        return as_content(answer)

    ctx = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context)
    if entry.asks is not None:
        visible.append(asked_before(entry.asks, desk, visible))
    returns = Annotated[CallToolResult, entry.result]
    described: Any = called
    described.__name__ = entry.name
    described.__signature__ = inspect.Signature([ctx, *visible], return_annotation=returns)
    described.__annotations__ = {"ctx": Context, **{p.name: p.annotation for p in visible}, "return": returns}
    made = ExposedTool.from_function(
        described,
        description=unwrapped(inspect.cleandoc(entry.function.__doc__ or "")),
        annotations=ToolAnnotations(
            read_only_hint=entry.read_only,
            destructive_hint=entry.destructive,
            idempotent_hint=entry.idempotent,
            open_world_hint=entry.open_world,
        ),
    )
    made.meta = ui_meta(entry.ui, desk.settings.toolsets)
    model = made.fn_metadata.arg_model
    model.model_config["extra"] = "forbid"
    model.model_rebuild(force=True)
    made.parameters = lean(model.model_json_schema(by_alias=True))
    if made.fn_metadata.output_schema is not None:
        made.fn_metadata.output_schema = lean(made.fn_metadata.output_schema, output=True)
        made.fn_metadata.output_model = None  # results check themselves when they are made; what travels is packed
    if entry.ui == ("app",) and made.fn_metadata.output_schema is not None:
        made.fn_metadata.output_schema = shallow(made.fn_metadata.output_schema)
    assert isinstance(made, ExposedTool)
    made.entry = entry
    return made


def unwrapped(text: str) -> str:
    """A docstring with a line per paragraph: where its lines end is for readers of code, and every list of tools pays for it."""
    return "\n".join(" ".join(paragraph.split("\n")) for paragraph in text.split("\n\n"))


def as_content(answer: Answer) -> CallToolResult:
    """Text first, then pictures; the result model as structured content."""
    content: list[ContentBlock] = [TextContent(type="text", text=answer.text)]
    content += [
        ImageContent(type="image", data=base64.b64encode(png).decode("ascii"), mime_type="image/png")
        for png in answer.pictures
    ]
    values = answer.result.model_dump(mode="json")
    return CallToolResult(content=content, structured_content=packed(type(answer.result), values))


def lean(schema: dict[str, Any], *, output: bool = False) -> dict[str, Any]:
    """A flat JSON schema that says the same in fewer characters: every list of tools is read by a model.

    Named parts are written where they are used, so there is nothing to look up. Titles made out of names go; an
    argument that may be null is one to leave out. Of an answer's schema go defaults, the ban on further fields, which fields
    are always there, and all that no program relies on: the reader sees it in the answer.
    """
    parts = schema.get("$defs", {})

    def cleaned(node: Any, names: bool = False) -> Any:
        if isinstance(node, list):
            return [cleaned(item) for item in node]
        if not isinstance(node, dict):
            return node
        if names:
            return {name: cleaned(value) for name, value in node.items()}
        part = str(node.get("$ref", "")).rpartition("/")[2]
        if output and part:
            relied = {k: v for k, v in parts[part].get("properties", {}).items() if k in RELIED_ON.get(part, ())}
            return {"type": "object", **({"properties": cleaned(relied, names=True)} if relied else {})}
        if part:
            node = {**parts[part], **{k: v for k, v in node.items() if k != "$ref"}}
        kept = {k: cleaned(v, names=k == "properties") for k, v in node.items() if not _empty(k, v, output)}
        return _nullable(kept) if output else _optional(kept)

    result: dict[str, Any] = cleaned({key: value for key, value in schema.items() if key != "$defs"})
    if output:
        every = result["properties"]
        wanted = RELIED_ON["jobs" if "queue_place" in every else "answers"]
        relied = {name: value for name, value in every.items() if name in wanted}
        return {"type": "object", "properties": relied or {name: {} for name in every}}
    return result


def _empty(key: str, value: Any, output: bool) -> bool:
    if key == "title":
        return isinstance(value, str)
    if key == "default" and value is False:  # what else would be the default of yes or no
        return True
    if output and key == "required":
        return isinstance(value, list)
    return output and key in ("default", "additionalProperties") and not isinstance(value, dict)


def _optional(node: dict[str, Any]) -> dict[str, Any]:
    """An argument that may be null may be left out, so only what it is otherwise is said: not every host knows null."""
    options = node.get("anyOf", [])
    if {"type": "null"} not in options or node.get("default", 0) is not None:
        return node
    said = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    return {**rest, **said[0]} if len(said) == 1 else {**rest, "anyOf": said}


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    """`anyOf` of one plain type and null as a list of two types."""
    options = node.get("anyOf", [])
    if len(options) != 2 or options[1] != {"type": "null"} or not isinstance(options[0].get("type"), str):
        return node
    kind = options[0]
    if "enum" in kind or "const" in kind:
        return node
    return {**{k: v for k, v in node.items() if k != "anyOf"}, **kind, "type": [kind["type"], "null"]}


def shallow(schema: dict[str, Any]) -> dict[str, Any]:
    """The names of an answer's fields: enough for the viewer's page, which knows them; no model reads it."""
    return {"type": "object", "properties": {name: {} for name in schema["properties"]}}


async def _in_thread(
    entry: Tool, desk: Desk, arguments: Mapping[str, Any], ctx: Context[Any, Any], limiter: anyio.CapacityLimiter
) -> Answer:
    """Run the tool in a thread; send its progress; tell it when the caller has left."""
    cancelled = threading.Event()
    task = in_background.get()
    done: list[Answer | Exception] = []

    try:
        async with anyio.create_task_group() as group:
            report = task.report if task else _Progress(ctx, group, cancelled).report
            call = Call(report=report, cancelled=cancelled, waits_for_the_end=task is not None)

            def work() -> None:
                try:
                    done.append(run_tool(entry, desk, call, arguments))
                except Exception as error:  # outer loop: raised again below, outside the task group
                    done.append(error)

            await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
            group.cancel_scope.cancel()
    finally:
        cancelled.set()
    outcome = done[0]
    if isinstance(outcome, OstensorError):
        raise ToolError(str(outcome)) from outcome
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class _Progress:
    """Sends what the tool's thread reports; the sender starts with the first report, as most calls have none.

    Args:
        ended: set, in the event loop, once `group` is closed.
    """

    def __init__(self, ctx: Context[Any, Any], group: anyio.abc.TaskGroup, ended: threading.Event) -> None:
        self._ctx, self._group, self._ended = ctx, group, ended
        self._token = anyio.lowlevel.current_token()
        self._pace = Pace()
        self._begun = False

    def report(self, share: float, message: str) -> None:
        """Called by the tool, in its thread."""
        self._pace.report(share, message)
        first, self._begun = not self._begun, True
        if first:
            anyio.from_thread.run_sync(self._begin, token=self._token)

    def _begin(self) -> None:
        if not self._ended.is_set():
            self._group.start_soon(self._send)

    async def _send(self) -> None:
        sent = -1.0
        while True:
            await anyio.sleep(_PROGRESS_EVERY_S)
            share = self._pace.share
            if share > sent:
                sent = share
                await self._ctx.report_progress(sent, 1.0, self._pace.message)
