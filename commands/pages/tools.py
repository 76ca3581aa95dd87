"""docs/tools.md, made from the code: `python -m ostensor.commands.pages.tools docs/tools.md` (or `make docs`)."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ...server.mcp.exposed import lean
from ...server.mcp.wire import model_in
from ...tools.desk.results import Geometry, Provenance
from ...tools.desk.settings import DEFAULT_TOOLSETS
from ...tools.desk.tool import Tool
from ...tools.registry import TOOLS

HEAD = f"""# Tools

Made by `make docs` from the tools themselves; do not edit. Shown by default are the toolsets
{" and ".join(f"`{name}`" for name in DEFAULT_TOOLSETS)}; others with `--toolsets`, everything with `--toolsets all`.
Arguments that may be left out have a default; unknown ones are refused. Every answer is one or two sentences and,
apart from them, the fields listed here. `provenance` says tool, version, inputs, model, weights (SHA-256), licence
and seed; `geometry` proves that a mask lies on its image. Over MCP answers travel short: what rows share stands once beside
them (`made_by`, `geometry`, `notes` with the places of their rows), and details that are empty are left out; the record of a
mask (`ostensor://mask/...`) has everything. Without `volume_is`, `truncated_at` tells what a volume is of. A finding of
`check_report` has `at` for `start` and `end`; evidence that an earlier finding has already is its mask and `as_finding`, that finding's
place from 0; evidence without `model` is by `evidence_by`. `ostensor.server.mcp.wire.unpacked` gives programs the rows whole."""


def tool_docs() -> str:
    """The whole page."""
    return "\n\n".join([HEAD, *(_page(entry) for entry in TOOLS)]) + "\n"


def _page(entry: Tool) -> str:
    arguments = lean(entry.arguments.model_json_schema(by_alias=True))
    needed = arguments.get("required", [])
    rows = [
        f"| `{name}` | {_kind(schema)} | {_default(name, schema, needed)} | {_cell(schema.get('description', ''))} |"
        for name, schema in arguments["properties"].items()
    ]
    return "\n".join(
        (
            f"## `{entry.name}`",
            "",
            inspect.cleandoc(entry.function.__doc__ or ""),
            "",
            f"Toolset `{entry.toolset}`; {_hints(entry)}.",
            "",
            "| argument | type | default | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Answer: {_fields(entry.result)}.",
        )
    )


def _hints(entry: Tool) -> str:
    said = ["reads only" if entry.read_only else "writes into the store"]
    said += ["may replace or end something"] if entry.destructive else []
    said += ["asks before it does"] if entry.asks else []
    said += ["may run as a task"] if entry.is_long else []
    return ", ".join(said)


def _fields(kind: type[BaseModel]) -> str:
    """Names of fields, those of rows in brackets."""
    said = []
    for name, field in kind.model_fields.items():
        row, _many = model_in(field.annotation)
        said.append(f"`{name}`" + (f" ({_fields(row)})" if row not in (None, Provenance, Geometry) else ""))
    return ", ".join(said)


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    return f"{kind}{_range(schema)}"


def _range(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    above = "above " if "exclusiveMinimum" in schema else "from "
    return f", {above}{low:g}" + (f" to {high:g}" if high is not None else "")


def _default(name: str, schema: dict[str, Any], needed: list[str]) -> str:
    if name in needed:
        return "needed"
    return f"`{schema['default']}`" if "default" in schema else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(tool_docs(), encoding="utf-8")
