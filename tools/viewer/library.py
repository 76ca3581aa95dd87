"""The program of the 3-D view, as pages load it when somebody asks for 3-D: NiiVue, and what calls it."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def drawing_program() -> bytes:
    """JavaScript, deflated; it sets `ostensorSolid` and asks nothing of any server."""
    parts = [(_HERE / name).read_text(encoding="utf-8") for name in ("niivue/niivue.js", "solid.js")]
    return zlib.compress("\n".join(parts).encode("utf-8"), 9)
