"""One MCP server per caller: what a caller's token may see exists in its own server, and nothing else does.

Callers with a token have a store, a folder for their files and jobs of their own, so a handle of
one is unknown to another by construction: also in completions, hints, resources and tasks. They
share the worker process and its models.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from ...imaging.guards.private import make_folder
from ...store.catalogue.together import shared_secret
from ...store.quota import Quota
from ...store.roots import Roots
from ...tools.desk.desk import Desk
from ..mcp.server import build_server
from ..resuming import resume
from .settings import HttpSettings

log = logging.getLogger(__name__)

_MOST = 64  # servers kept ready; the one that was idle longest goes first
_IDLE_S = 900.0
_OPENERS = 4  # threads that open callers' stores
_MB = 1_000_000


@dataclass
class Caller:
    """A caller's desk, folder and server.

    Attributes:
        files: where uploads and exports lie.
        quota: of everything the caller keeps; of the operator, who is asked for no token, for uploads only.
    """

    owner: str
    desk: Desk
    files: Path
    quota: Quota
    app: ASGIApp
    used: float = field(default_factory=time.monotonic)
    busy: int = 0
    leave: anyio.Event = field(default_factory=anyio.Event)

    def is_idle(self, now: float) -> bool:
        """True when nothing of it runs and nobody asked for a while."""
        return self.busy == 0 and not self.desk.jobs.busy and now - self.used > _IDLE_S


class Callers:
    """Opens callers when they first call, closes idle ones.

    Args:
        desk: the operator's desk; without authentication it is the one everybody uses.
    """

    def __init__(self, desk: Desk, http: HttpSettings, group: anyio.abc.TaskGroup) -> None:
        self.desk, self.http, self._group = desk, http, group
        self._key = (
            shared_secret(desk.store.engine, "http.key")
            if desk.settings.shared.catalogue
            else shared_key(desk.store.folder / "http.key")
        )
        self._open: dict[tuple[str, tuple[str, ...]], Caller] = {}
        self._desks: dict[str, Desk] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self._openers = anyio.CapacityLimiter(_OPENERS)

    async def local(self) -> Caller:
        """The caller when nobody is asked for a token: the operator, on this machine."""
        return await self._caller("local", self.desk.settings.toolsets)

    async def of(self, owner: str, toolsets: tuple[str, ...]) -> Caller:
        """The caller of an owner with these toolsets."""
        return await self._caller(owner, toolsets)

    async def _caller(self, owner: str, toolsets: tuple[str, ...]) -> Caller:
        self._close_idle()
        found = self._open.get((owner, toolsets))
        if found is None:
            async with self._locks.setdefault(
                owner, anyio.Lock()
            ):  # a store that opens slowly holds up its owner alone
                found = self._open.get((owner, toolsets))
                if found is None:
                    desk = await anyio.to_thread.run_sync(self._desk_of, owner, toolsets, limiter=self._openers)
                    found = await self._started(owner, desk)
                    self._open[owner, toolsets] = found
        found.used = time.monotonic()
        return found

    def _desk_of(self, owner: str, toolsets: tuple[str, ...]) -> Desk:
        """The desk; scopes of one owner share store and jobs, and see different tools."""
        first = self._desks.get(owner)
        if owner == "local":
            files = self.desk.store.folder / "uploads"
            make_folder(files)
            self.desk.roots = Roots((*self.desk.roots.folders, files))
            first = self.desk
        if first is None:
            kept = self.desk.store.folder / "callers" / owner
            files = kept / "files"
            make_folder(files)
            roots = (files, *map(Path, self.http.shared_roots))
            archives = replace(self.desk.settings.archives, shared_only=True)
            settings = replace(
                self.desk.settings,
                store=kept / "store",
                roots=roots,
                toolsets=toolsets,
                archives=archives,
                shared=self.desk.settings.shared.of_caller(owner),
            )
            first = Desk(settings, host=self.desk)
            arrays, most = first.store.arrays, self.http.quota_mb * _MB
            # Copies of shared arrays can be fetched again: they count where they are kept, once for all servers.
            first.store.quota = Quota(files, most, also=arrays.bytes_kept) if arrays.is_shared else Quota(kept, most)
        if owner not in self._desks:
            self._desks[owner] = first
            begun = resume(first)
            if begun:
                log.warning("Took up %d jobs of an earlier server.", len(begun))
        return first if first.settings.toolsets == toolsets else first.seen_with(toolsets)

    async def _started(self, owner: str, desk: Desk) -> Caller:
        folder = self.desk.store.folder
        files = folder / "uploads" if owner == "local" else folder / "callers" / owner / "files"
        quota = desk.store.quota or Quota(folder, self.http.quota_mb * _MB)
        key = hmac.digest(self._key, owner.encode(), hashlib.sha256)
        server = await anyio.to_thread.run_sync(lambda: build_server(desk, state_key=key), limiter=self._openers)
        security = TransportSecuritySettings(
            allowed_hosts=list(self.http.hosts), allowed_origins=list(self.http.origins)
        )
        # Sessions of older clients live in one process, so several processes do without them.
        app = server.streamable_http_app(stateless_http=self.http.workers > 1, transport_security=security)
        caller = Caller(owner, desk, files, quota, app)
        await self._group.start(self._running, server, caller)
        return caller

    async def _running(
        self, server: MCPServer[Any], caller: Caller, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        async with server.session_manager.run():
            task_status.started()
            await caller.leave.wait()

    def _close_idle(self) -> None:
        now = time.monotonic()
        byage = sorted(self._open.items(), key=lambda item: item[1].used)
        for place, (key, caller) in enumerate(byage):
            crowded = len(byage) - place > _MOST and caller.busy == 0 and not caller.desk.jobs.busy
            if caller.owner != "local" and (caller.is_idle(now) or crowded):
                del self._open[key]
                caller.leave.set()
                if all(owner != caller.owner for owner, _ in self._open):
                    self._desks.pop(caller.owner).close()

    async def close(self) -> None:
        """Let jobs end, put the others down for the next server, and stop."""
        for desk in self._desks.values():
            left = await anyio.to_thread.run_sync(desk.jobs.set_aside, self.http.drain_s)
            if left:
                log.warning("Put %d jobs down for the next start.", len(left))
        for caller in self._open.values():
            caller.leave.set()
        for owner, desk in self._desks.items():
            if owner != "local":
                desk.close()


def shared_key(file: Path) -> bytes:
    """32 random bytes that every process of a store shares; made once.

    A question put to a person by one process may be answered at another: both seal with this key.
    """
    if not file.exists():
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as made:
            made.write(secrets.token_bytes(32))
        try:
            os.link(temporary, file)  # fails if another process was first: its key counts
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return file.read_bytes()
