"""Clients that connect and say nothing, or begin and do not go on: others are served meanwhile."""

import socket
from contextlib import ExitStack

import pytest

from ostensor.server.http.lobby import LobbyProtocol
from ostensor.tools.desk.desk import Desk

from ..tools.desk.test_jobs import until
from ..toys.http_toys import Site, served


def connected(site: Site, held: ExitStack, first: bytes = b"") -> socket.socket:
    wire = held.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=30))
    if first:
        wire.sendall(first)
    return wire


def answered(wire: socket.socket) -> bytes:
    """The whole answer: its head and its body may come apart."""
    got = b""
    while b"}" not in got:
        piece = wire.recv(4096)
        assert piece, "the connection was closed"
        got += piece
    return got


def is_closed(wire: socket.socket) -> bool:
    wire.settimeout(0.05)
    try:
        return wire.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_six_hundred_silent_connections_lock_nobody_out(site: Site, token: str) -> None:
    with ExitStack() as held:
        for number in range(600):
            connected(site, held, b"POST /mcp HT" if number % 2 else b"")
            if number % 100 == 99:
                assert site.request("GET", "/healthz").status_code == 200
        assert not site.ask(token, "list_models").is_error


def test_who_never_finishes_a_header_is_sent_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LobbyProtocol, "header_s", 0.5)
    with ExitStack() as held:
        silent = connected(site, held)
        dripping = connected(site, held, b"GET /healthz HTTP/1.1\r\nHost: ")
        until(lambda: is_closed(silent))

        def drip() -> bool:
            try:
                dripping.sendall(b"a")
            except OSError:
                return True
            return is_closed(dripping)

        until(drip)


def test_who_never_finishes_a_body_is_sent_away(site: Site, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LobbyProtocol, "body_s", 0.5)
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: 5000\r\n\r\n{"
    )
    with ExitStack() as held:
        wire = connected(site, held, head.encode())
        until(lambda: is_closed(wire))
    assert not site.ask(token, "list_models").is_error


def test_a_signed_in_connection_keeps_its_place(desk: Desk, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LobbyProtocol, "at_once", 40)
    monkeypatch.setattr(LobbyProtocol, "reserved", 20)
    with served(desk, auth="tokens") as site, ExitStack() as held:
        ask = (
            f"GET /files/none HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        ours = connected(site, held, ask)
        assert answered(ours).startswith(b"HTTP/1.1 404")
        crowd = [connected(site, held) for _ in range(100)]
        until(lambda: sum(is_closed(wire) for wire in crowd) >= 80)
        ours.settimeout(30)
        ours.sendall(ask)
        assert answered(ours).startswith(b"HTTP/1.1 404"), (
            "the same connection, while strangers made room for each other"
        )


def test_one_address_holds_a_part_of_the_places(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is not counted, for it may be a proxy; here it is taken for somebody far away."""
    monkeypatch.setattr(LobbyProtocol, "per_address", 5)
    monkeypatch.setattr("ostensor.server.http.lobby._is_this_machine", lambda address: False)
    with served(desk, auth="tokens") as site, ExitStack() as held:
        crowd = [connected(site, held) for _ in range(20)]
        until(lambda: sum(is_closed(wire) for wire in crowd) == 15)
