"""Playing a cassette: as a server that needs no model, and against a live desk with a table of differences."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.server.lowlevel import Server
from mcp_types import CallToolResult, ListToolsResult, TextContent, ToolAnnotations
from mcp_types import Tool as McpTool

from ...imaging.errors import BadCall, OstensorError
from ...imaging.masks.dice import dice
from ...tools.desk.desk import Desk
from ...tools.registry import TOOLS, tool
from ...tools.running import checked
from ..mcp.wire import short
from .cassette import JOB, LOG, MASK, Cassette, call_key, crossed_out, path_key, stale, unpacked

RELATIVE, ABSOLUTE, DICE = 1e-3, 1e-3, 0.999
"""How far a number may be off (share, or absolute near 0), and how far a mask; bf16 engines differ by less."""


class Player:
    """Answers calls from a cassette; the n-th call with the same arguments gets the n-th recording.

    Raises:
        BadCall: a used tool's schema or description changed since.
    """

    def __init__(self, cassette: Cassette) -> None:
        why = stale(cassette)
        if why:
            raise BadCall(f"The cassette is stale. {' '.join(why)} Record it again.")
        self.cassette = cassette
        self.missed: list[str] = []
        self._queues: dict[str, list[int]] = {}
        for number, call in enumerate(cassette.calls):
            self._queues.setdefault(call.key, []).append(number)
        self._served: set[int] = set()

    @property
    def unused(self) -> list[str]:
        """Recorded calls nobody asked for."""
        return [call.tool for number, call in enumerate(self.cassette.calls) if number not in self._served]

    def answer(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any], bool]:
        """Text, result and whether it was an error, as recorded.

        Raises:
            BadCall: nothing like this was recorded.
        """
        entry = tool(name)
        filled = {k: crossed_out(v) if isinstance(v, str) else v for k, v in checked(entry, arguments).items()}
        queue = self._queues.get(call_key(name, filled))
        if not queue:
            self.missed.append(name)
            shown = json.dumps(filled, default=str)[:200]
            raise BadCall(f"Not in the cassette: {name}({shown}). Recorded: {', '.join(self.recorded) or 'nothing'}.")
        number = queue.pop(0) if len(queue) > 1 else queue[0]
        self._served.add(number)
        call = self.cassette.calls[number]
        return (call.error or call.text), call.result, bool(call.error)

    @property
    def server(self) -> Server[Any]:
        """An MCP server that answers from the cassette."""
        return replay_server(self)

    @property
    def recorded(self) -> list[str]:
        """Names of the tools with recordings."""
        return sorted({call.tool for call in self.cassette.calls})


def replay_server(player: Player) -> Server[Any]:
    """An MCP server that answers from a cassette; a miss is an error the caller sees, and is kept in `player.missed`."""

    async def list_tools(_ctx: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(entry) for entry in TOOLS])

    async def call_tool(_ctx: Any, params: Any) -> CallToolResult:
        try:
            text, result, failed = player.answer(params.name, params.arguments or {})
        except OstensorError as error:
            text, result, failed = str(error), {}, True
        content: list[Any] = [TextContent(type="text", text=text)]
        return CallToolResult(
            content=content, structured_content=None if failed else short(params.name, result), is_error=failed
        )

    return Server("ostensor-replay", on_list_tools=list_tools, on_call_tool=call_tool)


def _listed(entry: Any) -> McpTool:
    hints = ToolAnnotations(read_only_hint=entry.read_only, destructive_hint=entry.destructive)
    return McpTool(
        name=entry.name,
        description=entry.function.__doc__ or "",
        input_schema=entry.arguments.model_json_schema(),
        annotations=hints,
    )


@dataclass(frozen=True)
class Difference:
    """One place where a live answer is not the recorded one."""

    call: int
    tool: str
    where: str
    recorded: str
    live: str
    matters: bool


class Live:
    """Runs a cassette's calls on a desk and compares; recorded handles are mapped to live ones on the way."""

    def __init__(self, cassette: Cassette, desk: Desk) -> None:
        self.cassette, self.desk = cassette, desk.looking_again()  # a kept answer would agree with itself
        self.differences: list[Difference] = [
            Difference(0, "", "schema", "as recorded", why, True) for why in stale(cassette)
        ]
        self._handles: dict[str, str] = {}

    def run(self) -> list[Difference]:
        """Every difference, in the order of the calls."""
        for number, call in enumerate(self.cassette.calls, start=1):
            self._one(number, call)
        return self.differences

    def _one(self, number: int, call: Any) -> None:
        from ...tools.running import use

        arguments = {k: self._mapped(v) for k, v in call.arguments.items()}
        if "wait_s" in tool(call.tool).arguments.model_fields:
            arguments["wait_s"] = 300.0
        try:
            for name in ("path", "folder"):
                if name in arguments:
                    arguments[name] = self._file(str(arguments[name]))
            if "paths" in arguments:
                arguments["paths"] = [self._file(str(key)) for key in arguments["paths"]]
            live = use(self.desk, call.tool, **arguments).result.model_dump(mode="json")
            error = ""
        except OstensorError as failure:
            live, error = {}, str(failure)
        if bool(error) != bool(call.error):
            self._note(number, call.tool, "outcome", call.error or "ok", error or "ok")
            return
        self._compare(number, call.tool, "", call.result, live)

    def _file(self, key: str) -> str:
        """The file or folder of the roots whose name has this hash."""
        if key == path_key("."):
            return "."
        for root in self.desk.roots.folders:
            for path in [root, *sorted(root.rglob("*"))]:
                if path_key(path.name) == key:
                    return str(path)
        raise BadCall("No file with the recorded name's hash lies in the roots. Start with --root for its folder.")

    def _mapped(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._handles.get(value, value)
        return [self._mapped(item) for item in value] if isinstance(value, list) else value

    def _compare(self, number: int, name: str, where: str, old: Any, new: Any) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(set(old) | set(new)):
                if key not in ("state", "progress", "message", "queue_place"):
                    self._compare(number, name, f"{where}.{key}".lstrip("."), old.get(key), new.get(key))
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for place, (a, b) in enumerate(zip(old, new, strict=True)):
                self._compare(number, name, f"{where}[{place}]", a, b)
        elif not self._same(number, name, where, old, new):
            self._note(number, name, where, json.dumps(old), json.dumps(new))

    def _same(self, number: int, name: str, where: str, old: Any, new: Any) -> bool:
        if _is_number(old) and _is_number(new):
            return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        if not isinstance(old, str) or not isinstance(new, str):
            return bool(old == new)
        if MASK.fullmatch(old) and MASK.fullmatch(new):
            self._handles[old] = new
            return old == new or self._same_mask(number, name, where, old, new)
        if any(kind.fullmatch(old) and kind.fullmatch(new) for kind in (JOB, LOG)):
            self._handles[old] = new
            return True
        if where.endswith("path"):
            return Path(old).name == Path(new).name
        return old == crossed_out(new) or _texts_agree(old, new)

    def _same_mask(self, number: int, name: str, where: str, old: str, new: str) -> bool:
        a, b = unpacked(self.cassette.masks[old]), self.desk.store.mask(new).array
        if a.shape != b.shape:
            return False
        alike = dice(a, b)
        if alike >= DICE:
            self.differences.append(Difference(number, name, where, old, f"{new}, Dice {alike:.5f}", False))
            return True
        self._note(number, name, where, old, f"{new}, Dice {alike:.5f}")
        return True  # told already

    def _note(self, number: int, name: str, where: str, recorded: str, live: str) -> None:
        self.differences.append(Difference(number, name, where, recorded[:80], live[:80], True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts_agree(old: str, new: str) -> bool:
    """The same words, and numbers and handles that are compared elsewhere."""
    plain = [LOG.sub("ref", MASK.sub("msk", JOB.sub("job", crossed_out(text)))).split() for text in (old, new)]
    if len(plain[0]) != len(plain[1]):
        return False
    for a, b in zip(*plain, strict=True):
        if a != b:
            try:
                if not math.isclose(float(a.strip("().,:")), float(b.strip("().,:")), rel_tol=0.02, abs_tol=0.1):
                    return False
            except ValueError:
                return False
    return True
