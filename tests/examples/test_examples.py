"""Every example runs as its reader would run it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from ostensor.imaging.files import write_volume
from ostensor.imaging.phantoms import torso_ct
from ostensor.tools.desk.settings import DEFAULT_TOOLSETS
from ostensor.tools.registry import TOOLS

from .. import node_packages

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HOSTS = sorted([*(EXAMPLES / "hosts").glob("*.json"), *(EXAMPLES / "hosts").glob("*.toml")])


def run(script: str, *words: str, cwd: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *words], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_mcp_client_example(tmp_path: Path) -> None:
    phantom = torso_ct(spacing_mm=(4.0, 4.0, 4.0))
    write_volume(tmp_path / "torso.nii.gz", phantom.volume.array, phantom.volume.grid, synthetic=True)
    said = run("mcp_client.py", "torso.nii.gz", "hip bones", "prostate", cwd=tmp_path)
    assert "tools: open_image, " in said
    assert "hip bones: present" in said
    assert "prostate: unsupported" in said
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_the_python_example(tmp_path: Path) -> None:
    said = run("python_tools.py", str(tmp_path), cwd=tmp_path)
    found = [
        line for line in said.splitlines() if line.startswith(("hip bones: ", "femora: ")) and line.endswith(" ml")
    ]
    assert len(found) == 2
    assert any(line.startswith("ratio ") and "first volume / second volume" in line for line in said.splitlines())
    assert "1 scan: 1 done, 0 failed." in said


def test_the_typescript_client_example(tmp_path: Path) -> None:
    """The script is copied beside the installed packages, as `npm install` would leave it."""
    node_packages.package("@modelcontextprotocol/client")
    (tmp_path / "node_modules").symlink_to(node_packages.HOME / "node_modules")
    script = tmp_path / "mcp_client.ts"
    script.write_bytes((EXAMPLES / "mcp_client.ts").read_bytes())
    scans = tmp_path / "scans"
    scans.mkdir()
    phantom = torso_ct(spacing_mm=(4.0, 4.0, 4.0))
    write_volume(scans / "torso.nii.gz", phantom.volume.array, phantom.volume.grid, synthetic=True)
    command = str(Path(sys.executable).with_name("ostensor"))
    words = (str(script), command, str(scans), "torso.nii.gz", "hip bones", "prostate")
    done = node_packages.run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tools: open_image, " in done.stdout
    assert "  hip bones: present, " in done.stdout
    assert "  prostate: unsupported, no ml, no mask" in done.stdout


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
def test_a_hosts_configuration_starts_the_server(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    (servers,) = values.values()
    entry = servers["ostensor"]
    words = [str(tmp_path) if word == "SCANS" else word for word in entry["args"]]
    command = str(Path(sys.executable).with_name(entry["command"]))

    async def listed() -> int:
        server = StdioServerParameters(command=command, args=[*words, "--store", str(tmp_path / "store")])
        async with Client(server) as client:
            return len((await client.list_tools()).tools)

    assert anyio.run(listed) == sum(e.toolset in DEFAULT_TOOLSETS and e.ui != ("app",) for e in TOOLS)


def test_the_ask_example(tmp_path: Path) -> None:
    phantom = torso_ct(spacing_mm=(4.0, 4.0, 4.0))
    write_volume(tmp_path / "torso.nii.gz", phantom.volume.array, phantom.volume.grid, synthetic=True)
    said = run("ask.py", "torso.nii.gz", "Segment the hip bones", cwd=tmp_path)
    assert "segment({" in said
    assert "right hip bone is present" in said
    assert "['call_0_" in said
