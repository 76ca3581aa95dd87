"""The server as hosts meet it: schemas, budget, annotations, resources, real processes on stdio and HTTP."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ResourceTemplateReference

from ostensor.tools.desk import Desk
from ostensor.tools.registry import shown
from ostensor.tools.server import build_server
from ostensor.tools.settings import DEFAULT_TOOLSETS

from .conftest import Ask


def listed(desk: Desk) -> list[dict[str, object]]:
    async def run() -> list[dict[str, object]]:
        async with Client(build_server(desk)) as client:
            tools = (await client.list_tools()).tools
            return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]

    return anyio.run(run)


def test_the_default_list_of_tools_fits_the_budget(desk: Desk) -> None:
    """DESIGN §4: at most 9,000 tokens, counted as characters / 4, for the tools models are shown.

    The viewer's own tools are kept from models by hosts that show it; elsewhere they cost little.
    """
    tools = listed(desk)
    hidden = [tool for tool in tools if tool.get("_meta", {}).get("ui", {}).get("visibility") == ["app"]]
    assert [tool["name"] for tool in hidden] == ["viewer_open", "viewer_slices", "viewer_point"]
    assert len(json.dumps([tool for tool in tools if tool not in hidden])) / 4 <= 9000
    assert len(json.dumps(hidden)) / 4 <= 700


def test_every_tool_tells_a_model_what_it_needs(desk: Desk) -> None:
    tools = listed(desk)
    assert [tool["name"] for tool in tools] == [entry.name for entry in shown(DEFAULT_TOOLSETS)]
    for tool in tools:
        assert {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} <= set(tool["annotations"])
        assert tool["inputSchema"]["additionalProperties"] is False
        assert tool["outputSchema"]["type"] == "object"
        assert f"Example: {tool['name']}(" in tool["description"]
        for name, schema in tool["inputSchema"]["properties"].items():
            assert schema.get("description"), f"{tool['name']}.{name}"
        assert not re.search(r"/home|/tmp|/work", json.dumps(tool))


def test_examples_in_descriptions_use_real_arguments(desk: Desk) -> None:
    for tool in listed(desk):
        example = re.search(rf"Example: {tool['name']}\((.*)\)", str(tool["description"]))
        assert example is not None
        used = set(re.findall(r"(\w+)=", re.sub(r"\"[^\"]*\"", "", example.group(1))))
        assert used
        assert used <= set(tool["inputSchema"]["properties"]), tool["name"]


def test_the_schemas_are_the_recorded_ones(desk: Desk) -> None:
    """A change is seen in review: run with OSTENSOR_UPDATE=1 to record the new ones."""
    path = Path(__file__).with_name("schemas.json")
    found = json.dumps(listed(desk), indent=1, sort_keys=True) + "\n"
    if os.environ.get("OSTENSOR_UPDATE"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8"), "schemas changed; OSTENSOR_UPDATE=1 records them"


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


HEAVY = ("torch", "monai", "transformers", "sentence_transformers", "openvino", "faiss", "matplotlib")


def test_the_server_process_never_imports_a_heavy_library(tmp_path: Path) -> None:
    script = f"""
import sys, anyio
from pathlib import Path
from mcp import Client
from ostensor.tools.desk import Desk
from ostensor.tools.server import build_server
from ostensor.tools.settings import Settings
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
    return ["-m", "ostensor.tools.server", "--store", str(tmp_path / "store"), "--root", str(root)]


def test_stdio_server_in_a_process_of_its_own(tmp_path: Path, root: Path) -> None:
    async def run() -> None:
        server = StdioServerParameters(command=sys.executable, args=serve_command(tmp_path, root))
        async with Client(server) as client:
            assert len((await client.list_tools()).tools) == len(shown(DEFAULT_TOOLSETS))
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
