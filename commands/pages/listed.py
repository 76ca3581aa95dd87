"""The file `listed.json`, written from the tools themselves."""

from __future__ import annotations

import json
from pathlib import Path

from ...tools.desk.desk import Desk


def listed_text() -> str:
    """The file's text, from the tools themselves."""
    import tempfile

    from ...server.mcp.exposed import expose
    from ...tools.desk.settings import Settings
    from ...tools.registry import TOOLS

    entries = []
    with tempfile.TemporaryDirectory() as folder, Desk(Settings(Path(folder), (Path(folder),))) as desk:
        for entry in TOOLS:
            tool = expose(entry, desk)
            assert tool.annotations is not None
            entries.append({
                "name": tool.name, "description": tool.description, "toolset": entry.toolset,
                "is_long": entry.is_long, "ui": list(entry.ui), "annotations": tool.annotations.model_dump(exclude_none=True),
                "parameters": tool.parameters, "output_schema": tool.fn_metadata.output_schema,
            })  # fmt: skip
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "server" / "mcp" / "listed.json").write_text(listed_text(), encoding="utf-8")
