"""Running the web application: one process or several on one port, and an end that loses no job."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from ...imaging.errors import BadCall, Unavailable
from ...observing.settings import Watching
from ...tools.desk.desk import Desk
from ..snapshots import server_here
from ..watching import end
from .app import HEADERS_BYTES, AppFactory, http_app
from .lobby import AT_ONCE, LobbyProtocol
from .settings import HttpSettings

log = logging.getLogger(__name__)

_CLOSE_S = 5  # for open answers, before the jobs are asked to end


def serve_http(desk: Desk, http: HttpSettings, watching: Watching) -> None:
    """Serve until the process is asked to stop (SIGINT, SIGTERM).

    Raises:
        Unavailable: the address is taken.
    """
    if http.workers > 1 and desk.settings.starts_ray:
        raise BadCall(
            f"--workers {desk.settings.workers} would start Ray in each of {http.workers} processes. Start one with "
            "`ray start --head` and use --workers ray://auto."
        )
    for line in desk.store.repairs:
        log.warning("%s", line)
    listening = _listening(http)
    config = serve_config(http)
    say_where(http)
    server = server_here("http")
    if http.workers == 1:
        config.app = http_app(desk, http, server)
        signal.signal(signal.SIGTERM, _leave)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            end()
        return
    factory = AppFactory(desk.settings, http, server, watching)
    config.app, config.factory, config.workers = factory, True, http.workers
    Multiprocess(config, sockets=[listening]).run()


def say_where(http: HttpSettings) -> None:
    """Tell the person at the terminal, on standard error, what to connect to."""
    processes = "1 process" if http.workers == 1 else f"{http.workers} processes"
    whom = "this machine only, no login" if http.auth == "none" else f"login by {http.auth}"
    health = http.url.removesuffix("/mcp") + "/healthz"
    sys.stderr.write(f"MCP at {http.url} ({whom}, {processes}). Health: {health}. Stop with Ctrl-C.\n")


def serve_config(http: HttpSettings) -> uvicorn.Config:
    """How uvicorn is run: what it takes of one connection, and how many of them; the application is set by the caller."""
    return uvicorn.Config(
        "",
        http=LobbyProtocol,
        loop="asyncio",  # the same with and without uvloop, which other packages may bring along
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEADERS_BYTES,
        limit_concurrency=AT_ONCE,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_CLOSE_S,
        timeout_worker_healthcheck=30,
    )


def _listening(http: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    # Named TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms for an acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((http.host, http.port))
    except OSError as error:
        made.close()
        raise Unavailable(
            f"{http.host}:{http.port} cannot be served ({error.strerror}). Choose another port."
        ) from None
    made.listen(256)
    made.set_inheritable(True)
    return made


def _leave(number: int, frame: FrameType | None) -> None:
    """uvicorn raises the signal again when it has closed down; leave in order then."""
    raise SystemExit(0)
