"""Many clients that do everything at once: what they wait for, what goes wrong, and whether memory stays flat."""

from __future__ import annotations

import math
import random
import re
import statistics
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
from mcp import Client

from ...imaging.files import write_volume
from ...imaging.phantoms import torso_ct
from ..machine import described
from .side import side_process

_SCANS = 4  # different bodies that the clients share
_LOOK_S = 2.0  # between two looks at the memory
# What a server may say to more than it can do, and to whom it says it: no error.
_HONEST = re.compile(r"jobs are waiting|no memory for|There is no room|Too many requests|waited too long")
_REFUSED = (413, 429, 503)


@dataclass
class Seen:
    """What the clients met.

    Attributes:
        took: seconds of each kind of call.
        refused: honest refusals by kind of call.
        wrong: anything else that was no answer.
        memory: bytes of the server and its workers, over time.
    """

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def run(*, clients: list[int], seconds: float) -> str:
    """A table with a row for each number of clients."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number in range(_SCANS):
            made = torso_ct(spacing_mm=(5.0, 5.0, 5.0), seed=number)
            write_volume(folder / f"torso{number}.nii.gz", made.volume.array, made.volume.grid, synthetic=False)
        rows = []
        with side_process("ours", folder) as (url, pid):
            anyio.run(_warmed, url)
            for count in clients:
                rows += _rows(count, seconds, anyio.run(_crowd, url, pid, folder, count, seconds))
    head = ["clients", "calls", "calls/s", "p50 s", "p95 s", "p99 s", "refused", "errors", "memory at start, end (MB)"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows]
    return "\n".join(
        [
            f"`ostensor bench load`, {seconds:g} s for each row; {described()}. Clients and server share the machine.",
            "",
            *lines,
        ]
    )


async def _warmed(url: str) -> None:
    """Load the networks, so that the first row is no start-up."""
    async with Client(url) as client:
        await _segment(client, "torso0.nii.gz")


async def _crowd(url: str, pid: int, folder: Path, count: int, seconds: float) -> Seen:
    seen = Seen()
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, pid, seen)
        with anyio.move_on_after(seconds + 120):
            async with anyio.create_task_group() as crowd:
                for number in range(count):
                    crowd.start_soon(_client, url, folder, seen, anyio.current_time() + seconds, number)
        group.cancel_scope.cancel()
    return seen


async def _watch(pid: int, seen: Seen) -> None:
    process = psutil.Process(pid)
    while True:
        family = [process, *process.children(recursive=True)]
        seen.memory.append(sum(one.memory_info().rss for one in family if one.is_running()))
        await anyio.sleep(_LOOK_S)


async def _client(url: str, folder: Path, seen: Seen, until: float, number: int) -> None:
    """One client that goes on until the time is up; each kind of call as often as people make it."""
    draw = random.Random(number)
    address = url.removesuffix("/mcp")
    try:
        async with httpx2.AsyncClient(timeout=120) as http, Client(url) as client:
            while anyio.current_time() < until:
                scan = f"torso{draw.randrange(_SCANS)}.nii.gz"
                image = await _timed(seen, "open_image", client, {"path": scan})
                if image is None:
                    continue
                found = await _timed(
                    seen,
                    "segment",
                    client,
                    {"image_id": image["image_id"], "structures": ["liver", "spleen"], "wait_s": 60},
                )
                masks = [row["mask_id"] for row in (found or {}).get("masks", []) if row["mask_id"]]
                if masks:
                    await _timed(seen, "measure", client, {"mask_ids": masks, "what": ["volume", "diameters"]})
                await _timed(seen, "render", client, {"image_id": image["image_id"], "mask_ids": masks})
                await _upload(seen, http, address, folder / scan, number)
    except Exception as error:  # outer loop of a client: any failure is what is counted
        seen.wrong.append(repr(error)[:300])


async def _segment(client: Client, scan: str) -> None:
    image = (await client.call_tool("open_image", {"path": scan})).structured_content or {}
    given = {"image_id": image["image_id"], "structures": ["liver", "spleen"], "wait_s": 120}
    await client.call_tool("segment", given)


async def _timed(seen: Seen, tool: str, client: Client, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, or None when it was refused."""
    started = anyio.current_time()
    answer = await client.call_tool(tool, arguments)
    seen.took[tool].append(anyio.current_time() - started)
    if not answer.is_error:
        return answer.structured_content or {}
    said = str(answer.content)
    if _HONEST.search(said):
        seen.refused[tool] += 1
    else:
        seen.wrong.append(f"{tool}: {said[:300]}")
    return None


async def _upload(seen: Seen, http: httpx2.AsyncClient, address: str, scan: Path, number: int) -> None:
    """Send a scan under a name of one's own; it is read, hashed, opened, and deleted again."""
    started = anyio.current_time()
    content = await anyio.Path(scan).read_bytes()
    sent = await http.post(f"{address}/upload", params={"name": f"c{number}.nii.gz", "modality": "ct"}, content=content)
    seen.took["upload"].append(anyio.current_time() - started)
    if sent.status_code == 201:
        await http.delete(f"{address}/files/{sent.json()['path']}")
    elif sent.status_code in _REFUSED:
        seen.refused["upload"] += 1
    else:
        seen.wrong.append(f"upload: {sent.status_code} {sent.text[:200]}")


def _rows(count: int, seconds: float, seen: Seen) -> list[str]:
    every = sorted(one for took in seen.took.values() for one in took)
    quarter = max(1, len(seen.memory) // 4)
    begin, end = (statistics.median(part) / 1e6 for part in (seen.memory[:quarter], seen.memory[-quarter:]))
    rows = [
        f"| {count} | {len(every)} | {len(every) / seconds:.1f} | {_three(every)} | {sum(seen.refused.values())} | "
        f"{len(seen.wrong)} | {begin:.0f}, {end:.0f} |"
    ]
    rows += [
        f"| {tool} | {len(took)} | | {_three(sorted(took))} | {seen.refused[tool]} | | |"
        for tool, took in seen.took.items()
    ]
    return rows + [f"| error | {text} | | | | | | | |" for text in sorted(set(seen.wrong))[:5]]


def _three(took: list[float]) -> str:
    if not took:
        return "- | - | -"
    return " | ".join(f"{took[max(0, math.ceil(share * len(took)) - 1)]:.2f}" for share in (0.5, 0.95, 0.99))
