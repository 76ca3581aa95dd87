"""A path as a caller wrote it: one file or folder in a root, or what to call instead."""

from __future__ import annotations

import re
from pathlib import Path

from ...imaging.errors import BadCall
from ..desk.desk import Desk

_SHOWN = 5


def found_path(desk: Desk, path: str, tool: str) -> Path:
    """The file or folder that a path means.

    Args:
        tool: that was called; named in what to do instead.

    Raises:
        BadCall: not there, outside the roots, a pattern, or several at once.
    """
    try:
        return desk.roots.inside(path)
    except BadCall:
        if any(sign in path for sign in "*?"):
            raise BadCall(
                f"'{path[:80]}' is a pattern. {tool} takes one path. Call list_files(pattern='{path[:80]}') to see the paths."
            ) from None
        several = _several(desk, path)
        if len(several) < 2:
            raise
        calls = ", ".join(f"{tool}(path='{one}')" for one in several[:_SHOWN])
        raise BadCall(
            f"{len(several)} paths were given at once. {tool} takes one. Call once for each: {calls}."
        ) from None


def _several(desk: Desk, text: str) -> list[str]:
    """Parts of a text that are paths each, where all of them are."""
    for between in (r"[\n;,]+", r"\s+"):
        parts = [part.strip(" []\"'") for part in re.split(between, text) if part.strip(" []\"'")]
        try:
            for part in parts:
                desk.roots.inside(part)
        except BadCall:
            continue
        return parts
    return []
