"""The anatomy table: canonical names, sides, regions, synonyms, lay words, wholes and kinds.

Imports nothing of ours but its neighbours, no torch. The table itself is `structures.tsv`, written by
`build_structures`; NOTICE.md says where its rows come from and under which licence.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from .finder import Entry, Finder
from .words import plain, read

TABLE = Path(__file__).parent / "structures.tsv"
_PLACES = {  # what people call the regions
    "limb": "arm leg hand foot forearm thigh",
    "head": "face skull",
    "thorax": "chest",
    "abdomen": "belly abdominal",
    "brain": "head cerebrum",
    "pelvis": "hip",
    "neck": "throat",
}
_TUBES = frozenset({"artery", "vein", "airway", "bile duct"})  # kinds whose width is that across their own course
_NO_TUBES = frozenset({"larynx", "glottis", "pulmonary alveolus", "carina of trachea"})  # kinds "airway", but no tubes
THRESHOLD = 0.7  # a lower score is no match; chosen on one half of the committed phrasings (tests/retrieval/data)


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
        name: canonical, lower case; its halves say their side.
        side: "left", "right", "both" (a pair) or "" (unpaired).
        regions: parts of the body it lies in.
        parent: the pair or group it belongs to, else its kind ("artery"), or "".
        uberon, fma: codes, or "".
        lay: words of people without training.
        part_of: name of the whole, as its source says it; not always a row.
        is_a: kind after the FMA, or "".
        volume_ml: smallest and largest of the source named by `volume_source`, or None.
        source, licence: where the row comes from and the terms of that.
    """

    name: str
    side: str
    regions: tuple[str, ...]
    parent: str
    synonyms: tuple[str, ...]
    uberon: str
    lay: tuple[str, ...] = ()
    part_of: str = ""
    is_a: str = ""
    fma: str = ""
    volume_ml: tuple[float, float] | None = None
    volume_source: str = ""
    source: str = ""
    licence: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """Its name, every synonym and every lay word."""
        return (self.name, *self.synonyms, *self.lay)


class StructureTable:
    """Finds structures by the words people use."""

    def __init__(self, rows: tuple[Structure, ...]) -> None:
        self.rows = rows
        self._by_name = {row.name: row for row in rows}
        self._by_term: dict[str, Structure] = {}
        self._children: dict[str, list[Structure]] = defaultdict(list)
        for row in rows:
            self._children[row.parent].append(row)
            for term in row.terms:
                owner = self._by_term.setdefault(plain(term), row)
                if owner is not row:
                    raise ValueError(f"'{term}' names both {owner.name} and {row.name}")

    @classmethod
    @cache
    def bundled(cls) -> StructureTable:
        """The table that comes with the package."""
        with TABLE.open(encoding="utf-8", newline="") as file:
            return cls(tuple(_row(line) for line in csv.DictReader(file, delimiter="\t")))

    def get(self, text: str) -> Structure | None:
        """The structure these words name, or None.

        Case, grammar, side words, Latin and abbreviations are seen through ("rt kidneys", "A. renalis sin."),
        misspellings are not: a model must not segment something the caller did not write.
        """
        exact = self._by_term.get(plain(text)) or self._by_term.get(_turned(text))
        if exact is not None:
            return exact
        phrase = read(text)
        return self._by_words.get((phrase.side, phrase.stems)) if phrase.stems else None

    def resolve(self, text: str) -> Structure:
        """The structure these words name; see `get`.

        Raises:
            UnknownStructure: nothing is named so; the three closest names are offered.
        """
        found = self.get(text)
        if found is None:
            raise UnknownStructure(text, tuple(row.name for row, _score in self.search(text, 3)))
        return found

    def expand(self, name: str) -> tuple[str, ...]:
        """The parts of a pair or group, or the name alone: "kidneys" -> left and right kidney."""
        parts = tuple(row.name for row in self._children.get(name, ()))
        return parts or (name,)

    def kin(self, name: str) -> set[str]:
        """The structure, what holds it and what it holds, however far: those may share voxels."""
        kin, above = {name}, self._by_name.get(name)
        while above is not None and above.parent and above.parent not in kin:
            kin.add(above.parent)
            above = self._by_name.get(above.parent)
        below = [name]
        while below:
            fresh = [row.name for row in self._children.get(below.pop(), ()) if row.name not in kin]
            kin.update(fresh)
            below += fresh
        return kin

    def above(self, name: str) -> tuple[str, ...]:
        """The pair or groups a structure belongs to and its kind, nearest first; () for what is no row."""
        found: list[str] = []
        row = self._by_name.get(name)
        while row is not None and row.parent and row.parent not in found:
            found.append(row.parent)
            row = self._by_name.get(row.parent)
        return tuple(found)

    def is_tube(self, name: str) -> bool:
        """Whether a structure is a vessel, an airway or a bile duct, whose width is measured across its course."""
        return name not in _NO_TUBES and not _TUBES.isdisjoint(self.above(name))

    def partner(self, name: str) -> str | None:
        """The same structure on the other side, or None."""
        row = self.get(name)
        if row is None or row.side not in ("left", "right"):
            return None
        return self._half(row.parent, "right" if row.side == "left" else "left")

    def search(self, query: str, count: int = 5) -> list[tuple[Structure, float]]:
        """The closest structures, best first, with a score in [0, 1]; 1 is an exact term, under `THRESHOLD` is no match.

        Letters and words count, not meaning: "lever" is like the liver, "filter organ" is not like the kidney.
        """
        scores = self._finder.scores(query)
        side = read(query).side
        best: dict[str, float] = {}
        for number, score in scores.items():
            name = self._half(self.rows[number].name, side) or self.rows[number].name
            best[name] = max(best.get(name, 0.0), round(score, 4))
        exact = self.get(query)
        if exact is not None:
            best[exact.name] = 1.0
        order = sorted(
            best, key=lambda name: (-best[name], self._by_name[name].side in ("left", "right"), len(name), name)
        )
        order += [row.name for row in self.rows[:count] if row.name not in best]  # there is always something to offer
        return [(self._by_name[name], best.get(name, 0.0)) for name in order[:count]]

    def find(self, query: str, count: int = 5) -> list[tuple[Structure, float]]:
        """What `search` gives above the threshold: nothing for words that are no anatomy."""
        return [(row, score) for row, score in self.search(query, count) if score >= THRESHOLD]

    def _half(self, pair: str, side: str) -> str | None:
        if side not in ("left", "right"):
            return None
        return next((row.name for row in self._children.get(pair, ()) if row.side == side), None)

    @cached_property
    def _finder(self) -> Finder:
        entries = []
        for number, row in enumerate(self.rows):
            about = (
                *row.regions,
                *(_PLACES.get(region, "") for region in row.regions),
                row.part_of,
                row.parent,
                row.is_a,
            )
            place = frozenset().union(*(_stems(part) for part in about))
            terms = (row.name,) if row.side in ("left", "right") else row.terms  # a pair's words find its halves
            entries += [Entry(number, read(term), place, row.side == "both") for term in terms]
        return Finder(entries)

    @cached_property
    def _by_words(self) -> dict[tuple[str, frozenset[str]], Structure]:
        """(side, stems) -> the one structure they fit; what fits two is left out."""
        owners: dict[tuple[str, frozenset[str]], dict[str, Structure]] = defaultdict(dict)
        for row in self.rows:
            for term in row.terms if row.side not in ("left", "right") else (row.name,):
                phrase = read(term)
                owners[phrase.side, phrase.stems][row.name] = row
                if row.side == "both":
                    owners["both", phrase.stems][row.name] = row
                    for side in ("left", "right"):
                        half = self._half(row.name, side)
                        if half is not None:
                            owners[side, phrase.stems][half] = self._by_name[half]
        return {key: next(iter(rows.values())) for key, rows in owners.items() if len(rows) == 1 and key[1]}


def _row(line: dict[str, str]) -> Structure:
    low, _, high = line["volume_ml"].partition("-")
    return Structure(
        name=line["name"],
        side=line["side"],
        regions=_parts(line["region"], ","),
        parent=line["parent"],
        synonyms=_parts(line["synonyms"], "|"),
        uberon=line["uberon"],
        lay=_parts(line["lay"], "|"),
        part_of=line["part_of"],
        is_a=line["is_a"],
        fma=line["fma"],
        volume_ml=(float(low), float(high)) if high else None,
        volume_source=line["volume_source"],
        source=line["source"],
        licence=line["licence"],
    )


@cache
def _stems(text: str) -> frozenset[str]:
    return read(text).stems


def _parts(cell: str, by: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split(by) if part)


def _turned(text: str) -> str:
    """'kidney, left' as 'left kidney'."""
    return re.sub(r"^(.*?),? \(?(left|right)\)?$", r"\2 \1", plain(text))
