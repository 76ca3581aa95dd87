"""The viewer's page as a resource of MCP Apps: one file that needs nothing from anywhere else."""

from __future__ import annotations

from functools import cache
from importlib import resources

from mcp.server.apps import Apps, ResourceCsp

from ...tools.desk.settings import VIEWER_URI


@cache
def viewer_html() -> str:
    """The page, as hosts and `ostensor view` show it."""
    return resources.files(__package__).joinpath("viewer.html").read_text(encoding="utf-8")


def viewer_app() -> Apps:
    """The extension that offers the page; the tools that use it name it themselves."""
    apps = Apps()
    apps.add_html_resource(
        VIEWER_URI,
        viewer_html(),
        name="viewer",
        title="Scan viewer",
        description="Three planes of a scan with its masks.",
        csp=ResourceCsp(connect_domains=[], resource_domains=[]),
        prefers_border=True,
    )
    return apps
