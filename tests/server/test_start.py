"""A server starts with what every call needs, and nothing else."""

import subprocess
import sys
from pathlib import Path

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
