"""The program of an engine's process: loads one adapter, answers one request at a time, stops when told.

Started as `python -I host.py DESCRIPTOR` with JSON lines over that socket; voxels are `.npy` files in a private folder.
Standard library and numpy only: the interpreter is the engine's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import queue
import resource
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_CHILD_SUBREAPER = 36
GIVEN_UP_S = 2.0  # on what cannot be killed, such as a program of another user
ENDS_S = 0.3  # for children that are asked to end, before they are killed; a container's client ends its container then


class Refused(Exception):
    """The adapter cannot do it, and knows why.

    Args:
        code: one of the codes of `models.external.refusals`.
        text: what is wrong and what to do, fit for the user.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Stopped(BaseException):
    """The run was called off; no `Exception`, so that no library of the engine takes it for a reason to try again."""


class Line:
    """The socket to whoever started us."""

    def __init__(self, descriptor: int, folder: str = "") -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._folder = folder
        self._lock = threading.Lock()
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.called_off: set[int] = set()
        self.running = 0

    def send(self, **message: Any) -> None:
        """One line; that nobody listens any more is for `listen` to notice, which then ends everything."""
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def listen(self) -> None:
        """Take requests until the other side is gone, then end everything this process started, its folder and itself."""
        left = b""
        with contextlib.suppress(OSError):
            while received := self._socket.recv(65536):
                *lines, left = (left + received).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if message["op"] == "cancel":
                        self.called_off.add(message["id"])
                    else:
                        self.requests.put(message)
        end_children()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)  # whoever made it may have been killed
        os.killpg(0, signal.SIGKILL)

    def tell(self, share: float, message: str = "") -> None:
        """How far the running request is, 0 to 1; the way out of it once it was called off."""
        self.stop_if_called_off()
        self.send(event="progress", id=self.running, share=min(1.0, max(0.0, share)), message=message)

    def stop_if_called_off(self) -> None:
        """Raise `Stopped` once the running request was called off."""
        if self.is_called_off():
            raise Stopped

    def is_called_off(self) -> bool:
        """Whether the running request was called off."""
        return self.running in self.called_off


def cut_network() -> str:
    """Take the network away: by a namespace of our own where the system allows one, and in Python in any case.

    Returns:
        "namespace" or "refused sockets".
    """
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", lambda flags: -1)  # Linux has it
    user, group = os.getuid(), os.getgid()
    own = unshare(CLONE_NEWNET) == 0
    if not own and unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        own = True
        with contextlib.suppress(OSError):
            for file, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                with Path(f"/proc/self/{file}").open("w", encoding="ascii") as kernel:
                    kernel.write(text)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.bind") and arguments[0].family != socket.AF_UNIX:
            raise OSError("engines have no network here")
        if event == "socket.getaddrinfo":
            raise OSError("engines have no network here")

    sys.addaudithook(refuse)
    return "namespace" if own else "refused sockets"


def adopt_orphans() -> None:
    """Let what a child leaves behind become ours, not init's, so that it is found when everything is to end."""
    with contextlib.suppress(AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """Ask everything below this process to end, and kill what does not, whatever session it moved to."""
    asked_until = time.monotonic() + ENDS_S
    asked = set[int]()
    while (below := children()) and time.monotonic() < asked_until + GIVEN_UP_S:
        late = time.monotonic() > asked_until
        for pid in below if late else below - asked:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        asked |= below
        time.sleep(0.01)


def children() -> set[int]:
    """Numbers of the processes below this one that have not ended."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_bytes().rpartition(b")")[2].split()[:2]
            if state not in (b"Z", b"X"):
                parents[int(path.parent.name)] = int(parent)
    found, looked_at = set[int](), {os.getpid()}
    while looked_at:
        looked_at = {pid for pid, parent in parents.items() if parent in looked_at} - found
        found |= looked_at
    return found


def limit_memory(memory_mb: int) -> None:
    """Let allocations beyond the ceiling fail in this process and its children; 0 sets none."""
    if memory_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))


def serve(line: Line, adapter: Any) -> None:
    """Answer requests in the order they come, until the line breaks or somebody ends the process."""
    operations: Mapping[str, Callable[[dict[str, Any], Line], dict[str, Any]]] = {
        "describe": adapter.describe,
        "load": adapter.load,
        "run": adapter.run,
    }
    while True:
        request = line.requests.get()
        line.running = request["id"]
        try:
            answer = operations[request["op"]](request, line)
            line.send(event="done", id=request["id"], **answer)
        except Stopped:
            line.send(event="stopped", id=request["id"])
        except Refused as refused:
            line.send(event="refused", id=request["id"], code=refused.code, text=refused.text)
        except BaseException as error:  # whatever the engine raises; its words may name a patient, so they stay here
            traceback.print_exc()
            if line.is_called_off():  # the way out through somebody else's handler
                line.send(event="stopped", id=request["id"])
            else:
                line.send(event="refused", id=request["id"], **told(error))


def told(error: BaseException) -> dict[str, str]:
    """A code and words for what an engine raised."""
    words = str(error)
    if isinstance(error, SystemExit):  # libraries that call sys.exit where they mean an error, often with words
        status = f" with status {error.code}" if isinstance(error.code, int) else ""
        return {"code": "engine_crashed", "text": f"The engine wanted to end{status}."}
    if isinstance(error, MemoryError) or "not enough memory" in words or "out of memory" in words.lower():
        return {"code": "engine_out_of_memory", "text": "The engine ran out of memory."}
    if "torchvision::nms" in words or ("torchvision" in words and "operator" in words):
        return {
            "code": "engine_conflict",
            "text": "The engine's environment has a torchvision that was built for another torch, and something imports it. "
            "Install the torchvision that belongs to its torch (the same build: CPU or CUDA), or remove torchvision.",
        }
    if isinstance(error, ModuleNotFoundError):
        return {"code": "engine_missing", "text": f"The engine's Python has no package '{error.name}'."}
    return {"code": "engine_crashed", "text": f"The engine failed ({type(error).__name__})."}


def main() -> None:
    """The process: settle in, load the adapter's file, serve."""
    settings = json.loads(sys.argv[2])
    line = Line(int(sys.argv[1]), settings.get("folder", ""))
    adopt_orphans()
    network = "allowed" if settings.get("network") else cut_network()
    if network == "refused sockets" and settings["adapter"] == "run_command":
        network = "not cut"  # what a program of its own does is not ours to refuse
    limit_memory(settings.get("memory_mb", 0))
    threading.Thread(target=line.listen, daemon=True).start()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.modules["engine_host"] = sys.modules["__main__"]  # adapters find Refused here
    adapter = importlib.import_module(settings["adapter"]).Adapter()
    line.send(event="hello", pid=os.getpid(), network=network, python=sys.version.split()[0])
    serve(line, adapter)


if __name__ == "__main__":
    main()
