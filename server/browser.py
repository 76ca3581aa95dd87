"""`ostensor view`: the viewer's page in a browser of this machine, for one scan."""

from __future__ import annotations

import json
import secrets
import socket
import webbrowser
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..imaging.errors import BadCall, OstensorError
from ..tools.desk.desk import Desk
from ..tools.running import use
from ..tools.viewer.library import drawing_program
from .http.app import Guard
from .mcp.viewer_app import mask_text, scan_text, viewer_html

_CALLED = ("viewer_open", "viewer_slices", "viewer_point", "viewer_undo", "refine_mask", "get_job")
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'"
)


def scan_of(desk: Desk, image: str, modality: str = "auto") -> str:
    """The handle of a scan given by handle or by file.

    Raises:
        BadCall: neither; or a folder of several series.
    """
    if image.startswith("img_"):
        return desk.store.image(image).image_id
    answer = use(desk, "open_image", path=image, modality=modality)
    found = answer.result.model_dump()["image_id"]
    if found is None:
        raise BadCall(answer.text)
    return str(found)


def view_app(desk: Desk, image_id: str, *, mask_ids: list[str] | None, key: str, port: int) -> Starlette:
    """The page and the tools it calls; both only for who knows the key."""

    async def page(request: Request) -> Response:
        if not secrets.compare_digest(request.query_params.get("key", ""), key):
            return Response("Open the address that ostensor view printed.", status_code=403)
        nonce = secrets.token_urlsafe(16)
        facts = json.dumps({"key": key, "image_id": image_id, "mask_ids": mask_ids or []}).replace("<", "\\u003c")
        script = f'<script nonce="{nonce}">window.OSTENSOR_LOCAL = {facts};</script>\n<script nonce="{nonce}">'
        headers = {"Content-Security-Policy": _POLICY.format(nonce=nonce), "Referrer-Policy": "no-referrer"}
        return HTMLResponse(viewer_html().replace("<script>", script, 1), headers=headers)

    async def call(request: Request) -> Response:
        if not secrets.compare_digest(request.headers.get("x-ostensor-key", ""), key):
            return JSONResponse({"error": "wrong key"}, status_code=403)
        asked = await _asked(request)
        if asked is None or asked["name"] not in _CALLED:
            return JSONResponse({"error": "not a call of the viewer"}, status_code=400)
        return JSONResponse(await anyio.to_thread.run_sync(lambda: _called(desk, asked)))

    async def solid(request: Request) -> Response:
        if not secrets.compare_digest(request.headers.get("x-ostensor-key", ""), key):
            return Response("wrong key", status_code=403)
        asked = request.path_params
        return await anyio.to_thread.run_sync(lambda: _solid(desk, asked.get("image_id"), asked.get("mask_id")))

    names = (f"127.0.0.1:{port}", f"localhost:{port}")
    guard = Middleware(Guard, hosts=names, origins=tuple(f"http://{name}" for name in names))
    routes = [Route("/", page), Route("/call", call, methods=["POST"])]
    routes += [Route(path, solid) for path in ("/solid.js", "/image/{image_id}/solid", "/mask/{mask_id}/solid")]
    return Starlette(routes=routes, middleware=[guard])


async def _asked(request: Request) -> dict[str, Any] | None:
    try:
        asked = await request.json()
    except (ValueError, UnicodeDecodeError):
        return None
    fits = isinstance(asked, dict) and isinstance(asked.get("name"), str) and isinstance(asked.get("arguments"), dict)
    return asked if fits else None


def _called(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """As an MCP server would answer."""
    try:
        answer = use(desk, asked["name"], **asked["arguments"])
    except OstensorError as error:
        return {"content": [{"type": "text", "text": str(error)}], "isError": True}
    return {
        "content": [{"type": "text", "text": answer.text}],
        "structuredContent": answer.result.model_dump(mode="json"),
        "isError": False,
    }


def _solid(desk: Desk, image_id: str | None, mask_id: str | None) -> Response:
    """What the 3-D view reads, as the server's resources of the same addresses."""
    try:
        if image_id is not None:
            return Response(scan_text(desk, image_id), media_type="application/json")
        if mask_id is not None:
            return Response(mask_text(desk, mask_id), media_type="application/json")
    except OstensorError as error:
        return Response(str(error), status_code=404)
    return Response(drawing_program(), media_type="application/zlib")


def view(desk: Desk, image_id: str, *, mask_ids: list[str] | None, browser: bool, said: Callable[[str], None]) -> None:
    """Serve the page on a free port of this machine until interrupted."""
    key = secrets.token_urlsafe(24)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listening.listen(64)
        app = view_app(desk, image_id, mask_ids=mask_ids, key=key, port=port)
        address = f"http://127.0.0.1:{port}/?key={key}"
        said(address)
        if browser:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none", server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
