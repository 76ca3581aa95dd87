"""The anatomy table while it is being built: rows, and who owns which term."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..anatomy.words import read
from .sources import LICENCES

COLUMNS = (
    "name",
    "side",
    "region",
    "parent",
    "synonyms",
    "uberon",
    "lay",
    "part_of",
    "is_a",
    "fma",
    "volume_ml",
    "volume_source",
    "source",
    "licence",
)


@dataclass
class Row:
    """A structure in the making."""

    name: str
    side: str
    region: str
    parent: str
    synonyms: list[str]
    sources: list[str]
    uberon: str = ""
    lay: list[str] = field(default_factory=list)
    part_of: str = ""
    is_a: str = ""
    fma: str = ""
    volume_ml: str = ""
    volume_source: str = ""

    def line(self) -> list[str]:
        """Its cells, in the order of `COLUMNS`."""
        licences = dict.fromkeys(LICENCES[source] for source in self.sources)
        cells = {**vars(self), "source": "; ".join(self.sources), "licence": " AND ".join(licences)}
        cells |= {"synonyms": "|".join(self.synonyms), "lay": "|".join(self.lay)}
        return [str(cells[name]) for name in COLUMNS]

    def owes(self, source: str) -> None:
        """Note that something of the row comes from there."""
        if source not in self.sources:
            self.sources.append(source)


class Draft:
    """Rows so far, and who owns which term."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.owner: dict[str, str] = {}
        self.same: dict[tuple[str, frozenset[str]], str] = {}

    def add(self, row: Row) -> None:
        """Take a row whose name is free; terms that others own are dropped."""
        if row.name in self.owner:
            raise ValueError(f"'{row.name}' is a term of '{self.owner[row.name]}'")
        self.rows[row.name] = row
        self.owner[row.name] = row.name
        self.same.setdefault(_key(row.name), row.name)
        row.synonyms = [term for term in row.synonyms if self.claim(row, term)]
        row.lay = [term for term in row.lay if self.claim(row, term)]

    def claim(self, row: Row, term: str) -> bool:
        """Whether the term was free and is this row's now."""
        return self.owner.setdefault(term, row.name) == row.name and term != row.name

    def of(self, term: str) -> Row | None:
        """The row that owns the term."""
        return self.rows.get(self.owner.get(term, ""))

    def like(self, term: str) -> Row | None:
        """The row that owns the term, or whose name is the same words in other grammar."""
        return self.of(term) or self.rows.get(self.same.get(_key(term), ""))


def _key(name: str) -> tuple[str, frozenset[str]]:
    phrase = read(name)
    return phrase.side, phrase.stems
