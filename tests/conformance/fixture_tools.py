"""Tools, resources and prompts that the conformance suite calls by name; texts and names are the suite's.

Source: scenario descriptions of @modelcontextprotocol/conformance 0.2.0-alpha.12 (names and expected texts only).
"""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp_types import (
    AudioContent,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import Field

from .made_media import PNG, WAV

Ctx = Context[Any, Any]
STEP_S = 0.05


def test_simple_text() -> str:
    return "This is a simple text response for testing."


def test_image_content() -> list[ImageContent]:
    return [ImageContent(type="image", data=PNG, mime_type="image/png")]


def test_audio_content() -> list[AudioContent]:
    return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def test_embedded_resource() -> list[EmbeddedResource]:
    return [_embedded("test://embedded-resource", "This is an embedded resource content.")]


def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    data = json.dumps({"test": "data", "value": 123})
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PNG, mime_type="image/png"),
        _embedded("test://mixed-content-resource", data, "application/json"),
    ]


async def test_tool_with_logging(ctx: Ctx) -> str:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(text)
        await anyio.sleep(STEP_S)
    return "Logged three times."


async def test_tool_with_progress(ctx: Ctx) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await anyio.sleep(STEP_S)
    return "Reported three times."


def test_error_handling() -> str:
    raise ToolError("This tool intentionally returns an error for testing")


async def test_reconnection(ctx: Ctx) -> str:
    """Closes the stream of its own answer: the client must come back for it."""
    await ctx.close_sse_stream()
    await anyio.sleep(0.2)
    return "Reconnection test completed"


async def test_trigger_tool_change(ctx: Ctx) -> str:
    await ctx.notify_tools_changed()
    return "Told."


async def test_trigger_prompt_change(ctx: Ctx) -> str:
    await ctx.notify_prompts_changed()
    return "Told."


def test_x_mcp_header(
    region: Annotated[str, Field(description="Mirrored in a header.", json_schema_extra={"x-mcp-header": "Region"})],
) -> str:
    return f"Region {region}"


def json_schema_2020_12_tool() -> Tool:
    """Conditions, anchors and compositions, listed as they are."""

    def json_schema_2020_12_tool(name: str = "") -> str:
        """Tool with JSON Schema 2020-12 features."""
        return name

    text = {"type": "string"}
    address = {"$anchor": "addressDef", "type": "object", "properties": {"street": text, "city": text}}
    made = Tool.from_function(json_schema_2020_12_tool)
    made.parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": address},
        "properties": {
            "name": text,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": text,
            "email": text,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
    return made


PLAIN = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_tool_with_logging,
    test_tool_with_progress,
    test_error_handling,
    test_reconnection,
    test_trigger_tool_change,
    test_trigger_prompt_change,
    test_x_mcp_header,
)


def plain_tools() -> list[Tool]:
    made = [Tool.from_function(function, description=function.__name__.replace("_", " ")) for function in PLAIN]
    return [*made, json_schema_2020_12_tool()]


def add_resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain", description="Text.")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="A picture.")
    def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", mime_type="text/plain", description="Something to watch.")
    def watched() -> str:
        return "Watched resource content"

    @server.resource("test://template/{id}/data", mime_type="application/json", description="By number.")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def add_prompts(server: MCPServer[Any]) -> None:
    @server.prompt(description="No arguments.")
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(description="Two arguments.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="With a resource.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        return [
            UserMessage(_embedded(resourceUri, "Embedded resource content for testing.")),
            UserMessage("Please process the embedded resource above."),
        ]

    @server.prompt(description="With a picture.")
    def test_prompt_with_image() -> list[UserMessage]:
        picture = ImageContent(type="image", data=PNG, mime_type="image/png")
        return [UserMessage(picture), UserMessage("Please analyze the image above.")]


def add_older_methods(server: MCPServer[Any]) -> None:
    """What handshake clients may ask and 2026-07-28 took away; the SDK has no public way to add them."""
    watched: set[str] = set()

    async def subscribe(ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        watched.add(str(params.uri))
        return EmptyResult()

    async def unsubscribe(ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        watched.discard(str(params.uri))
        return EmptyResult()

    async def set_level(ctx: ServerRequestContext[Any, Any], params: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    low = server._lowlevel_server
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
