"""The list that needs no tool loaded says what the tools say."""

import logging
from dataclasses import replace
from importlib import resources

import anyio
import pytest
from mcp import Client

from ostensor.commands.pages import listed as listing
from ostensor.server.mcp import listed, server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import DEFAULT_TOOLSETS, TOOLSETS
from ostensor.tools.registry import TOOLS


def test_the_file_is_the_one_the_tools_make() -> None:
    text = resources.files("ostensor.server.mcp").joinpath("listed.json").read_text(encoding="utf-8")
    assert text == listing.listed_text(), "run `make docs`"


@pytest.mark.parametrize("toolsets", [("all",), DEFAULT_TOOLSETS, *[(name,) for name in TOOLSETS]])
def test_toolsets_hold_the_tools_of_the_registry_in_its_order(toolsets: tuple[str, ...]) -> None:
    entries = listed.listed(toolsets)
    assert [(e.name, e.toolset, e.is_long, e.ui) for e in entries] == [
        (e.name, e.toolset, e.is_long, e.ui) for e in TOOLS if "all" in toolsets or e.toolset in toolsets
    ]
    assert len(listed.listed(("all",))) == len(TOOLS)


def test_an_outdated_list_is_said_in_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a change of a tool without `make docs`; the tool itself answers all the same."""
    old = tuple(replace(entry, description="As it was.") for entry in listed.listed(("core",)))
    monkeypatch.setattr(server, "listed", lambda toolsets: old)

    async def called() -> str:
        async with Client(server.build_server(desk)) as client:
            return str((await client.call_tool("find_structures", {"query": "hepar"})).content[0])

    with caplog.at_level(logging.WARNING):
        assert "liver" in anyio.run(called)
    assert "find_structures is listed as it once was: run `make docs`" in caplog.text
