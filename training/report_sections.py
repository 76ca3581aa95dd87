"""Sections of a Markdown report that commands write, each in place of its old self."""

from __future__ import annotations

from pathlib import Path

from ..imaging.guards.atomic import write_atomically


def write_section(title: str, body: str, path: Path) -> None:
    """Put "## title" with its body into a report; a new one goes to the end."""
    old = path.read_text(encoding="utf-8") if path.exists() else f"# {path.stem.capitalize()}\n"
    head, *sections = old.split("\n## ")
    kept = {part.split("\n", 1)[0]: part.rstrip() for part in sections}
    kept[title] = f"{title}\n\n{body.strip()}"
    text = head.rstrip() + "\n" + "".join(f"\n## {part}\n" for part in kept.values())
    write_atomically(path, lambda file: file.write(text.encode()))


CARD = "CARD.md"
CARD_NOTE = """Measured by `ostensor eval` on patients kept out of training (`training/data` says which). "Copied atlas" is the
trivial rival: the training case that fits the other training cases best, copied over and stretched to the body.
A structure is claimed only when it beats that and reaches 0.30. Intervals are bootstraps over patients; with one scan they are empty.
`mni_meshnet` and `example_ct` hold labels made by other networks, so those rows are agreement, not accuracy.
How the runs of this edition departed from their configurations stands in `docs/training.md`. Not for clinical use."""


def write_card(path: Path, name: str, section: str) -> None:
    """Put a model's section into the card, in place of its old one."""
    marker = "## "
    head = f"# Bundled weights\n\n{CARD_NOTE}\n"
    old = path.read_text(encoding="utf-8") if path.exists() else head
    _start, *sections = old.split(f"\n{marker}")
    kept = {part.split("\n", 1)[0].strip(): f"{marker}{part}".rstrip() + "\n" for part in sections}
    kept[name] = section.rstrip() + "\n"
    text = head + "\n" + "\n".join(kept[key] for key in sorted(kept))
    write_atomically(path, lambda file: file.write(text.encode()))
