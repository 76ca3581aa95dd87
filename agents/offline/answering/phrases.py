"""Sentences of answers in the language of the question; `said.tsv` holds them, English where a language has none."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from ..asking.wording import name_in

TABLE = Path(__file__).parent / "said.tsv"


@cache
def _sentences() -> dict[str, dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["key"]: dict(row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def phrase(key: str, language: str, **values: object) -> str:
    """A sentence with its values; structures passed as `name`, `a` and `b` are named in the language."""
    turned = {
        k: name_in(v, language) if k in ("name", "a", "b") and isinstance(v, str) else v for k, v in values.items()
    }
    row = _sentences()[key]
    return (row.get(language) or row["en"]).format(**turned)
