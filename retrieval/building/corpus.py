"""Writes `passages.tsv`: `python -m ostensor.retrieval.building.corpus DATA retrieval/passages/passages.tsv`.

Statements are composed from `structures.tsv`, from the part-of tables of the Human Reference Atlas, and from
`words_prose.tsv`, sentences written by hand. Wording is ours; the facts are the sources', named per passage.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path

from ..anatomy.structures import Structure, StructureTable
from ..passages.corpus import Passage
from . import sources
from .sources import HRA, LICENCES, OWN

PROSE = Path(__file__).parent / "words_prose.tsv"
_AT_MOST = 12  # parts named in one passage
_REGIONS = {"limb": "limbs"}


def build(data: Path) -> list[Passage]:
    """Every passage, in a stable order."""
    table = StructureTable.bundled()
    found = list(_about())
    for row in table.rows:
        found += _composed(row, table)
    found += _parts(table, data / "anatomy")
    return found


def write(passages: list[Passage], file: Path) -> None:
    """The corpus as tab-separated text."""
    with file.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out, delimiter="\t", lineterminator="\n")
        lines.writerow(field.name for field in fields(Passage))
        lines.writerows(astuple(passage) for passage in passages)


def _about() -> Iterator[Passage]:
    counts: dict[str, int] = defaultdict(int)
    with PROSE.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            counts[line["name"]] += 1
            number = f" {counts[line['name']]}" if counts[line["name"]] > 1 else ""
            yield Passage(f"about:{line['name']}{number}", line["name"], "about", line["text"], OWN, LICENCES[OWN])


def _composed(row: Structure, table: StructureTable) -> Iterator[Passage]:
    def passage(kind: str, text: str) -> Passage:
        return Passage(f"{kind}:{row.name}", row.name, kind, text, row.source, row.licence)

    yield passage("place", _place(row, table))
    others = [term for term in row.synonyms if not re.search(r"\b(lt|rt)\b|-sided|,", term)]
    if others or row.lay:
        yield passage("names", _names(row, others, table))
    halves = table.expand(row.name)
    if row.side == "both" and len(halves) >= 2:
        named = " and ".join(half for half in halves if re.search(r"\b(left|right)\b", half))
        yield passage(
            "sides",
            f"The {row.name} {'come' if _plural(row, table) else 'comes'} in a pair: {named}. Left and right are the patient's own.",
        )
    if row.volume_ml is not None:
        low, high = row.volume_ml
        yield passage("size", f"The {row.name} measured {low:g} to {high:g} ml in {row.volume_source}.")


def _place(row: Structure, table: StructureTable) -> str:
    paired = row.side in ("left", "right")
    pair = table.get(row.parent) if paired else None
    kind = pair.parent if pair else row.parent
    text = f"The {row.name} {_are(row, table)} {_a(kind)}"
    where = " and ".join(f"the {_REGIONS.get(region, region)}" for region in row.regions)
    text += f" in {where}" if where and where not in kind else ""
    text += f", on the patient's {row.side} side" if paired else ""
    text += "."
    if row.part_of and row.part_of != kind:
        text += f" It is part of the {row.part_of}." if not _plural(row, table) else f" Part of: {row.part_of}."
    if row.is_a and row.is_a not in (kind, row.parent, row.name):
        text += f" The Foundational Model of Anatomy files it under {row.is_a}."
    return text


def _a(kind: str) -> str:
    if kind in ("", "body part"):
        return "a structure"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _plural(row: Structure, table: StructureTable) -> bool:
    """Whether a pair is named by a plural: its halves then have another word ("kidneys", "left kidney")."""
    halves = [half for half in table.expand(row.name) if half.startswith("left ")]
    return row.side == "both" and bool(halves) and halves[0] != f"left {row.name}"


def _are(row: Structure, table: StructureTable) -> str:
    return "are" if _plural(row, table) else "is"


def _names(row: Structure, others: list[str], table: StructureTable) -> str:
    text = f"The {row.name} {_are(row, table)} also called {', '.join(others)}." if others else ""
    if row.lay:
        text += f" In everyday words the {row.name}: {', '.join(row.lay)}."
    return text.strip()


def _parts(table: StructureTable, anatomy: Path) -> Iterator[Passage]:
    """What a whole consists of: after the table's part-of column, and after each of the Atlas's tables."""
    wholes: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in table.rows:
        whole = table.get(row.part_of) if row.part_of else None
        if whole is not None and row.side in ("", "both") and row.name != whole.name:
            wholes[whole.name, row.source, row.licence].append(row.name)
    for part, whole_name, file in sources.hra_edges(anatomy):
        known = table.get(sources.hra_name(whole_name))
        organ = re.sub(r"^asct-b[-_](nih|vh|allen)?[-_]?|\.csv$", "", file.lower()).replace("_", " ").replace("-", " ")
        source = f"{HRA}, ASCT+B table {organ}"
        key = (known.name if known else whole_name, source, LICENCES[HRA])
        if part not in wholes[key] and part != whole_name:
            wholes[key].append(part)
    counts: dict[str, int] = defaultdict(int)
    for (whole_name, source, licence), parts in wholes.items():
        for first in range(0, len(parts), _AT_MOST):
            counts[whole_name] += 1
            listed = ", ".join(parts[first : first + _AT_MOST])
            text = f"Parts of the {whole_name}: {listed}."
            yield Passage(f"parts:{whole_name} {counts[whole_name]}", whole_name, "parts", text, source, licence)


if __name__ == "__main__":
    write(build(Path(sys.argv[1])), Path(sys.argv[2]))
