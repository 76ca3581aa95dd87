"""What tells a host with MCP Apps to show the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...tools.desk.settings import VIEWER_URI


def ui_meta(ui: Sequence[str], toolsets: Sequence[str]) -> dict[str, Any] | None:
    """What tells a host with MCP Apps to show the viewer with a tool, where the viewer is on."""
    if not ui or not set(toolsets) & {"viewer", "all"}:
        return None
    return {"ui": {"resourceUri": VIEWER_URI, "visibility": list(ui)}}


def is_for_pages_only(meta: Mapping[str, Any] | None) -> bool:
    """Whether only the server's own page may call a tool, and no model (MCP Apps, `_meta.ui.visibility`)."""
    return "model" not in (meta or {}).get("ui", {}).get("visibility", ["model"])
