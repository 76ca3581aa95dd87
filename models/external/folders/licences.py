"""The licence of weights, where their folder tells it. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...card import Purpose

_FREE = re.compile(r"apache|\bmit\b|bsd|cc0|cc[- ]by(?:[- ][\d.]+)?$|public domain", re.IGNORECASE)
_BOUND = re.compile(r"\bnc\b|\bnot\b|non.?commercial|research|academic|\bnd\b", re.IGNORECASE)
_UP = 2  # folders looked at above the weights


def licence_beside(folder: Path, *told: Mapping[str, Any]) -> tuple[str, str]:
    """The licence and where it was read; ("not stated", "") where nothing tells it."""
    for facts in told:
        for key in ("licence", "license"):
            if isinstance(facts.get(key), str) and facts[key].strip():
                return facts[key].strip()[:200], f"'{key}' in its JSON"
    for place in (folder, *list(folder.parents)[:_UP]):
        for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
            if (place / name).is_file():
                with (place / name).open(encoding="utf-8", errors="replace") as file:
                    first = next((line.strip() for line in file if line.strip()), "")
                return (first[:200] or "not stated"), name
    return "not stated", ""


def purpose_of(licence: str) -> Purpose:
    """ "any" for licences that clearly allow it, else "research-only"."""
    return "any" if _FREE.search(licence) and not _BOUND.search(licence) else "research-only"
