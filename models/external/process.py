"""Our side of an engine's own process: started on first use, resident, watched, killed when it must be. Torch-free."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from ..interface import Cancelled
from .private import PrivateFolder, scrubbed
from .refusals import CODES, refusal
from .watch import Watch, below

log = logging.getLogger(__name__)

HOST = Path(__file__).parent / "hosted" / "host.py"
ENDS_S = 0.4  # for a process to end what it started and itself, before it is killed; with KILL_AFTER_S less than the worker has
MOST_LINE = 1 << 20  # bytes
MOST_LOG = 16 << 20
_EVENTS = {"hello": ("network",), "progress": ("id", "share", "message"), "done": ("id",), "stopped": ("id",),
           "refused": ("id", "code", "text")}  # fmt: skip
KILL_AFTER_S = 1.0  # after a cancel; the worker that holds us is itself killed after 1.5 s
START_S = 180.0  # interpreters of slow disks import torch for a minute
_POLL_S = 0.05


class EngineProcess:
    """One engine's process and the private folder it works in.

    Args:
        name: of the engine, for words.
        adapter: file of `hosted/` without its ending.
        python: interpreter; "" for ours.
        memory_mb: ceiling of the process and what it starts.
        network: the process keeps the network.
        environment: what the adapter needs beside a scrubbed one.
        cancelled: asked while it starts.
    """

    def __init__(
        self,
        name: str,
        adapter: str,
        *,
        python: str = "",
        memory_mb: int = 0,
        threads: int | None = None,
        network: bool = False,
        environment: Mapping[str, str] | None = None,
        data_limit: bool = True,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name, self.memory_mb = name, memory_mb
        self.folder = PrivateFolder()
        self.network = ""
        self._left = b""
        self._number = 0
        ours, theirs = socket.socketpair()
        settings = {"adapter": adapter, "network": network, "memory_mb": memory_mb if data_limit else 0,
                    "folder": str(self.folder.path)}  # fmt: skip
        self._log = (self.folder.path / "log").open("ab")
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, "-I", "-B", str(HOST), str(theirs.fileno()), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                cwd=self.folder.home,
                env=scrubbed(self.folder, threads, environment or {}),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._log.close()
            self.folder.delete()
            raise refusal("engine_missing", f"The Python of '{name}' cannot be started ({error.strerror}). "
                          "Say which with `engines add --python`.") from None  # fmt: skip
        finally:
            theirs.close()
        self._socket = ours
        try:
            hello = self._await(0, lambda share, message: None, cancelled, limit_s=START_S)
        except BaseException:
            self.close()
            raise
        self.network = str(hello["network"])

    @property
    def pid(self) -> int:
        """Process number, which is its group's."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(
        self,
        operation: str,
        progress: Callable[[float, str], None] = lambda share, message: None,
        cancelled: Callable[[], bool] = lambda: False,
        **arguments: Any,
    ) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            Cancelled: `cancelled` answered True; the engine stopped, or was killed.
            OstensorError: the engine refused, crashed, hung or used too much memory.
        """
        self._number += 1
        with contextlib.suppress(OSError):  # a process that is gone is noticed below
            self._socket.sendall(json.dumps({"op": operation, "id": self._number, **arguments}).encode() + b"\n")
        return self._await(self._number, progress, cancelled)

    def _trim_log(self) -> None:
        """Forget what the engine has said once it is much."""
        with contextlib.suppress(OSError, ValueError):
            if os.fstat(self._log.fileno()).st_size > MOST_LOG:
                self._log.truncate(0)

    def close(self) -> None:
        """End the process and everything it started, and delete its folder."""
        if self._log.closed:
            return
        started = below(self._process.pid)
        self._socket.close()  # upon which it ends everything it started, and itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for one in started:
            with contextlib.suppress(psutil.Error):
                one.kill()
        self._process.wait()
        self._log.close()
        self.folder.delete()

    def _await(
        self, number: int, progress: Callable[[float, str], None], cancelled: Callable[[], bool], limit_s: float = 0.0
    ) -> dict[str, Any]:
        watch, asked_to_stop, started = Watch(self.name, self._process.pid, self.memory_mb), 0.0, time.monotonic()
        while True:
            message = self._message()
            now = time.monotonic()
            if not asked_to_stop and cancelled():
                asked_to_stop = now
                with contextlib.suppress(OSError):
                    self._socket.sendall(json.dumps({"op": "cancel", "id": number}).encode() + b"\n")
            if message is None:
                if asked_to_stop and now - asked_to_stop > KILL_AFTER_S:
                    log.warning("the engine '%s' did not stop within %.0f s and is killed", self.name, KILL_AFTER_S)
                    self.close()
                    raise Cancelled
                self._trim_log()
                if (trouble := watch.trouble(now)) or (limit_s and now - started > limit_s):
                    self.close()
                    raise trouble or refusal("engine_hangs", f"'{self.name}' did not start within {limit_s:.0f} s.")
                continue
            watch.heard(now)
            if message.get("event") == "gone":
                self.close()
                raise (
                    Cancelled
                    if asked_to_stop
                    else refusal(
                        "engine_crashed",
                        f"The process of '{self.name}' ended in the middle of its work (crashed, or killed for want of memory). "
                        "It starts again at the next call; if it ends again, use a smaller scan.",
                    )
                )
            if message["event"] == "hello":
                return message
            if message["id"] != number:
                continue  # the late answer of a request that was called off
            if asked_to_stop and message["event"] in ("done", "refused"):
                raise Cancelled
            if message["event"] == "progress":
                progress(min(1.0, max(0.0, message["share"])), str(message["message"])[:200])
            elif message["event"] == "stopped":
                raise Cancelled
            elif message["event"] == "refused":
                if message["code"] == "engine_crashed":
                    log.warning("the engine '%s' failed", self.name)
                code = message["code"] if message["code"] in CODES else "engine_crashed"
                raise refusal(code, f"'{self.name}': {str(message['text'])[:1000]}")
            else:
                return message

    def _message(self) -> dict[str, Any] | None:
        """The next line; None when none came within the poll, `gone` when none will come."""
        while b"\n" not in self._left:
            if len(self._left) > MOST_LINE:
                return {"event": "gone"}
            ready = wait([self._socket], _POLL_S)  # by poll: `select` refuses descriptors past 1023
            if not ready:
                return None
            with contextlib.suppress(OSError):
                if received := self._socket.recv(65536):
                    self._left += received
                    continue
            return {"event": "gone"}
        line, self._left = self._left.split(b"\n", 1)
        try:
            message: dict[str, Any] = json.loads(line)
            whole = {"event": message["event"], **{key: message[key] for key in _EVENTS[message["event"]]}, **message}
            return {**whole, "share": float(whole.get("share", 0))}
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"event": "gone"}  # what speaks so is no host of ours any more
