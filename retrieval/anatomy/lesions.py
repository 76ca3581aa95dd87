"""Words that ask for a lesion without saying which, and the rows of the table that are lesions."""

from __future__ import annotations

import re

from .structures import Structure, StructureTable

KIND = "lesion"  # `parent` of a row that is no part of a healthy body
_NOUNS = ("tumour", "tumours", "sarcoma", "polyp", "lesion", "cyst", "nodule", "metastasis")
_GENERIC = re.compile(
    r"\b(?:lesions?|mass(?:es)?|tumou?rs?|neoplas(?:m|ms|ia)|growths?|malignanc(?:y|ies)|metastas[ei]s|cancers?|sarcomas?"
    r"|carcinomas?|lumps?)\b",
    re.IGNORECASE,
)
_AROUND = re.compile(
    r"\b(?:the|a|an|any|main|largest|primary|visible|gross|all|of|this|scan|image|patient)\b", re.IGNORECASE
)


def names_lesion(text: str) -> bool:
    """Whether a text asks for a tumour, a lesion or a mass, whatever else it says."""
    return _GENERIC.search(text) is not None


def is_generic_lesion(words: str) -> bool:
    """Whether words ask for a tumour, a lesion or a mass and say nothing of which: "the main tumour"."""
    rest, found = _GENERIC.subn("", words)
    return found > 0 and not re.search(r"\w", _AROUND.sub("", rest))


def lesion_rows(table: StructureTable) -> tuple[Structure, ...]:
    """Every row that is a lesion, in the order of the table."""
    return tuple(row for row in table.rows if row.parent == KIND)


def is_lesion(table: StructureTable, name: str) -> bool:
    """Whether a structure is a lesion, or half of one ("left kidney cyst"); what is no row, by its last word."""
    row = table.get(name)
    if row is None:
        return name.rsplit(" ", 1)[-1] in _NOUNS
    return KIND in (row.parent, *table.above(row.name))
