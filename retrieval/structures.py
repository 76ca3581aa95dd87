"""The anatomy table: canonical names, sides, regions, synonyms, parents.

Imports nothing of ours, no torch. The table itself is `structures.tsv`.
UBERON codes are kept where the Human Reference Atlas tables list them for that structure.
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "structures.tsv"


class UnknownStructure(LookupError):
    """A word that names no structure of the table.

    Attributes:
        nearest: the three closest names, best first.
    """

    def __init__(self, text: str, nearest: tuple[str, ...]) -> None:
        self.text, self.nearest = text, nearest
        super().__init__(
            f"Unknown structure '{text[:60]}'. Closest: {', '.join(nearest)}. Call find_structures to search by other words."
        )


@dataclass(frozen=True)
class Structure:
    """One row of the table.

    Attributes:
        name: canonical, lower case; a pair is plural ("kidneys"), its halves say their side.
        side: "left", "right", "both" (a pair) or "" (unpaired).
        regions: parts of the body it lies in.
        parent: the row or group it belongs to, or "".
        uberon: code, or "".
    """

    name: str
    side: str
    regions: tuple[str, ...]
    parent: str
    synonyms: tuple[str, ...]
    uberon: str

    @property
    def terms(self) -> tuple[str, ...]:
        """Its name and every synonym."""
        return (self.name, *self.synonyms)


class StructureTable:
    """Finds structures by the words people use."""

    def __init__(self, rows: tuple[Structure, ...]) -> None:
        self.rows = rows
        self._by_term: dict[str, Structure] = {}
        for row in rows:
            for term in row.terms:
                if term in self._by_term:
                    raise ValueError(f"'{term}' names both {self._by_term[term].name} and {row.name}")
                self._by_term[term] = row

    @classmethod
    @cache
    def bundled(cls) -> StructureTable:
        """The table that comes with the package."""
        with TABLE.open(encoding="utf-8", newline="") as file:
            return cls(tuple(_row(line) for line in csv.DictReader(file, delimiter="\t")))

    def get(self, text: str) -> Structure | None:
        """The structure with exactly this name or synonym (case, spaces and hyphens aside), or None."""
        for form in _forms(text):
            if form in self._by_term:
                return self._by_term[form]
        return None

    def resolve(self, text: str) -> Structure:
        """The structure of this name or synonym.

        Raises:
            UnknownStructure: nothing has it; the three closest names are offered.
        """
        found = self.get(text)
        if found is None:
            raise UnknownStructure(text, tuple(row.name for row, _score in self.search(text, 3)))
        return found

    def expand(self, name: str) -> tuple[str, ...]:
        """The parts of a pair or group, or the name alone: "kidneys" -> left and right kidney."""
        parts = tuple(row.name for row in self.rows if row.parent == name)
        return parts or (name,)

    def partner(self, name: str) -> str | None:
        """The same structure on the other side, or None."""
        row = self.get(name)
        if row is None or row.side not in ("left", "right"):
            return None
        other = "right" if row.side == "left" else "left"
        return next((r.name for r in self.rows if r.parent == row.parent and r.side == other), None)

    def search(self, query: str, count: int = 5) -> list[tuple[Structure, float]]:
        """The closest structures, best first, with a score in [0, 1]; 1 is an exact term.

        Letters and words count, not meaning: "lever" finds the liver, "filter organ" does not find the kidney.
        """
        scored = [(row, max(_likeness(query, term, row.regions) for term in row.terms)) for row in self.rows]
        scored.sort(key=lambda pair: (-pair[1], pair[0].name))
        return scored[:count]


def _row(line: dict[str, str]) -> Structure:
    return Structure(
        name=line["name"],
        side=line["side"],
        regions=tuple(part for part in line["region"].split(",") if part),
        parent=line["parent"],
        synonyms=tuple(term for term in line["synonyms"].split("|") if term),
        uberon=line["uberon"],
    )


def _forms(text: str) -> list[str]:
    plain = re.sub(r"[\s_-]+", " ", text.strip().lower())
    plain = re.sub(r"^(the|a|an|my|his|her) ", "", plain)
    sided = re.sub(r"\b(lt|l)\.? ", "left ", plain)
    sided = re.sub(r"\b(rt|r)\.? ", "right ", sided)
    turned = re.sub(r"^(.*?),? \(?(left|right)\)?$", r"\2 \1", sided)
    american = turned.replace("oesoph", "esoph").replace("gray", "grey")
    return [plain, sided, turned, american]


def _likeness(query: str, term: str, regions: tuple[str, ...]) -> float:
    asked = _forms(query)[-1]
    if asked == term:
        return 1.0
    a, b = _words(asked), _words(term)
    letters = difflib.SequenceMatcher(None, " ".join(a), " ".join(b)).ratio()
    where = (set(a) & set(regions)) - set(b)  # "of the brain" says where, not what
    shared = len(set(a) & set(b)) + len(where)
    words = 2 * shared / (len(set(a)) + len(set(b)) + len(where)) if a and b else 0.0
    return round(0.99 * max(0.5 * letters + 0.5 * words, 0.9 * letters), 4)


def _words(text: str) -> list[str]:
    """Words without small ones, singular."""
    found = [word for word in re.findall(r"\w+", text) if word not in ("of", "the", "in", "and", "a")]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]
