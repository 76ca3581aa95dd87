"""The viewer's page as a resource of MCP Apps: one file that needs nothing from anywhere else.

What only its 3-D view needs it reads when somebody opens that: the drawing program, the scan's grey, each mask's bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from mcp.server.apps import Apps, ResourceCsp
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from ...imaging.errors import BadCall
from ...tools.desk.desk import Desk
from ...tools.desk.settings import VIEWER_URI
from ...tools.viewer.library import drawing_program


@cache
def viewer_html() -> str:
    """The page, as hosts and `ostensor view` show it: one text, of two files."""
    page, refining = (
        resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
        for name in ("viewer.html", "refining.js")
    )
    return page.replace("/* refining */", refining.strip(), 1)


def viewer_app() -> Apps:
    """The extension that offers the page; the tools that use it name it themselves."""
    apps = Apps()
    apps.add_html_resource(
        VIEWER_URI,
        viewer_html(),
        name="viewer",
        title="Scan viewer",
        description="Three planes and a 3-D view of a scan with its masks.",
        csp=ResourceCsp(connect_domains=[], resource_domains=[]),
        prefers_border=True,
    )
    return apps


def add_solids(server: MCPServer[Any], desk: Desk) -> None:
    """What the page's 3-D view reads: the program, a scan's grey, a mask's bits."""

    @server.resource(
        "ui://ostensor/solid.js",
        mime_type="application/zlib",
        description="For the viewer page: its 3-D program, deflated.",
    )
    def program() -> bytes:
        return drawing_program()

    @server.resource(
        "ostensor://image/{image_id}/solid",
        mime_type="application/json",
        description="For the viewer page: a scan as a small block of grey.",
    )
    def scan(image_id: str) -> str:
        return _found(lambda: scan_text(desk, image_id))

    @server.resource(
        "ostensor://mask/{mask_id}/solid",
        mime_type="application/json",
        description="For the viewer page: a mask as a small block of bits.",
    )
    def mask(mask_id: str) -> str:
        return _found(lambda: mask_text(desk, mask_id))


def scan_text(desk: Desk, image_id: str) -> str:
    """A scan's grey as JSON."""
    from ...tools.viewer.solids import solid_scan  # nibabel, loaded with the first 3-D view

    return json.dumps(solid_scan(desk.store.volume(image_id)))


def mask_text(desk: Desk, mask_id: str) -> str:
    """A mask's voxels as JSON."""
    from ...tools.viewer.solids import solid_mask

    return json.dumps(solid_mask(desk.store.region(mask_id)))


def _found(make: Callable[[], str]) -> str:
    try:
        return make()
    except BadCall as error:
        raise ResourceNotFoundError(str(error)) from None
