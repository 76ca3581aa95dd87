"""docs/backbones.md, made from the table: `python -m ostensor.commands.pages.backbones docs/backbones.md` (or `make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

from ...models.backbones.row import Backbone
from ...models.backbones.table import BACKBONES
from ...models.blocks.scans.directions import DIRECTIONS

MARK = "<!-- below: made by `make docs` from models/backbones; do not edit -->"


def pages() -> str:
    """The part that is made: a table of all, then what each differs in."""
    lines = [
        MARK,
        "",
        "## All of them",
        "",
        "| `backbone =` | system | takes | `preset =` | fidelity | official outputs |",
        "|---|---|---|---|---|---|",
    ]
    for row in BACKBONES:
        takes = " and ".join(f"{dims}-D" for dims in row.dims)
        presets = ", ".join(row.presets)
        compared = "given again" if row.parity else "not known"
        lines.append(
            f"| [`{row.name}`](#{row.name}) | {row.system} | {takes} | {presets} | {row.fidelity} | {compared} |"
        )
    return "\n".join([*lines, "", *_orders(), "", *(_page(row) for row in BACKBONES)])


def _orders() -> list[str]:
    """The orders in which networks of scans may visit the tokens of an image."""
    taking = ", ".join(f"`{row.name}`" for row in BACKBONES if "directions" in row.presets["paper"])
    lines = [
        "## Orders of scans",
        "",
        f"`directions =` of {taking}, in the words of surveys of vision Mamba.",
        "",
        "| name | takes | passes | order | source |",
        "|---|---|---|---|---|",
    ]
    for row in DIRECTIONS:
        takes = " and ".join(f"{dims}-D" for dims in row.dims)
        lines.append(f"| `{row.name}` | {takes} | {row.passes} | {row.what} | {row.source} |")
    return lines


def updated(text: str) -> str:
    """The page with its made part as it is now."""
    return text[: text.index(MARK)] + pages()


def _page(row: Backbone) -> str:
    lines = [
        f"## {row.name}",
        "",
        f"{row.system}. {row.source}. Licence of that code: {row.licence or 'not stated'}; none of it is used.",
    ]
    options = ", ".join(f"`{name}`" for name in row.presets["paper"])
    family = f" Family: {', '.join(row.tags)}." if row.tags else ""
    lines += ["", f"Options: {options}.{family}", ""]
    lines += [f"- {text}" for text in row.deviations]
    for size in row.sizes:
        lines.append(
            f"- Published: {size.millions:g} M parameters as `{size.preset}`, {size.dims}-D, {size.channels} to {size.classes} channels; "
            "ours has as many within 0.5 %."
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
