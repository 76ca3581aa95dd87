"""Serving a desk: on stdio until the client leaves, over HTTP until the process is stopped."""

from __future__ import annotations

import logging
import threading
import time

from ..observing.settings import Watching
from ..tools.desk.desk import Desk
from .http.settings import HttpSettings
from .logs import log_to_stderr
from .mcp.server import build_server
from .watching import begin, end

log = logging.getLogger(__name__)

NOT_WATCHED = Watching()

_UNLISTED_S = 5.0  # a client that asks for no list must not keep jobs waiting
_ON_ITS_WAY_S = 0.02  # the list is written meanwhile, in 2 ms; beside the imports it took 15


def serve(desk: Desk, http: HttpSettings | None = None, watching: Watching = NOT_WATCHED) -> None:
    """Serve until the client leaves (stdio) or the process is stopped (HTTP).

    Args:
        http: for streamable HTTP; None for stdio.
        watching: how it tells what it does.

    Raises:
        OstensorError: the address cannot be used.
    """
    begin(watching)
    if http is not None:
        from .http.serve import serve_http

        serve_http(desk, http, watching)
        return
    server = build_server(desk)
    log_to_stderr(watching=watching)  # the library has set up its own meanwhile
    threading.Thread(target=_get_ready, args=(desk, server.listed), daemon=True, name="getting ready").start()
    server.run("stdio")
    end()


def _get_ready(desk: Desk, listed: threading.Event) -> None:
    """Once the tools are listed: load them, open the store, take up jobs an earlier server put down.

    The list comes first, because a host waits for it; what is loaded here a call would load itself.
    """
    listed.wait(_UNLISTED_S)
    time.sleep(_ON_ITS_WAY_S)
    try:
        from .resuming import resume
        from .snapshots import server_here, snapshots_of

        for line in desk.store.repairs:
            log.warning("%s", line)
        snapshots_of(desk, server_here("stdio")).start()
        resume(desk)
    except Exception:  # outer loop of the thread: the first call that needs the store says it to the client
        log.exception("the store could not be made ready")
