"""Asking a person before something is lost: the answer holds for these very arguments and for nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import anyio.to_thread
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel, Field

from ...imaging.errors import OstensorError
from ...tools.desk.desk import Desk

NAME = "approval"  # of the parameter that callers do not see
_INPUT_REQUIRED = "2026-07-28"  # from here on questions are answered by a second call

Question = Callable[[Desk, Mapping[str, Any]], str]
"""What to ask before this call; "" when nothing can be lost. Depends on the arguments and files, never on the time."""


class Approval(BaseModel):
    """The person's answer."""

    approved: bool = Field(description="true to go on, false to leave everything as it is.")


def asked_before(question: Question, desk: Desk, visible: Sequence[inspect.Parameter]) -> inspect.Parameter:
    """A parameter that the server fills by asking the person, where the client can show questions.

    A client that cannot is trusted to have asked by itself: the tool is marked destructive.

    Args:
        visible: the tool's own parameters.
    """

    async def approved(**given: Any) -> Any:
        ctx = given.pop("ctx")
        if not _can_ask(ctx):
            return Approval(approved=True)
        try:
            text = await anyio.to_thread.run_sync(question, desk, given)
        except OstensorError:  # the tool itself says what is wrong
            return Approval(approved=True)
        return Elicit(text, Approval) if text else Approval(approved=True)

    ctx = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context)
    returns = Approval | Elicit[Approval]
    described: Any = approved
    described.__signature__ = inspect.Signature(
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (ctx, *visible)],
        return_annotation=returns,
    )
    described.__annotations__ = {"ctx": Context, **{p.name: p.annotation for p in visible}, "return": returns}
    wanted = Annotated[ElicitationResult[Approval], Resolve(described)]
    return inspect.Parameter(NAME, inspect.Parameter.KEYWORD_ONLY, annotation=wanted)


def check_approved(answer: ElicitationResult[Approval] | None, tool: str) -> None:
    """Go on, or refuse.

    Raises:
        ToolError: the person said no, or closed the question.
    """
    if answer is None or (isinstance(answer, AcceptedElicitation) and answer.data.approved):
        return
    raise ToolError(f"The user did not approve this call of {tool}. Nothing was changed. Do not repeat it unasked.")


def _can_ask(ctx: Context[Any, Any]) -> bool:
    able = ctx.client_capabilities
    if able is None or able.elicitation is None or (able.elicitation.form is None and able.elicitation.url is not None):
        return False
    return (ctx.protocol_version or "") >= _INPUT_REQUIRED or ctx.session.can_send_request
