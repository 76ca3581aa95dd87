"""A server starts with what every call needs, and nothing else."""

import subprocess
import sys
import threading
from pathlib import Path

import anyio
from mcp import Client

from ostensor.server.mcp.server import build_server
from ostensor.server.serve import _get_ready
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

HEAVY = (
    "torch", "monai", "transformers", "sentence_transformers", "openvino", "faiss", "langchain", "nibabel", "pydicom",
    "highdicom", "SimpleITK", "scipy.ndimage", "skimage.measure", "matplotlib", "sksurv",
)  # fmt: skip


def test_importing_the_server_loads_no_library_of_a_single_tool() -> None:
    code = f"import sys, ostensor.server.mcp.server; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_list_of_tools_needs_neither_arrays_nor_the_database(tmp_path: Path) -> None:
    """What the first answer to a host does not wait for."""
    code = f"""
import sys, anyio
from pathlib import Path
from mcp import Client
from ostensor.tools.desk.desk import Desk
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.settings import Settings

async def main():
    with Desk(Settings(Path({str(tmp_path)!r}), (Path({str(tmp_path)!r}),))) as desk:
        async with Client(build_server(desk)) as client:
            print(len((await client.list_tools()).tools) > 10)

anyio.run(main)
print([name for name in ("numpy", "sqlalchemy", "ostensor.tools.registry", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]


BEFORE_A_CALL = (
    *HEAVY, "scipy", "skimage", "numpy", "pandas", "PIL", "sqlalchemy", "psutil", "ostensor.tools.registry",
    "ostensor.server.cassettes", "ostensor.server.http.app",
)  # fmt: skip
"""What `ostensor serve` loads with the first call, or never."""


def test_the_command_that_serves_loads_no_library_before_the_first_call(tmp_path: Path) -> None:
    """From the command line to the answered list, in a process of its own; only the transport is in memory."""
    code = f"""
import sys, anyio
from mcp import Client
from ostensor.commands import app
from ostensor.server import serve
from ostensor.server.mcp.server import build_server

async def listed(desk):
    async with Client(build_server(desk)) as client:
        print(len((await client.list_tools()).tools) > 10)
        print([name for name in {BEFORE_A_CALL!r} if name in sys.modules])

serve.serve = lambda desk, http, watching: anyio.run(listed, desk)
sys.argv = ["ostensor", "serve", "--store", {str(tmp_path / "store")!r}, "--root", {str(tmp_path)!r}]
app.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]


def test_a_server_gets_ready_once_its_tools_are_listed(tmp_path: Path) -> None:
    """The store opens behind the first list, so that the list does not wait for it and the first call does not either."""
    with Desk(Settings(tmp_path / "store", (tmp_path,))) as desk:
        server = build_server(desk)

        async def listed() -> tuple[bool, bool]:
            before = server.listed.is_set()
            async with Client(server) as client:
                await client.list_tools()
            return before, server.listed.is_set()

        getting_ready = threading.Thread(target=_get_ready, args=(desk, server.listed))
        getting_ready.start()
        assert desk._opened is None
        assert anyio.run(listed) == (False, True)
        getting_ready.join(timeout=60)
        assert desk._opened is not None
