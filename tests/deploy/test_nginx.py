"""nginx as deploy/ sets it up, before a server with toy models: what passes, what does not exist, and that nothing waits.

Addresses, certificate and folder are of the test; every other line is the shipped one.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from ostensor.server.http.tokens import TokenFile
from ostensor.tools.desk.desk import Desk

from ..tools.desk.test_jobs import until
from ..toys.desks import save, toy_scan
from ..toys.http_toys import Site, free_port, reached, scan_bytes, served

NGINX = Path(__file__).resolve().parents[2] / "deploy/base/nginx"
PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
HOST = "scans.example.org"
pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="needs nginx: `make nginx` (Debian's)")


@dataclass(frozen=True)
class Doors:
    """Ports of nginx: outside (TLS or plain) and the inner one."""

    scheme: str
    outer: int
    inner: int
    folder: Path
    more: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx2.Response:
        headers = {
            "Host": HOST,
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **options.pop("headers", {}),
        }
        url = f"{self.scheme}://127.0.0.1:{self.outer}{path}"
        with httpx2.Client(verify=False, timeout=60) as client:
            return client.request(method, url, headers=headers, extensions={"sni_hostname": HOST}, **options)


def written(folder: Path, door: str, server: int) -> Doors:
    """The configuration with addresses of the test."""
    outer, inner = free_port(), free_port()
    for name, source in {"nginx.conf": "nginx.conf", "proxy.conf": "proxy.conf", "door.conf": door}.items():
        text = (NGINX / source).read_text(encoding="utf-8")
        text = re.sub(r"listen (8443|8080)", f"listen 127.0.0.1:{outer}", text)
        text = text.replace("listen 9465", f"listen 127.0.0.1:{inner}").replace("127.0.0.1:8765", f"127.0.0.1:{server}")
        text = re.sub(r"/run/secrets/|/tmp/|/dev/(?=std)", f"{folder}/", text)
        if name == "proxy.conf":  # the server's own header would do it, too; here the shipped line must
            text += "proxy_ignore_headers X-Accel-Buffering;\n"
        (folder / name).write_text(text, encoding="utf-8")
    if door == "tls.conf":
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}"]
        keys = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
        subprocess.run([*words, *keys], check=True, capture_output=True)
    return Doors("https" if door == "tls.conf" else "http", outer, inner, folder)


@contextmanager
def running(doors: Doors) -> Iterator[None]:
    words = [PROGRAM, "-c", str(doors.folder / "nginx.conf"), "-p", str(doors.folder), "-g", "daemon off;"]
    tried = subprocess.run([*words[:5], "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    warned = [
        line for line in tried.stderr.splitlines() if "warn" in line and "protocol" not in line and '"user"' not in line
    ]
    assert warned == []
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        until(lambda: reached(doors.outer), 10)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(params=["tls.conf", "plain.conf"])
def site(request: pytest.FixtureRequest, desk: Desk, tmp_path: Path) -> Iterator[tuple[Site, Doors, str]]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    folder.chmod(0o755)
    token = TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)
    public = f"https://{HOST}/mcp"
    with served(desk, auth="tokens", public_url=public, metrics=True) as made:
        doors = written(folder, request.param, made.port)
        with running(doors):
            yield made, doors, token


def test_what_callers_may_reach_passes_and_nothing_else_exists(site: tuple[Site, Doors, str]) -> None:
    _, doors, token = site
    assert "MCP server" in doors.ask("GET", "/").text
    sent = doors.ask("POST", "/upload", token, content=scan_bytes(), params={"name": "a.nii.gz"})
    assert sent.status_code == 201, sent.text
    assert doors.ask("GET", f"/files/{sent.json()['path']}", token).status_code == 200
    assert doors.ask("DELETE", f"/images/{sent.json()['image_id']}", token).status_code in (200, 204)
    assert doors.ask("POST", "/mcp", json={}).status_code == 401
    for path in (
        "/metrics",
        "/status",
        "/healthz",
        "/metrics/",
        "//metrics",
        "/files/../metrics",
        "/mcp/../status",
        "/x",
    ):
        assert doors.ask("GET", path, token).status_code in (400, 401, 404), path
        assert "ostensor_" not in doors.ask("GET", path, token).text, path


def test_figures_and_health_are_on_the_inner_port(site: tuple[Site, Doors, str]) -> None:
    _, doors, _ = site
    inner = f"http://127.0.0.1:{doors.inner}"
    assert "ostensor_calls_total" in httpx2.get(f"{inner}/metrics").text
    assert httpx2.get(f"{inner}/healthz").json()["status"] == "ok"
    assert httpx2.get(f"{inner}/status").json()["processes"]
    assert httpx2.get(f"{inner}/mcp").status_code == 404


def test_progress_arrives_while_the_work_goes_on(site: tuple[Site, Doors, str], root: Path) -> None:
    """A buffering proxy would bring it with the answer."""
    _, doors, token = site
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    array[0, 0, 0] = 3000  # the toy looks at such a scan for ten seconds
    data = save(root / "slow.nii.gz", array).read_bytes()
    image = doors.ask("POST", "/upload", token, content=data, params={"name": "slow.nii.gz"}).json()["image_id"]
    told: list[float] = []
    began = time.monotonic()

    async def heard(share: float, total: float | None, message: str | None) -> None:
        told.append(time.monotonic() - began)

    async def segment() -> float:
        headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        url = f"{doors.scheme}://127.0.0.1:{doors.outer}/mcp"

        async def named(request: httpx2.Request) -> None:
            request.extensions["sni_hostname"] = HOST

        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=False, event_hooks={"request": [named]}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            given = {"image_id": image, "structures": ["liver"], "wait_s": 30}
            answer = await client.call_tool("segment", given, progress_callback=heard)
            assert not answer.is_error
        return time.monotonic() - began

    took = anyio.run(segment)
    assert len(told) > 3
    assert told[0] < took / 2, "the first came long before the answer"


def test_too_much_is_refused_at_the_door(site: tuple[Site, Doors, str]) -> None:
    _, doors, token = site
    assert doors.ask("POST", "/mcp", token, content=b"x" * 6_000_000).status_code == 413


def test_the_log_of_the_door_names_no_file_and_no_token(site: tuple[Site, Doors, str]) -> None:
    _, doors, token = site
    doors.ask("GET", "/files/doe_jane.nii.gz", token, params={"name": "doe"})
    until(lambda: (doors.folder / "stdout").exists() and "GET" in (doors.folder / "stdout").read_text())
    said = (doors.folder / "stdout").read_text()
    assert "doe" not in said
    assert token not in said


def test_another_name_gets_no_certificate(site: tuple[Site, Doors, str]) -> None:
    _, doors, _ = site
    if doors.scheme == "http":
        assert doors.ask("GET", "/", headers={"Host": "evil.example"}).status_code == 421, "the server refuses it"
        return
    with httpx2.Client(verify=False) as client, pytest.raises(httpx2.ConnectError):
        client.get(f"https://127.0.0.1:{doors.outer}/", extensions={"sni_hostname": "evil.example"})
