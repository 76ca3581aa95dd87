"""Thousands of calls that make no sense: the server lives, says nothing it should not, and does not grow."""

import gc
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest
from mcp import Client, MCPError

from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.registry import TOOLS

from .malformed import calls

LEAKS = re.compile(r"Traceback|File \"|site-packages|\.py\b|sqlite|pydantic\.dev|0x[0-9a-f]{8}")


def leaks(answer: str, given: str, secrets: tuple[str, ...]) -> list[str]:
    """What an answer holds that it should not; what the caller sent itself may come back."""
    found = [match for match in LEAKS.findall(answer) if match not in given]
    return found + [secret for secret in secrets if secret in answer and secret not in given]


async def survived(desk: Desk, secrets: tuple[str, ...], count: int, seed: int) -> dict[str, int]:
    """Make the calls; answers how many were refused, taken, or ended as errors of the protocol, and megabytes grown."""
    seen = {"refused": 0, "taken": 0, "protocol": 0, "grown_mb": 0}
    process, before = psutil.Process(), 0
    crashed: list[tuple[str, dict[str, str]]] = []
    async with Client(build_server(desk)) as client:
        tools = (await client.list_tools()).tools
        image = (await client.call_tool("open_image", {"path": "ct.nii.gz"})).structured_content["image_id"]
        found = await client.call_tool("segment", {"image_id": image, "structures": ["liver", "spleen"]})
        handles = [image, *(row["mask_id"] for row in found.structured_content["masks"]), desk.store.jobs()[0].job_id]
        mask = next(row["mask_id"] for row in found.structured_content["masks"] if row["mask_id"])
        for name, arguments in (  # so that libraries which load late are no growth
            ("measure", {"mask_ids": [mask], "what": ["radiomics"]}),
            ("export", {"mask_ids": [mask], "folder": ".", "format": "dicom_seg"}),
            ("render", {"image_id": image}),
        ):
            assert not (await client.call_tool(name, arguments)).is_error
        for number, (name, arguments) in enumerate(calls(tools, handles, count=count, seed=seed)):
            if number == count // 3:
                gc.collect()
                before = process.memory_info().rss
            try:
                answer = await client.call_tool(name, arguments)
            except MCPError as error:
                seen["protocol"] += 1
                text = str(error)
            else:
                seen["refused" if answer.is_error else "taken"] += 1
                text = answer.model_dump_json(exclude={"meta"})
                if answer.is_error and re.fullmatch(r"Error executing tool \w+", answer.content[0].text):
                    crashed.append((name, {key: repr(value)[:80] for key, value in arguments.items()}))
            assert not leaks(text, repr(arguments) + json.dumps(arguments), secrets), (name, arguments, text[:500])
        gc.collect()
        seen["grown_mb"] = (process.memory_info().rss - before) // 1_000_000
        asked = {"image_id": image, "structures": ["liver"], "wait_s": 120}  # jobs that were taken may still run
        alive = await client.call_tool("segment", asked)
        assert alive.structured_content["masks"][0]["verdict"] == "present"
    assert not crashed, f"{len(crashed)} calls ended in an exception nobody foresaw: {crashed[:12]}"
    return seen


def secrets_of(tmp_path: Path) -> tuple[str, ...]:
    return (str(tmp_path), str(Path(__file__).parents[2]), os.path.expanduser("~") + "/", sys.prefix)  # noqa: PTH111


@pytest.fixture
def every(settings: Settings) -> Settings:
    return replace(settings, toolsets=("all",))


def test_a_few_hundred_malformed_calls(every: Settings, tmp_path: Path) -> None:
    with Desk(every) as desk:
        seen = anyio.run(survived, desk, secrets_of(tmp_path), 400, 7)
    assert seen["refused"] > 200
    assert seen["protocol"] == 0, "wrong arguments are the tool's to explain"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_malformed_calls_leave_memory_flat(every: Settings, tmp_path: Path) -> None:
    """Memory is compared between the first third and the end: what is kept per call would show as tens of MB."""
    with Desk(every) as desk:
        seen = anyio.run(survived, desk, secrets_of(tmp_path), 10_000, 11)
    assert seen["refused"] + seen["taken"] == 10_000
    assert seen["grown_mb"] < 40


def test_the_generator_reaches_every_tool() -> None:
    class Listed:
        def __init__(self, name: str) -> None:
            self.name, self.input_schema = name, {"properties": {"image_id": {"type": "string"}}}

    drawn = {name for name, _ in calls([Listed(entry.name) for entry in TOOLS], [], count=400, seed=1)}
    assert drawn == {entry.name for entry in TOOLS}
