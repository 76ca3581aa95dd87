"""`/metrics` for Prometheus and `/status` for `ostensor top`: sums over the server's processes, without names of anybody."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ...imaging.errors import Unavailable
from ...observing.exposition import exposed
from ...observing.snapshots import Process, Snapshots, processes

_FRESH_S = 0.5  # figures are not read from the disk more often


def figure_routes(snapshots: Snapshots, limiter: anyio.CapacityLimiter) -> tuple[Route, ...]:
    """Both routes.

    Args:
        limiter: of the threads that read the files.
    """
    figures = _Figures(snapshots)

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        try:
            text, kind = await anyio.to_thread.run_sync(lambda: exposed(figures.read(), accept), limiter=limiter)
        except Unavailable as error:
            return PlainTextResponse(f"{error}\n", status_code=501)
        return Response(text, media_type=kind)

    async def status(request: Request) -> Response:
        found = await anyio.to_thread.run_sync(figures.read, limiter=limiter)
        return JSONResponse({"processes": [asdict(one) for one in found if one.is_at_work]})

    return Route("/metrics", metrics), Route("/status", status)


class _Figures:
    """What the server's processes wrote, or had written a moment ago."""

    def __init__(self, snapshots: Snapshots) -> None:
        self.snapshots = snapshots
        self._last: tuple[float, Sequence[Process]] = (-_FRESH_S, ())

    def read(self) -> Sequence[Process]:
        """All of them, this one's as it is now."""
        if time.monotonic() - self._last[0] >= _FRESH_S:
            self.snapshots.write(anew=True)
            found = processes(self.snapshots.folder, self.snapshots.server.pid)
            self._last = (time.monotonic(), found)
        return self._last[1]
