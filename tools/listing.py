"""The file `listed.json`, written from the tools themselves."""

from __future__ import annotations

import json
from pathlib import Path

from .desk import Desk


def written() -> str:
    """The file's text, from the tools themselves."""
    import tempfile

    from .exposed import expose
    from .registry import TOOLS
    from .settings import Settings

    entries = []
    with tempfile.TemporaryDirectory() as folder, Desk(Settings(Path(folder), (Path(folder),))) as desk:
        for entry in TOOLS:
            tool = expose(entry, desk)
            assert tool.annotations is not None
            entries.append({
                "name": tool.name, "title": tool.title, "description": tool.description, "toolset": entry.toolset,
                "is_long": entry.is_long, "ui": list(entry.ui), "annotations": tool.annotations.model_dump(exclude_none=True),
                "parameters": tool.parameters, "output_schema": tool.fn_metadata.output_schema,
            })  # fmt: skip
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("listed.json").write_text(written(), encoding="utf-8")
