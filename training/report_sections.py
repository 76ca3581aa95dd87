"""Sections of a Markdown report that commands write, each in place of its old self."""

from __future__ import annotations

from pathlib import Path

from ..imaging.atomic import write_atomically


def write_section(title: str, body: str, path: Path) -> None:
    """Put "## title" with its body into a report; a new one goes to the end."""
    head, *sections = path.read_text(encoding="utf-8").split("\n## ")
    kept = {part.split("\n", 1)[0]: part.rstrip() for part in sections}
    kept[title] = f"{title}\n\n{body.strip()}"
    text = head.rstrip() + "\n" + "".join(f"\n## {part}\n" for part in kept.values())
    write_atomically(path, lambda file: file.write(text.encode()))
