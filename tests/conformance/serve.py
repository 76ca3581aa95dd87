"""The product's server with the suite's fixtures on it, over HTTP: `python -m tests.conformance.serve PORT FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.transport_security import TransportSecuritySettings

from ostensor.tools.desk import Desk
from ostensor.tools.server import build_server
from ostensor.tools.settings import Settings

from . import fixture_questions, fixture_tasks, fixture_tools


class Events(EventStore):
    """Sent messages, for a client that comes back for the rest."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.sent.append((stream_id, message))
        return str(len(self.sent))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        if not 1 <= last <= len(self.sent):
            return None
        stream = self.sent[last - 1][0]
        for number, (of, message) in enumerate(self.sent, start=1):
            if number > last and of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def judged_server(desk: Desk) -> MCPServer[Any]:
    tools = [*fixture_tools.plain_tools(), *fixture_questions.asking_tools(), *fixture_tasks.task_tools()]
    server = build_server(desk, extra_tools=tools, extra_tasks=fixture_tasks.SUPPORT)
    fixture_tools.add_resources(server)
    fixture_tools.add_prompts(server)
    fixture_tools.add_older_methods(server)
    fixture_questions.add_asking_prompt(server)
    return server


def main(port: int, folder: Path) -> None:
    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
    with Desk(Settings(store=folder / "store", roots=(folder,))) as desk:
        judged_server(desk).run(
            "streamable-http",
            port=port,
            transport_security=security,
            event_store=Events(),
            retry_interval=100,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
