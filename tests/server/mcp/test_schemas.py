"""What a model reads before it calls: the list of tools, flat, complete, short, and the same as recorded."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from ostensor.server.mcp.exposed import RELIED_ON
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import DEFAULT_TOOLSETS, Settings
from ostensor.tools.registry import TOOLS

RECORDED = Path(__file__).with_name("schemas")
NAMES = [entry.name for entry in TOOLS]
Listed = dict[str, dict[str, Any]]


async def asked(desk: Desk, shows_pages: bool = True) -> Listed:
    pages = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})] if shows_pages else []
    async with Client(build_server(desk), extensions=pages) as client:
        tools = (await client.list_tools()).tools
    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools}


@pytest.fixture
def every(settings: Settings) -> Listed:
    """All tools, as a client gets them."""
    with Desk(replace(settings, toolsets=("all",))) as desk:
        return anyio.run(asked, desk)


def test_the_default_list_of_tools_fits_the_budget(desk: Desk) -> None:
    """At most 7,500 tokens, counted as characters / 4; the viewer's own tools are listed to hosts that show it."""
    listed = anyio.run(asked, desk, False)
    assert list(listed) == [e.name for e in TOOLS if e.toolset in DEFAULT_TOOLSETS and e.ui != ("app",)]
    assert len(json.dumps(list(listed.values()), separators=(",", ":"))) / 4 <= 7500
    pages = anyio.run(asked, desk)
    hidden = [entry.name for entry in TOOLS if entry.toolset == "viewer"]
    assert set(pages) - set(listed) == set(hidden)
    assert len(json.dumps([pages[name] for name in hidden])) / 4 <= 850


def test_the_list_is_the_same_every_time(desk: Desk) -> None:
    assert json.dumps(anyio.run(asked, desk)) == json.dumps(anyio.run(asked, desk))


def test_every_tool_tells_a_model_what_it_needs(every: Listed) -> None:
    assert list(every) == NAMES
    for name, tool in every.items():
        assert {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} <= set(tool["annotations"])
        assert tool["inputSchema"]["additionalProperties"] is False
        assert tool["outputSchema"]["type"] == "object", name
        assert tool["outputSchema"]["properties"]
        assert f"Example: {name}(" in tool["description"]
        assert not re.search(r"/home|/tmp|/work", json.dumps(tool))


def parts(node: Any) -> list[dict[str, Any]]:
    """Every schema inside a schema; names of properties are no keywords."""
    if isinstance(node, list):
        return [part for item in node for part in parts(item)]
    if not isinstance(node, dict):
        return []
    inside = [
        part for key, value in node.items() for part in parts(list(value.values()) if key == "properties" else value)
    ]
    return [node, *inside]


@pytest.mark.parametrize("side", ["inputSchema", "outputSchema"])
def test_schemas_are_flat(every: Listed, side: str) -> None:
    """No names to look up, no choice at the root, no list whose places have types of their own."""
    for name, tool in every.items():
        assert not {"anyOf", "oneOf", "allOf", "not", "enum"} & set(tool[side]), name
        for part in parts(tool[side]):
            assert not {"$defs", "definitions", "$ref", "prefixItems"} & set(part), f"{name}: {part}"
            assert part.get("type") != "array" or part.get("items"), f"{name}: a list of anything"


UNITS = re.compile(
    r"seconds|days|mm\b|millimetres|from 0|at most|how many|prompts in all|same seed|steps|voxel|so many", re.IGNORECASE
)


def test_every_argument_says_its_unit_or_what_is_allowed(every: Listed) -> None:
    for name, tool in every.items():
        for argument, schema in tool["inputSchema"]["properties"].items():
            described = schema.get("description", "")
            assert len(described) >= 10, f"{name}.{argument}"
            kinds = schema.get("type", "")
            if "number" in kinds or "integer" in kinds:
                assert {"minimum", "exclusiveMinimum"} & set(schema), f"{name}.{argument} has no lower end"
                assert UNITS.search(described) or "default:" in described, f"{name}.{argument}: {described}"


def test_examples_in_descriptions_use_real_arguments(every: Listed) -> None:
    for name, tool in every.items():
        example = re.search(rf"Example: {name}\((.*)\)", str(tool["description"]))
        assert example is not None
        used = set(re.findall(r"(\w+)=", re.sub(r"\"[^\"]*\"", "", example.group(1))))
        assert used
        assert used <= set(tool["inputSchema"]["properties"]), name


def test_schemas_hold_nothing_that_is_only_in_the_code(every: Listed) -> None:
    """Inlined parts keep what callers rely on: spot checks against the words of DESIGN §4."""
    rows = every["segment"]["outputSchema"]["properties"]["masks"]["items"]["properties"]
    assert rows["verdict"]["enum"] == ["present", "absent", "outside_view", "unsupported", "unsure"]
    assert {"structure", "mask_id", "confidence", "volume_ml", "truncated_at", "side", "warnings"} <= set(rows)
    for kind, fields in RELIED_ON.items():
        if kind in ("answers", "jobs"):
            assert all(any(name in tool["outputSchema"]["properties"] for tool in every.values()) for name in fields)
            continue
        assert any(
            set(fields) <= set(part.get("properties", {}))
            for tool in every.values()
            for part in parts(tool["outputSchema"])
        ), kind
    assert {"day", "probability", "low", "high"} == set(
        every["predict_prognosis"]["outputSchema"]["properties"]["survival"]["items"]["properties"]
    )


def test_the_schemas_are_the_recorded_ones(every: Listed) -> None:
    """A change is seen in review: run with OSTENSOR_UPDATE=1 to record the new ones."""
    update = bool(os.environ.get("OSTENSOR_UPDATE"))
    if update:
        RECORDED.mkdir(exist_ok=True)
        for path in RECORDED.glob("*.json"):
            path.unlink()
        for name, tool in every.items():
            (RECORDED / f"{name}.json").write_text(written(tool), encoding="utf-8")
    assert sorted(path.stem for path in RECORDED.glob("*.json")) == sorted(every), "OSTENSOR_UPDATE=1 records them"
    changed = [n for n, tool in every.items() if (RECORDED / f"{n}.json").read_text(encoding="utf-8") != written(tool)]
    assert not changed, f"contract of {changed} changed; OSTENSOR_UPDATE=1 records it"


def written(tool: dict[str, Any]) -> str:
    return json.dumps(tool, indent=1, sort_keys=True) + "\n"
