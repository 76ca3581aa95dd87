"""A server that speaks S3, from PyPI (moto), in a process of its own."""

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .http_toys import free_port, reached


@dataclass
class S3:
    """Where it listens, and how fsspec is told."""

    port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def options(self) -> dict[str, Any]:
        """For fsspec."""
        return {"endpoint_url": f"http://127.0.0.1:{self.port}", "key": "test", "secret": "hush-s3"}

    def begin(self) -> None:
        """Start, with no bucket."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], stdout=log, stderr=log
            )
        for _ in range(600):
            if reached(self.port):
                return
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
            threading.Event().wait(0.05)
        raise AssertionError("it does not listen")

    def end(self) -> None:
        """Stop; what it held is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None


@contextmanager
def running_s3(folder: Path) -> Iterator[S3]:
    """Start one; skips with what is missing."""
    for name in ("s3fs", "moto", "flask"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: `make test-s3`")
    server = S3(free_port(), folder / "s3.log")
    server.begin()
    try:
        yield server
    finally:
        server.end()
