"""The product's server with the suite's fixtures on it, over HTTP: `python -m tests.conformance.serve PORT FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer

from ostensor.server.http import callers as http_callers
from ostensor.server.http.settings import HttpSettings
from ostensor.server.mcp.server import build_server
from ostensor.server.serve import serve
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from . import fixture_questions, fixture_tasks, fixture_tools


def judged_server(desk: Desk, **given: Any) -> MCPServer[Any]:
    tools = [*fixture_tools.plain_tools(), *fixture_questions.asking_tools(), *fixture_tasks.task_tools()]
    server = build_server(desk, extra_tools=tools, extra_tasks=fixture_tasks.SUPPORT, **given)
    fixture_tools.add_resources(server)
    fixture_tools.add_prompts(server)
    fixture_tools.add_older_methods(server)
    fixture_questions.add_asking_prompt(server)
    return server


def main(port: int, folder: Path) -> None:
    http_callers.build_server = judged_server  # all else is what users get: addresses, limits, sessions, processes
    http = HttpSettings(port=port, per_minute=100_000)
    with Desk(Settings(store=folder / "store", roots=(folder,))) as desk:
        serve(desk, http)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
