"""The toy desk of the tools' tests, asked through the agent layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from ostensor.agents.ask import Answered, ask
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk

from ..toys.desks import desk, root, settings, toys

__all__ = ["desk", "root", "settings", "toys"]
Question = Callable[..., Answered]


@pytest.fixture
def question(desk: Desk) -> Question:
    """Ask about the toy scan through the whole loop."""

    def put(words: str, **options: Any) -> Answered:
        options.setdefault("images", ["ct.nii.gz"])

        async def run() -> Answered:
            return await ask(words, build_server(desk), **options)

        return anyio.run(run)

    return put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "agent"
