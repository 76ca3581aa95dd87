"""Tools and prompts of the suite that ask the client: in the middle of a call (handshake era) or between two."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

Ctx = Context[Any, Any]
TEXT = {"type": "string"}


def form(message: str, **fields: Any) -> ElicitRequest:
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampled(prompt: str, max_tokens: int = 100) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


def asking(state: str | None = None, **requests: Any) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def answer(ctx: Ctx, name: str) -> Any:
    return (ctx.input_responses or {}).get(name)


async def test_sampling(prompt: str, ctx: Ctx) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    result = await ctx.session.create_message(messages=[message], max_tokens=100)
    return f"LLM response: {result.content.text}"


class Person(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


async def test_elicitation(message: str, ctx: Ctx) -> str:
    return _told("User response", await ctx.elicit(message, Person))


class Defaults(BaseModel):
    name: str = Field("John Doe", description="User name")
    age: int = Field(30, description="User age")
    score: float = Field(95.5, description="User score")
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = Field(True, description="Verification status")


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
    return _told("Elicitation completed", await ctx.elicit("Please review", Defaults))


def _titled(**titles: str) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titles.items()]


ONES = ["option1", "option2", "option3"]
TITLES = _titled(value1="First Option", value2="Second Option", value3="Third Option")
LEGACY = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]}


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ONES})
    titledSingle: str = Field(json_schema_extra={"oneOf": TITLES})
    legacyEnum: str = Field(json_schema_extra=LEGACY)
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ONES}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": TITLES}})


async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
    return _told("Elicitation completed", await ctx.elicit("Please choose", Choices))


def _told(what: str, result: Any) -> str:
    content = result.data.model_dump_json() if result.action == "accept" else "{}"
    return f"{what}: action={result.action}, content={content}"


def test_missing_capability(ctx: Ctx) -> str:
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        data = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling.", data)
    return "Sampling is there."


def test_input_required_result_elicitation(ctx: Ctx) -> str | InputRequiredResult:
    found = answer(ctx, "user_name")
    return f"Hello, {found.content['name']}!" if found else asking(user_name=form("What is your name?", name=TEXT))


def test_input_required_result_sampling(ctx: Ctx) -> str | InputRequiredResult:
    found = answer(ctx, "capital_question")
    return found.content.text if found else asking(capital_question=sampled("What is the capital of France?"))


def test_input_required_result_list_roots(ctx: Ctx) -> str | InputRequiredResult:
    found = answer(ctx, "client_roots")
    return ", ".join(str(root.uri) for root in found.roots) if found else asking(client_roots=ListRootsRequest())


def test_input_required_result_request_state(ctx: Ctx) -> str | InputRequiredResult:
    if answer(ctx, "confirm") and ctx.request_state == "asked":
        return "state-ok"
    return asking("asked", confirm=form("Please confirm", ok={"type": "boolean"}))


def test_input_required_result_multiple_inputs(ctx: Ctx) -> str | InputRequiredResult:
    name, greeting, roots = (answer(ctx, key) for key in ("user_name", "greeting", "client_roots"))
    if name and greeting and roots:
        return f"{greeting.content.text} {name.content['name']}, {len(roots.roots)} roots"
    return asking(
        "three asked",
        user_name=form("What is your name?", name=TEXT),
        greeting=sampled("Generate a greeting", 50),
        client_roots=ListRootsRequest(),
    )


def test_input_required_result_multi_round(ctx: Ctx) -> str | InputRequiredResult:
    first, second = answer(ctx, "step1"), answer(ctx, "step2")
    if second and (ctx.request_state or "").startswith("name="):
        return f"{(ctx.request_state or '')[5:]} likes {second.content['color']}"
    if first:
        asked = form("Step 2: What is your favorite color?", color=TEXT)
        return asking(f"name={first.content['name']}", step2=asked)
    return asking("begun", step1=form("Step 1: What is your name?", name=TEXT))


def test_input_required_result_tampered_state(ctx: Ctx) -> str | InputRequiredResult:
    if ctx.request_state == "sealed" and answer(ctx, "confirm"):
        return "The state came back whole."
    return asking("sealed", confirm=form("Please confirm", ok={"type": "boolean"}))


def test_input_required_result_capabilities(ctx: Ctx) -> str | InputRequiredResult:
    if ctx.input_responses:
        return "Answered."
    requests: dict[str, Any] = {}
    able = ctx.client_capabilities
    if able and able.elicitation:
        requests["user_name"] = form("What is your name?", name=TEXT)
    if able and able.sampling:
        requests["greeting"] = sampled("Generate a greeting", 50)
    return asking(**requests) if requests else "Nothing can be asked."


QUESTIONS = (
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_missing_capability,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_tampered_state,
    test_input_required_result_capabilities,
)


def asking_tools() -> list[Tool]:
    return [
        Tool.from_function(function, description=function.__name__.replace("_", " "), structured_output=False)
        for function in QUESTIONS
    ]


def add_asking_prompt(server: MCPServer[Any]) -> None:
    @server.prompt(description="Asks before it answers.")
    def test_input_required_result_prompt(ctx: Ctx) -> Any:
        found = answer(ctx, "user_context")
        if found:
            return f"Context: {found.content['context']}"
        return asking(user_context=form("What context should the prompt use?", context=TEXT))
