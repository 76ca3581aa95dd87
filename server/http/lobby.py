"""Connections before and between requests: who says nothing is sent away, so that silent ones never lock others out.

uvicorn waits for the first request of a connection as long as the client likes. Here a header must be complete within
`HEADER_S`, a body must go on within `BODY_S`, one address holds so many connections, and when all places are taken the
connection that has been silent longest makes room. Connections of signed-in callers make room last.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_S = 10.0  # from the first byte, or from the connection, to the end of a request's header
BODY_S = 30.0  # without a byte of a body that is awaited
AT_ONCE = 512  # connections
RESERVED = 128  # of them, for callers who have signed in
PER_ADDRESS = 64  # connections of one address; a proxy on this machine stands for many and is not counted
_LOOK_S = 1.0


class LobbyProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with time limits on what it waits for; the limits are read when a connection is made."""

    at_once, reserved, per_address, header_s, body_s = AT_ONCE, RESERVED, PER_ADDRESS, HEADER_S, BODY_S

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.signed_in = False
        self.heard = time.monotonic()
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A place for it, or none."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        self.heard = time.monotonic()
        if not self._has_place():
            self.transport.abort()
            return
        self._watch = self.loop.call_later(_LOOK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """No more to watch."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; only those of a body count as a sign of life on their own."""
        if (
            self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        ) or self.conn.their_state is h11.SEND_BODY:
            self.heard = time.monotonic()
        super().data_received(data)
        if self.scope is not None:
            extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
            extensions["ostensor.signed_in"] = self._sign_in

    def _sign_in(self) -> None:
        self.signed_in = True

    @property
    def is_waiting(self) -> bool:
        """True while no request is under way: nothing was sent yet, or not the whole header."""
        return self.cycle is None or self.cycle.response_complete

    def _has_place(self) -> bool:
        others: list[LobbyProtocol] = [one for one in self.connections if one is not self]  # type: ignore[misc]  # all are of this class
        address = self.client[0] if self.client else ""
        same = [one for one in others if one.client is not None and one.client[0] == address]
        if not _is_this_machine(address) and len(same) >= self.per_address and not _make_room(same):
            return False
        strangers = [one for one in others if not one.signed_in]
        if len(strangers) >= self.at_once - self.reserved and not _make_room(strangers):
            return False
        return len(others) < self.at_once - 1 or _make_room(others)

    def _look(self) -> None:
        self._watch = self.loop.call_later(_LOOK_S, self._look)
        silent_s = time.monotonic() - self.heard
        if self.is_waiting and self.timeout_keep_alive_task is None:
            if silent_s > self.header_s:
                self.transport.abort()
        elif self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused and silent_s > self.body_s:
            self.transport.abort()


def _make_room(among: Iterable[LobbyProtocol]) -> bool:
    """Send away the connection that has waited longest without a request; strangers before those signed in."""
    waiting = [one for one in among if one.is_waiting and not one.transport.is_closing()]
    if not waiting:
        return False
    gone = min(waiting, key=lambda one: (one.signed_in, one.heard))
    gone.transport.abort()
    gone.connections.discard(gone)
    return True


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True  # a socket of this machine without an address
