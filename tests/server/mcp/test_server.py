"""The server as hosts meet it: schemas, budget, annotations, resources, real processes on stdio and HTTP."""

import base64
import json
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ResourceTemplateReference

from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import DEFAULT_TOOLSETS
from ostensor.tools.registry import TOOLS

from ...toys.desks import Ask


def test_texts_are_short(ask: Ask, image_id: str) -> None:
    """DESIGN §4: at most 400 tokens, counted as characters / 4."""
    words = ["liver", "spleen", "kidneys", "urinary bladder", "pancreas", "heart", "aorta", "femora", "hip bones"]
    for tool, arguments in (
        ("segment", {"image_id": image_id, "structures": words}),
        ("find_structures", {"query": "a" * 200}),
        ("list_models", {}),
    ):
        assert len(ask(tool, **arguments).text) / 4 <= 400


def test_resources_and_completions(desk: Desk, ask: Ask, image_id: str) -> None:
    mask = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]

    async def run() -> None:
        async with Client(build_server(desk)) as client:
            for uri, key, value in (
                (f"ostensor://image/{image_id}", "masks", [mask]),
                (f"ostensor://mask/{mask}", "structure", "liver"),
                ("ostensor://model/toy-ct", "title", "toy"),
            ):
                content = (await client.read_resource(uri)).contents[0]
                assert json.loads(content.text)[key] == value
            job = desk.store.jobs()[0].job_id
            assert json.loads((await client.read_resource(f"ostensor://job/{job}")).contents[0].text)["state"] == "done"
            with pytest.raises(Exception, match="Unknown image"):
                await client.read_resource("ostensor://image/img_none")
            reference = ResourceTemplateReference(type="ref/resource", uri="ostensor://image/{image_id}")
            found = await client.complete(reference, {"name": "image_id", "value": "img_"})
            assert found.completion.values == [image_id]

    anyio.run(run)


def test_the_viewers_3d_resources_are_there_where_the_viewer_is(desk: Desk, ask: Ask, image_id: str) -> None:
    mask = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    addresses = ("ui://ostensor/solid.js", f"ostensor://image/{image_id}/solid", f"ostensor://mask/{mask}/solid")

    async def run() -> None:
        async with Client(build_server(desk)) as client:
            program, scan, bits = [(await client.read_resource(uri)).contents[0] for uri in addresses]
            assert b"ostensorSolid" in zlib.decompress(base64.b64decode(program.blob))
            assert json.loads(scan.text)["shape"] == [61, 53, 29]
            assert json.loads(bits.text)["bits"]
            for missing in ("ostensor://image/img_none/solid", "ostensor://mask/msk_none/solid"):
                with pytest.raises(Exception, match="Unknown"):
                    await client.read_resource(missing)
        with Desk(replace(desk.settings, toolsets=("core",))) as bare:
            async with Client(build_server(bare)) as client:
                with pytest.raises(Exception, match=r"solid\.js"):
                    await client.read_resource(addresses[0])

    anyio.run(run)


HEAVY = ("torch", "monai", "transformers", "sentence_transformers", "openvino", "faiss", "matplotlib")


def test_the_server_process_never_imports_a_heavy_library(tmp_path: Path) -> None:
    script = f"""
import sys, anyio
from pathlib import Path
from mcp import Client
from ostensor.tools.desk.desk import Desk
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.settings import Settings
async def main():
    with Desk(Settings(store=Path({str(tmp_path / "s")!r}), roots=(Path({str(tmp_path)!r}),))) as desk:
        async with Client(build_server(desk)) as client:
            await client.list_tools()
            await client.call_tool("list_models", {{}})
            await client.call_tool("find_structures", {{"query": "liver"}})
anyio.run(main)
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def serve_command(tmp_path: Path, root: Path) -> list[str]:
    return ["-m", "ostensor.commands", "serve", "--store", str(tmp_path / "store"), "--root", str(root)]


def test_stdio_server_in_a_process_of_its_own(tmp_path: Path, root: Path) -> None:
    async def run() -> None:
        server = StdioServerParameters(command=sys.executable, args=serve_command(tmp_path, root))
        async with Client(server) as client:
            wanted = [entry for entry in TOOLS if entry.toolset in DEFAULT_TOOLSETS and entry.ui != ("app",)]
            assert len((await client.list_tools()).tools) == len(wanted)
            opened = await client.call_tool("open_image", {"path": "ct.nii.gz"})
            assert not opened.is_error
            wrong = await client.call_tool("open_image", {"path": "none.nii.gz"})
            assert wrong.is_error

    anyio.run(run)


def test_http_server_in_a_process_of_its_own_refuses_foreign_hosts(tmp_path: Path, root: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *serve_command(tmp_path, root), "--http", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)

        async def run() -> None:
            async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                opened = await client.call_tool("open_image", {"path": "ct.nii.gz"})
                assert (opened.structured_content or {})["modality"] == "ct"
            async with httpx2.AsyncClient() as plain:
                foreign = await plain.post(f"http://127.0.0.1:{port}/mcp", json={}, headers={"Host": "evil.example"})
                assert foreign.status_code == 421

        anyio.run(run)
    finally:
        process.terminate()
        process.wait(timeout=20)
