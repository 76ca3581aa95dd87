"""Three servers over one PostgreSQL and one place for arrays, each with a folder and, where allowed, processes of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ostensor.server.http.settings import HttpSettings
from ostensor.server.http.tokens import TokenFile

from .desks import HERE, save
from .http_toys import Site, free_port, reached
from .postgres import Postgres

APART = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
SLOW = 3000  # the toy looks at such a scan for ten seconds


@dataclass
class Server:
    """One of them, as on a machine of its own: others cannot tell by process numbers whether it lives."""

    folder: Path
    site: Site
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """As when its machine loses power."""
        for one in psutil.Process(self.process.pid).children(recursive=True):
            one.send_signal(signal.SIGKILL)
        self.process.kill()
        self.process.wait(timeout=30)

    def said(self) -> str:
        """Its log."""
        return (self.folder / "log.txt").read_text(encoding="utf-8")


@dataclass
class Three:
    """The servers, what they share, and a caller's token that all of them know.

    Attributes:
        are_apart: they run in process namespaces of their own.
    """

    servers: list[Server]
    catalogue: str
    arrays: Path
    root: Path
    token: str
    others_token: str
    are_apart: bool
    postgres: Postgres
    begun: Callable[[int], Server] = field(repr=False)

    def ask(self, number: int, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool's result at one of them."""
        answer = self.servers[number].site.ask(self.token, tool, **arguments)
        assert not answer.is_error, answer.content[0].text
        return dict(answer.structured_content)


@contextmanager
def three_servers(postgres: Postgres, folder: Path, **settings: Any) -> Iterator[Three]:
    """All three begin at the same moment, on an empty database."""
    root, arrays = folder / "scans", folder / "arrays"
    root.mkdir(parents=True)
    arrays.mkdir()
    array = np.full((61, 53, 29), -1000, np.int16)
    array[3:58, 3:50, :] = 40
    array[8:25, 10:30, 5:17] = 100  # the toy's liver
    save(root / "ct.nii.gz", array)
    array[0, 0, 0] = SLOW
    save(root / "slow.nii.gz", array)
    for number in range(3):
        place = folder / f"server{number}"
        place.mkdir(mode=0o700)
        if number:
            shutil.copy(folder / "server0" / "tokens.json", place)
        else:
            token, others = (TokenFile(place).add(name, toolsets=["core"], days=1) for name in ("ada", "ben"))
    are_apart = subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    catalogue = postgres.database()
    shared = json.dumps({"catalogue": catalogue, "arrays": f"file://{arrays}"})
    given = {"auth": "tokens", "shared_roots": [str(root)], "drain_s": 0.5, **settings}

    def begin(number: int) -> Server:
        place, port = folder / f"server{number}", free_port()
        program = [sys.executable, str(HERE / "serve_toys.py"), str(HERE), str(place), str(root), str(port)]
        with (place / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [*(APART if are_apart else ()), *program, json.dumps(given), shared],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stderr=log,
            )
        return Server(place, Site(port, HttpSettings(port=port)), process)

    servers = [begin(number) for number in range(3)]
    with ExitStack() as stack:
        stack.callback(lambda: [one.kill() for one in servers if one.process.poll() is None])
        for one in servers:
            wait_for(one)
        yield Three(servers, catalogue, arrays, root, token, others, are_apart, postgres, begin)


def wait_for(server: Server) -> None:
    """Until it accepts connections."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if reached(server.site.port):
            return
        assert server.process.poll() is None, server.said()
        threading.Event().wait(0.05)
    raise AssertionError(f"it does not listen: {server.said()}")
