"""Long tools as tasks for clients that declare the extension; protocol details are the conformance suite's part."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import save, toy_scan
from ...toys.lines import TRANSPORTS, Line, line
from ...toys.task_client import Task, TasksOfClient, ask

LIVER = (slice(8, 25), slice(10, 30), slice(5, 17))


@pytest.fixture
def scans(root: Path) -> Path:
    slow = toy_scan(liver=LIVER)
    slow[0, 0, 0] = 3000
    save(root / "slow.nii.gz", slow)
    return root


@pytest.fixture(params=TRANSPORTS)
def told(request: pytest.FixtureRequest, scans: Path, tmp_path: Path) -> Iterator[tuple[Line, TasksOfClient]]:
    extension = TasksOfClient()
    with line(request.param, "2026-07-28", tmp_path, scans, extensions=[extension]) as made:
        yield made, extension


def opened(wire: Line, name: str) -> str:
    return str((wire.call("open_image", path=name).structured_content or {})["image_id"])


def begun(wire: Line) -> str:
    """A task that lasts ten seconds."""
    given = {"image_id": opened(wire, "slow.nii.gz"), "structures": ["liver"]}
    task = wire.run(wire.client.session.call_tool, "segment", given, allow_claimed=True)
    assert isinstance(task, Task)
    assert task.status == "working"
    return task.task_id


def test_a_task_is_answered_like_the_call_itself_and_outlasts_wait_s(told: tuple[Line, TasksOfClient]) -> None:
    """wait_s=0 would give a call without tasks a job handle; the task goes on to the masks."""
    wire, extension = told
    found = wire.call("segment", image_id=opened(wire, "ct.nii.gz"), structures=["liver"], wait_s=0)
    assert (found.structured_content or {})["masks"][0]["verdict"] == "present"
    if extension.ids:  # else the work was done at once
        assert extension.statuses[-1] == "completed"


def test_a_cancelled_task_stops_and_the_next_call_is_answered(told: tuple[Line, TasksOfClient]) -> None:
    wire, _ = told
    task = begun(wire)
    session = wire.client.session
    assert wire.run(ask, session, "tasks/get", task)["status"] == "working"
    assert "status" not in wire.run(ask, session, "tasks/cancel", task)
    assert wire.run(ask, session, "tasks/get", task)["status"] == "cancelled"
    found = wire.call("segment", image_id=opened(wire, "ct.nii.gz"), structures=["liver"])
    assert (found.structured_content or {})["masks"][0]["verdict"] == "present"


def test_a_task_can_be_asked_for_after_a_restart(settings: Settings, image_id: str, desk: Desk) -> None:
    extension = TasksOfClient()

    async def work() -> None:
        async with Client(build_server(desk), extensions=[extension]) as client:
            await client.call_tool("segment", {"image_id": image_id, "structures": ["liver"]})

    anyio.run(work)
    (task,) = extension.ids or [desk.store.jobs()[0].job_id]

    async def later() -> str:
        with Desk(settings) as second:
            async with Client(build_server(second), extensions=[extension]) as client:
                found = await ask(client.session, "tasks/get", task)
                return str(found["result"]["structuredContent"]["masks"][0]["structure"])

    assert anyio.run(later) == "liver"


def test_a_job_that_is_no_task_is_unknown(desk: Desk) -> None:
    job = desk.store.create_job("segment", {}).job_id

    async def asked() -> None:
        async with Client(build_server(desk), extensions=[TasksOfClient()]) as client:
            with pytest.raises(MCPError, match="Unknown task") as caught:
                await ask(client.session, "tasks/get", job)
            assert caught.value.code == -32602

    anyio.run(asked)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_clients_that_know_no_tasks_get_a_job_as_before(desk: Desk, scans: Path, mode: str) -> None:
    async def work() -> dict[str, object]:
        async with Client(build_server(desk), mode=mode) as client:
            image = (await client.call_tool("open_image", {"path": "slow.nii.gz"})).structured_content or {}
            given = {"image_id": image["image_id"], "structures": ["liver"], "wait_s": 0}
            found = (await client.call_tool("segment", given)).structured_content or {}
            await client.call_tool("cancel_job", {"job_id": found["job_id"]})
            return dict(found)

    assert anyio.run(work)["state"] in ("queued", "running")
