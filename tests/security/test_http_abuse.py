"""Raw bytes at the web server: it refuses, closes, and goes on serving others."""

import socket

import pytest

from ostensor.server.http.tokens import TokenFile
from ostensor.tools.desk.desk import Desk

from ..toys.http_toys import Site, scan_bytes


def status(site: Site, *parts: bytes) -> int:
    """Of the answer to these bytes; 0 when the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as wire:
        try:
            for part in parts:
                wire.sendall(part)
            answer = wire.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            return 0
    assert b"Traceback" not in answer
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def head(site: Site, token: str, *lines: str, path: str = "/mcp") -> bytes:
    first = (f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", f"Authorization: Bearer {token}")
    return "\r\n".join((*first, *lines, "", "")).encode("latin-1")


def test_requests_no_server_should_take(site: Site, token: str) -> None:
    for name, parts, allowed in (
        ("huge header", (head(site, token, "X-A: " + "a" * 100_000, "Content-Length: 0"),), {400, 431, 0}),
        ("many headers", (head(site, token, *(f"X-{n}: {'b' * 50}" for n in range(2000)), "Content-Length: 0"),), {400, 431, 0}),
        ("endless line", (b"GET /" + b"a" * 200_000,), {400, 414, 431, 0}),
        ("two lengths", (head(site, token, "Content-Length: 3", "Content-Length: 4") + b"abcd",), {400}),
        ("length and chunks", (head(site, token, "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n",), {400, 401, 406}),
        ("negative length", (head(site, token, "Content-Length: -1"),), {400}),
        ("no host", (b"GET /healthz HTTP/1.1\r\n\r\n",), {400, 421}),
        ("two hosts", (f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nHost: evil\r\n\r\n".encode(),), {400, 421}),
        ("absolute address", (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",), {400, 421}),
        ("no http", (b"\x16\x03\x01\x02\x00\x01\x00" * 50 + b"\r\n\r\n",), {400, 0}),
        ("null in a header", (head(site, token, "X-A: a\x00b", "Content-Length: 0"),), {400}),
    ):  # fmt: skip
        assert status(site, *parts) in allowed, name
    assert site.request("GET", "/healthz").status_code == 200
    assert not site.ask(token, "list_models").is_error


def test_an_mcp_message_has_a_limit(site: Site, token: str) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"a": "' + b"a" * (5 * 1024 * 1024) + b'"}}'
    kind = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    assert site.request("POST", "/mcp", token, content=body, headers=kind).status_code == 413
    deep = b"[" * 100_000 + b"]" * 100_000
    assert 400 <= site.request("POST", "/mcp", token, content=deep, headers=kind).status_code < 500
    for junk in (
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "2.0", "id": {}, "method": 3}',
    ):
        assert 400 <= site.request("POST", "/mcp", token, content=junk, headers=kind).status_code < 500, junk


def test_an_upload_that_stops_halfway_leaves_nothing(site: Site, token: str, desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as wire:
        wire.sendall(head(site, token, "Content-Length: 100000", path="/upload?name=ct.nii") + scan_bytes()[:5000])
    made = site.request("POST", "/upload", token, params={"name": "ct.nii", "modality": "ct"}, content=scan_bytes())
    assert made.status_code == 201
    kept = [path.name for path in (desk.store.folder / "callers").rglob("files/*")]
    assert kept == [made.json()["path"]]


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2ftokens.json",
        "%2e%2e/%2e%2e/tokens.json",
        "../../../tokens.json",
        "%00",
        "/etc/passwd",
        "..%5c..%5cx",
        "a" * 5000,
        ".",
        "",
    ],
)
def test_downloads_stay_in_the_callers_folder(site: Site, desk: Desk, token: str, path: str) -> None:
    site.request("POST", "/upload", token, params={"name": "ct.nii", "modality": "ct"}, content=scan_bytes())
    folder = next((desk.store.folder / "callers").rglob("files"))
    (folder / "leads_out").symlink_to(desk.store.folder)
    for method in ("GET", "DELETE"):
        raw = f"{method} /files/{path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        assert status(site, raw.encode()) == 404
        assert site.request(method, "/files/leads_out/tokens.json", token).status_code == 404
    assert TokenFile(desk.store.folder).tokens()
