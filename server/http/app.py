"""The web application: whose request is it, may it, and then to the caller's own MCP server or files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend
from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...observing.counts import HERE
from ...observing.settings import Watching
from ...observing.snapshots import Server
from ...store.catalogue.together import Buckets
from ...tools.desk.desk import Desk
from ...tools.registry import TOOLS
from ..snapshots import server_here, snapshots_of
from ..watching import begin, end
from . import files as http_files
from .callers import Caller, Callers
from .figures import figure_routes
from .files import sweep_uploads
from .health import TICK_S, Checkup
from .limits import RateLimit
from .settings import HttpSettings
from .tokens import PREFIX, SCOPES, SIGNING_IN, JwtVerifier, TokenFile, owner_of, toolsets_of

HEADERS_BYTES = 32 * 1024  # of one request, its first line included; more is answered with 431
_PREFLIGHT_S = "600"
_ASKED = (
    b"authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name"
)
_SHOWN = b"mcp-session-id, www-authenticate, retry-after"
FileRoute = Callable[[Request, Caller], Awaitable[Response]]


def http_app(desk: Desk, http: HttpSettings, server: Server | None = None) -> Starlette:
    """The application of one server process.

    Routes: `/` (says where to go), `/mcp`, `/upload`, `/files/...`, `/images/...`, `/healthz`, where they are wanted
    `/metrics` and `/status`, and the resource's metadata (RFC 9728) with authentication by OAuth.

    Args:
        server: that this process belongs to; None for one of its own.
    """
    gate = Gate(desk, http)
    snapshots = snapshots_of(desk, server or server_here("http"))

    async def healthy(request: Request) -> Response:
        found = await anyio.to_thread.run_sync(gate.checkup.health, limiter=gate.upkeep)
        body = {"status": "ok" if found.is_well else "degraded", **asdict(found)}
        return JSONResponse(body, status_code=200 if found.is_well else 503)

    def route(path: str, handler: FileRoute, method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            async with gate.caller_of(request.scope) as caller:
                return caller if isinstance(caller, Response) else await handler(request, caller)

        return Route(path, endpoint, methods=[method])

    async def upload(request: Request, caller: Caller) -> Response:
        return await http_files.upload(request, caller, http)

    async def start(request: Request) -> Response:
        return PlainTextResponse(f"This is an MCP server. Point an MCP client at {http.url}; health is at /healthz.\n")

    routes: list[BaseRoute] = [
        Route("/", start),
        Route("/mcp", endpoint=McpEndpoint(gate)),
        route("/upload", upload, "POST"),
        route("/files/{path:path}", http_files.download, "GET"),
        route("/files/{path:path}", http_files.delete, "DELETE"),
        route("/images/{image_id}", http_files.forget, "DELETE"),
        Route("/healthz", healthy),
        *(figure_routes(snapshots, gate.upkeep) if http.metrics else ()),
    ]
    middleware = [Middleware(Guard, hosts=http.hosts, origins=http.origins)]
    verifier = verifier_of(desk, http)
    if verifier is not None:
        resource = AnyHttpUrl(http.url)
        backend = BearerAuthBackend(verifier, resource_server_url=resource)
        middleware += [Middleware(AuthenticationMiddleware, backend=backend), Middleware(AuthContextMiddleware)]
    if http.auth == "oauth":
        routes += create_protected_resource_routes(
            AnyHttpUrl(http.url), [AnyHttpUrl(http.issuer)], scopes_supported=list(SCOPES), resource_name="ostensor"
        )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            gate.callers = Callers(desk, http, group)
            group.start_soon(gate.tidy)
            await anyio.to_thread.run_sync(snapshots.start, limiter=gate.upkeep)
            yield
            await gate.callers.close()
            await anyio.to_thread.run_sync(snapshots.stop, limiter=gate.upkeep)
            group.cancel_scope.cancel()
        gate.limit.close()

    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)


def verifier_of(desk: Desk, http: HttpSettings) -> TokenVerifier | None:
    """What checks tokens, or None when none are asked for."""
    if http.auth == "tokens":
        return TokenFile(desk.store.folder, http.url)
    if http.auth == "oauth":
        return JwtVerifier(issuer=http.issuer, resource=http.url, jwks=http.jwks)
    return None


class Gate:
    """Finds the caller of a request, or the answer that refuses it."""

    def __init__(self, desk: Desk, http: HttpSettings) -> None:
        self.desk, self.http = desk, http
        shared = Buckets(desk.store.engine) if desk.settings.shared.catalogue else None
        self.limit = RateLimit(desk.store.folder / "limits.sqlite", http.per_minute, shared=shared)
        self.callers: Callers | None = None
        self.checkup = Checkup(
            desk, (self.limit.forget_idle, desk.store.mark_lost, partial(sweep_uploads, desk.store.folder))
        )
        self.upkeep = anyio.CapacityLimiter(2)  # threads of its own: it goes on while all others are taken

    async def tidy(self) -> None:
        """Upkeep, for as long as the server runs."""
        while True:
            await anyio.to_thread.run_sync(self.checkup.tick, limiter=self.upkeep)
            await anyio.sleep(TICK_S)

    @asynccontextmanager
    async def caller_of(self, scope: Scope) -> AsyncIterator[Caller | Response]:
        """The caller, held open while its request runs; or the refusal: 401, 403 or 429."""
        found = await self._found(scope)
        if isinstance(found, Response):
            yield found
            return
        found.busy += 1
        try:
            yield found
        finally:
            found.busy -= 1

    async def _found(self, scope: Scope) -> Caller | Response:
        user = scope.get("user")
        token = user.access_token if isinstance(user, AuthenticatedUser) else None
        peer = (scope.get("client") or ("unknown", 0))[0]
        who = f"owner {owner_of(token)}" if token is not None else f"address {peer}"
        wait_s = await anyio.to_thread.run_sync(self.limit.wait_s, who, limiter=SIGNING_IN)
        if wait_s > 0:
            HERE.add("ostensor_refusals_total", reason="rate")
            headers = {"Retry-After": str(int(wait_s) + 1)}
            return JSONResponse({"error": "Too many requests. Wait and try again."}, status_code=429, headers=headers)
        assert self.callers is not None, "the lifespan has begun"
        if self.http.auth == "none":
            return await self.callers.local()
        if token is None:
            return self._refusal(401, "invalid_token", "A valid bearer token for this server is needed.")
        toolsets = toolsets_of(token.scopes, self.desk.settings.toolsets)
        wanted = _toolset_asked_for(scope)
        if not toolsets:
            return self._refusal(403, "insufficient_scope", "The token allows no toolset.", PREFIX + "core")
        if wanted is not None and wanted not in toolsets and set(self.desk.settings.toolsets) & {wanted, "all"}:
            return self._refusal(403, "insufficient_scope", "The token does not allow this tool.", PREFIX + wanted)
        signed_in = scope.get("extensions", {}).get("ostensor.signed_in")
        if signed_in is not None:
            signed_in()
        return await self.callers.of(owner_of(token), toolsets)

    def _refusal(self, status: int, error: str, text: str, scope: str = "") -> Response:
        parts = [f'error="{error}"', f'error_description="{text}"']
        parts += [f'scope="{scope}"'] if scope else []
        if self.http.auth == "oauth":
            parts.append(f'resource_metadata="{build_resource_metadata_url(AnyHttpUrl(self.http.url))}"')
        headers = {"WWW-Authenticate": f"Bearer {', '.join(parts)}"}
        return JSONResponse({"error": error, "error_description": text}, status_code=status, headers=headers)


def _toolset_asked_for(scope: Scope) -> str | None:
    """By the headers newer clients send; the tools themselves are what a caller cannot get around."""
    headers = {name: value for name, value in scope["headers"] if name in (b"mcp-method", b"mcp-name")}
    if headers.get(b"mcp-method") != b"tools/call":
        return None
    name = headers.get(b"mcp-name", b"").decode("latin-1")
    return next((entry.toolset for entry in TOOLS if entry.name == name), None)


class McpEndpoint:
    """Hands a request to the MCP server of its caller."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        async with self.gate.caller_of(scope) as caller:
            await (caller if isinstance(caller, Response) else caller.app)(scope, receive, send)


class Guard:
    """Refuses foreign Host and Origin headers on every route; adds headers no answer should lack."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], origins: tuple[str, ...]) -> None:
        self.app, self.hosts, self.origins = app, hosts, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        answer = self._refusal(request) or _preflight(request)
        origin = request.headers.get("origin")
        extra = [(b"cache-control", b"no-store")]
        if origin is not None and _named(origin.lower(), self.origins):
            extra += [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
            extra += [(b"access-control-expose-headers", _SHOWN)]

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await (self.app if answer is None else answer)(scope, receive, marked)

    def _refusal(self, request: Request) -> Response | None:
        size = len(request.scope.get("raw_path") or b"") + len(request.scope["query_string"])
        size += sum(len(name) + len(value) + 4 for name, value in request.scope["headers"])
        if size > HEADERS_BYTES:
            return JSONResponse({"error": f"The header has more than {HEADERS_BYTES // 1024} KiB."}, status_code=431)
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not _named(hosts[0].lower(), self.hosts):
            return JSONResponse({"error": "This server is not reached by that name."}, status_code=421)
        origin = request.headers.get("origin")
        if origin is not None and not _named(origin.lower(), self.origins):
            return JSONResponse({"error": "Pages of that origin may not call this server."}, status_code=403)
        return None


def _preflight(request: Request) -> Response | None:
    """The answer to a browser that asks whether a page of an allowed origin may call; None for anything else."""
    if request.method != "OPTIONS" or not {"origin", "access-control-request-method"} <= set(request.headers):
        return None
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": _ASKED.decode(),
        "Access-Control-Max-Age": _PREFLIGHT_S,
    }
    return Response(status_code=204, headers=headers)


def _named(value: str, allowed: tuple[str, ...]) -> bool:
    return any(
        value == name or (name.endswith(":*") and value.startswith(name[:-1]) and value[len(name) - 1 :].isdigit())
        for name in allowed
    )


@dataclass(frozen=True)
class AppFactory:
    """Makes the application in a process of its own; can be sent there."""

    settings: Any
    http: HttpSettings
    server: Server
    watching: Watching

    def __call__(self) -> Starlette:
        """A desk for this process, and the application over it."""
        begin(self.watching)
        desk = Desk(self.settings)
        made = http_app(desk, self.http, self.server)
        inner = made.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with inner(app):
                yield
            await anyio.to_thread.run_sync(desk.close)
            await anyio.to_thread.run_sync(end)

        made.router.lifespan_context = lifespan
        return made
