"""A Ray of the tests' own on this machine, small and short-lived."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
TOKEN = "0123456789abcdef0123456789abcdef"  # one for all: Ray reads it once in a process, when it is loaded
STARTING_S = 90


@dataclass(frozen=True)
class Head:
    """A cluster of one node.

    Attributes:
        address: for `--workers`, by Ray's client protocol; `ray://auto` joins it, too.
        environment: what processes need that join it.
        gate: toys called "gated" are at work until this file is there.
        process: of `ray start --block`, with everything else below it.
    """

    address: str
    environment: dict[str, str]
    gate: Path
    process: psutil.Process

    def replicas(self, model: str) -> set[int]:
        """Process numbers of a model's replicas."""
        below = self.process.children(recursive=True)
        found = set()
        for one in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                if f"ServeReplica:ostensor-{model}-" in " ".join(one.cmdline()):
                    found.add(one.pid)
        return found


@contextlib.contextmanager
def ray_head(folder: Path) -> Iterator[Head]:
    """Start a node with two processors, a card that is none, and little memory; end everything it started."""
    port, client_port = _free_port(), _free_port()
    environment = {
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path]),
        "TOY_GATE": str(folder / "gate"),
    }
    driver = folder / "nvidia-smi"  # tells of a card that is none; Ray only counts it
    driver.write_text("#!/bin/sh\necho '0, 16000, GPU-1'\n", encoding="ascii")
    driver.chmod(0o755)
    words = [
        "--head", "--block", "--num-cpus=2", "--num-gpus=1", f"--memory={8_000_000_000}",
        "--include-dashboard=false", f"--port={port}", "--node-ip-address=127.0.0.1",
        f"--ray-client-server-port={client_port}", f"--object-store-memory={100_000_000}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:  # sockets have short names
        started = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *words, f"--temp-dir={short}"],
            env={**os.environ, **environment, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        process = psutil.Process(started.pid)
        try:
            _await_port(started, client_port)
            yield Head(f"ray://127.0.0.1:{client_port}", environment, folder / "gate", process)
        finally:
            left = process.children(recursive=True)
            for one in [process, *left]:  # killed, because it takes Ray 10 s to end in order
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            started.wait(10)
            psutil.wait_procs(left, timeout=10)


def _free_port() -> int:
    """A port that is free now, outside the ranges that Ray hands out."""
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
        if port > 24000:
            return port


def _await_port(started: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + STARTING_S
    while time.monotonic() < until:
        if started.poll() is not None:
            pytest.fail(f"ray start ended with {started.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.1)
    pytest.fail(f"ray start did not listen within {STARTING_S} s")
