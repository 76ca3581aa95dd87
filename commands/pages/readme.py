"""The tables of the README, made from the code: `python -m ostensor.commands.pages.readme README.md` (or `make docs`)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ...models.card import Card
from ...models.catalogue import catalogue
from ...tools.registry import TOOLS


def tool_table() -> str:
    """Every tool with the first line of its description."""
    lines = ["| tool | what it does | changes something |", "|---|---|---|"]
    lines += [f"| `{entry.name}` | {entry.summary} | {'no' if entry.read_only else 'yes'} |" for entry in TOOLS]
    return "\n".join(lines)


def model_table() -> str:
    """Every model with what it claims and how well."""
    lines = [
        "| model | takes or makes | structures, with our Dice on held-out scans | weights | use |",
        "|---|---|---|---|---|",
    ]
    for card in catalogue():
        if card.weights == "none":
            continue
        takes = f"{'/'.join(card.modalities)}, {' or '.join(f'{d}-D' for d in card.dimensions)}"
        weights = "bundled" if card.weights == "bundled" else "yours, `ostensor models import`"
        lines.append(f"| `{card.name}` | {takes} | {_knows(card)} | {weights} | {card.purpose} |")
    return "\n".join(lines)


def _knows(card: Card) -> str:
    """Its structures with their Dice; names alone where nothing was measured here."""
    if card.open_text:
        return "any term"
    if card.task == "refine":
        return "what one points at"
    scores = (f"{name} {card.measured[name].dice:.2f}" if name in card.measured else name for name in card.claimed)
    known = ", ".join(scores)
    if card.task == "translate":
        return f"translates {' to '.join(card.modalities)} and back"
    return f"synthesizes {known}" if card.task == "synthesize" else known


TABLES = {"tools": tool_table, "models": model_table}


def updated(text: str) -> str:
    """The text with every table between its markers made anew."""
    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", _made, text, flags=re.DOTALL)


def _made(match: re.Match[str]) -> str:
    name = match.group(1)
    return f"<!-- {name} -->\n{TABLES[name]()}\n<!-- end -->"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(updated(target.read_text(encoding="utf-8")), encoding="utf-8")
