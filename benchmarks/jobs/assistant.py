"""Somebody who has nothing but the tools: calls them through an MCP client, and what a model would read is counted."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.from_thread
from mcp import Client
from mcp_types import CallToolResult, ElicitResult

from ...imaging.errors import Failed
from ...server.mcp.server import build_server
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from .grey_network import FACTORY, only_network

CHARACTERS_PER_TOKEN = 4  # usual for English text and JSON; what a model really counts depends on its tokenizer


@dataclass(frozen=True)
class Check:
    """A result beside its truth.

    Attributes:
        within: how far a number may lie from the truth, in its own unit.
    """

    what: str
    got: Any
    truth: Any
    within: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether they agree."""
        if isinstance(self.truth, float) and isinstance(self.got, int | float):
            return abs(self.got - self.truth) <= self.within
        return bool(self.got == self.truth)


@dataclass
class Assistant:
    """An assistant at work in a folder of scans.

    Attributes:
        calls: tools it called.
        characters: of text and compact JSON that it read in their answers; pictures are not among them.
        told: the text of the last answer.
        pictures: PNGs of the last answer.
    """

    folder: Path
    store: Path
    checks: list[Check] = field(default_factory=list)
    calls: int = 0
    characters: int = 0
    told: str = ""
    pictures: list[bytes] = field(default_factory=list)
    _open: ExitStack = field(default_factory=ExitStack)
    _portal: Any = None
    _client: Any = None

    @property
    def tokens(self) -> int:
        """What it read, in tokens."""
        return round(self.characters / CHARACTERS_PER_TOKEN)

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool and read its answer, as it travels.

        Raises:
            Failed: the tool refused; a job's story has no such turn.
        """

        async def asked() -> CallToolResult:
            found = await self._client.call_tool(tool, arguments)
            assert isinstance(found, CallToolResult)
            return found

        answer = self._portal.call(asked)
        self.told = " ".join(part.text for part in answer.content if part.type == "text")
        self.pictures = [base64.b64decode(part.data) for part in answer.content if part.type == "image"]
        result: dict[str, Any] = answer.structured_content or {}
        self.calls += 1
        self.characters += len(self.told) + (len(compact(result)) if result else 0)
        if answer.is_error:
            raise Failed(f"{tool}: {self.told}")
        return result

    def check(self, what: str, got: Any, truth: Any, within: float = 0.0) -> None:
        """Note a result beside its truth, which comes from elsewhere."""
        self.checks.append(Check(what, got, truth, within))

    def start(self) -> None:
        """Start the server and connect to it."""
        self._open = ExitStack()
        settings = Settings(store=self.store, roots=(self.folder,), factory=FACTORY)
        desk = self._open.enter_context(Desk(settings))
        self._portal = self._open.enter_context(anyio.from_thread.start_blocking_portal())
        client = Client(build_server(desk), elicitation_callback=_agree)
        self._client = self._open.enter_context(self._portal.wrap_async_context_manager(client))

    def stop(self) -> None:
        """End the server; the store stays."""
        self._open.close()


@contextmanager
def assistant(folder: Path) -> Iterator[Assistant]:
    """An assistant at a server of its own, whose root is `folder/scans`."""
    scans = folder / "scans"
    scans.mkdir()
    made = Assistant(scans, folder / "store")
    with only_network():
        made.start()
        try:
            yield made
        finally:
            made.stop()


def compact(result: dict[str, Any]) -> str:
    """JSON without spaces."""
    return json.dumps(result, separators=(",", ":"), ensure_ascii=False)


async def _agree(context: Any, params: Any) -> ElicitResult:
    del context, params
    return ElicitResult(action="accept", content={"approved": True})
