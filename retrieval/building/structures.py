"""Writes `structures.tsv`: `python -m ostensor.retrieval.building.structures DATA retrieval/anatomy/structures.tsv`.

In order of precedence: `words_core.tsv` (the names that networks are trained on, kept as they are), `words_rows.tsv`
(structures written by hand), BodyParts3D, the Human Reference Atlas. A name that an earlier row already has as name or
synonym adds its codes and relations to that row. Then `words_terms.tsv` adds synonyms and lay words.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from ..anatomy.structures import TABLE
from ..anatomy.words import ORDINALS
from . import sources
from .draft import COLUMNS, Draft, Row
from .places import kind_of, regions_of
from .sources import FMA, HRA, MSD, OWN, Term

_SIDE = re.compile(r"\b(left|right) ")
# Left and right in these names tell parts of one organ apart, not the halves of the body.
_ONE_ORGAN = re.compile(
    r"ventric|atri(um|al)|coronary|heart|hepatic|liver|portal|bile|gastr|colic|cusp|papillary|conus|caudate lobe"
    r"|pulmonary artery|hemiliver|biliary|marginal vein|leaflet|duct of|lymphatic duct"
)
_EDITS = {"secondary ": "", "hepatic portal vein": "portal vein", "extra-ocular": "extraocular"}
_EDITS |= {"infraspinatus muscle": "infraspinatus", "posterior vein of the left": "posterior vein of left"}
_RENAMED = {"ethmoid": "ethmoid bone", "midbrain tectum": "tectum of midbrain", "musculus uvulae": "uvular muscle"}
_RENAMED |= {
    "digastric muscle": "digastric",
    "tibalis anterior": "tibialis anterior",
    "mucleus accumbens": "nucleus accumbens",
    "paraaortic lymph node": "para-aortic lymph node",
}


def build(data: Path) -> list[Row]:
    """The whole table, in a stable order."""
    draft = Draft()
    for line in _lines("words_core.tsv"):
        draft.add(_core_row(line))
    for line in _lines("words_rows.tsv"):
        for row in _hand_rows(line):
            if draft.of(row.name) is None:
                draft.add(row)
    later = [line for line in _lines("words_terms.tsv") if not _more_terms(draft, line)]
    anatomy = data / "anatomy"
    kinds, wholes = sources.fma_kinds(anatomy), sources.fma_wholes(anatomy)
    _take(draft, sources.fma_terms(anatomy).values(), kinds, wholes)
    _take(draft, sources.hra_terms(anatomy).values(), {}, {})
    for line in later:
        if not _more_terms(draft, line):
            raise ValueError(f"words_terms.tsv names '{line['name']}', which no row has")
    for row in draft.rows.values():
        _counted_terms(draft, row)
        _disc_terms(draft, row)
    _codes(draft, sources.hra_codes(anatomy))
    _volumes(
        draft, sources.hra_volumes_ml(data / "hra_phantom"), "two reference bodies of the Human Reference Atlas", HRA
    )
    crops = sources.hippocampus_volumes_ml(data / "hippocampus_msd")
    _volumes(draft, crops, "5th-95th percentile of 200 crops, Medical Segmentation Decathlon", MSD)
    return list(draft.rows.values())


def write(rows: Iterable[Row], file: Path) -> None:
    """The table as tab-separated text."""
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(row.line() for row in rows)


def _core_row(line: dict[str, str]) -> Row:
    synonyms = [term for term in line["synonyms"].split("|") if term]
    return Row(
        line["name"],
        line["side"],
        line["region"],
        line["parent"],
        synonyms,
        [OWN, HRA] if line["uberon"] else [OWN],
        line["uberon"],
    )


def _hand_rows(line: dict[str, str]) -> list[Row]:
    synonyms, lay = (([term for term in line[column].split("|") if term]) for column in ("synonyms", "lay"))
    plain = re.sub(r"\{\} ", "", line["name"])
    if line["side"] != "pair":
        return [Row(plain, "", line["region"], line["parent"], synonyms, [OWN], lay=lay, part_of=line["part_of"])]
    both = Row(plain, "both", line["region"], line["parent"], synonyms, [OWN], lay=lay, part_of=line["part_of"])
    template = line["name"] if "{}" in line["name"] else "{} " + line["name"]
    return [both] + [
        Row(template.format(side), side, line["region"], plain, [], [OWN], part_of=line["part_of"])
        for side in ("left", "right")
    ]


def _take(draft: Draft, terms: Iterable[Term], kinds: dict[str, list[str]], wholes: dict[str, list[str]]) -> None:
    """Rows for every term; a left and a right one get a row for the pair above them."""
    given = {_edited(term.name): term for term in terms}
    given = {_owned(draft, name): term for name, term in given.items()}
    plain_of = {name: _SIDE.sub("", name, count=1) for name in given}
    paired = {plain_of[name] for name in given if _mirrored(name) in given and not _ONE_ORGAN.search(name)}
    for name, term in given.items():
        plain = plain_of[name]
        kind = term.group if term.source == HRA else kind_of(term.name, kinds.get(term.name, []))
        region = ",".join(regions_of(term.name, [*wholes.get(term.name, []), *term.part_of], kind))
        if plain == name:
            _one(draft, name, term, "both" if name in paired else "", region, kind)
            continue
        if plain not in paired:
            if _ONE_ORGAN.search(name):
                _one(draft, name, term, "", region, kind)
            continue  # half of a pair whose other half the source lacks
        if draft.of(plain) is None:
            draft.add(Row(plain, "both", region, kind, [], [term.source]))
        above = draft.of(plain)
        assert above is not None
        side = "right" if "right " in name else "left"
        half = next((row.name for row in draft.rows.values() if row.parent == above.name and row.side == side), name)
        _one(draft, half, term, side, region, above.name)


def _owned(draft: Draft, name: str) -> str:
    found = draft.like(name)
    return name if found is None else found.name


def _mirrored(name: str) -> str:
    """The name with its first left turned into right or the other way round; "" without either."""
    side = _SIDE.search(name)
    return _SIDE.sub("right " if side[1] == "left" else "left ", name, count=1) if side else ""


def _one(draft: Draft, name: str, term: Term, side: str, region: str, parent: str) -> None:
    found = draft.of(name)
    if found is None:
        found = Row(name, side, region, parent, [], [term.source])
        draft.add(found)
    found.owes(term.source)
    if term.source == FMA:
        found.fma = found.fma or term.code
        found.is_a = found.is_a or (term.is_a[0] if term.is_a else "")
    whole = next((draft.owner.get(_edited(part), _edited(part)) for part in term.part_of), "")
    found.part_of = found.part_of or (whole if whole != found.name else "")


def _more_terms(draft: Draft, line: dict[str, str]) -> bool:
    row = draft.of(line["name"])
    if row is None:
        return False
    row.synonyms += [term for term in line["synonyms"].split("|") if term and draft.claim(row, term)]
    row.lay += [term for term in line["lay"].split("|") if term and draft.claim(row, term)]
    return True


def _counted_terms(draft: Draft, row: Row) -> None:
    """L4, T12 and the like."""
    for letter, level in (("c", "cervical"), ("t", "thoracic"), ("th", "thoracic"), ("d", "thoracic"), ("l", "lumbar")):
        for number, word in enumerate(ORDINALS, start=1):
            if f"{word} {level} vertebra" in (row.name, *row.synonyms):
                more = [f"{letter}{number}", f"{letter}{number} vertebra"]
                row.synonyms += [term for term in more if draft.claim(row, term)]


def _disc_terms(draft: Draft, row: Row) -> None:
    """L4/5 and the like for the disc below a vertebra."""
    found = re.fullmatch(r"intervertebral disk of (\w+) (cervical|thoracic|lumbar) vertebra", row.name)
    if found is None or found[1] not in ORDINALS:
        return
    number, letter = ORDINALS.index(found[1]) + 1, found[2][0]
    last = {"c": 7, "t": 12, "l": 5}[letter]
    below = f"{letter}{number + 1}" if number < last else {"c": "t1", "t": "l1", "l": "s1"}[letter]
    more = [f"{letter}{number} {below} disc"] + ([f"{letter}{number} {number + 1} disc"] if number < last else [])
    row.synonyms += [term for term in more if draft.claim(row, term)]


def _codes(draft: Draft, codes: dict[str, str]) -> None:
    for name, code in codes.items():
        row = draft.of(name)
        if row is not None and not row.uberon and not row.side:
            row.uberon = code
            row.owes(HRA)


def _volumes(draft: Draft, volumes: dict[str, tuple[float, float]], source: str, owed: str) -> None:
    for name, (low, high) in volumes.items():
        row = draft.of(name)
        if row is not None and row.side != "both":
            row.volume_ml = "-".join(f"{float(f'{ml:.3g}'):g}" for ml in (low, high))
            row.volume_source = source
            row.owes(owed)


def _edited(name: str) -> str:
    for old, new in _EDITS.items():
        name = name.replace(old, new)
    return _RENAMED.get(name, name)


def _lines(name: str) -> list[dict[str, str]]:
    with TABLE.with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


if __name__ == "__main__":
    write(build(Path(sys.argv[1])), Path(sys.argv[2]))
