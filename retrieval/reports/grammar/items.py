"""What a sentence names, in order: structures, lesions, sides, sizes, states, counts and the words that join them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from ...anatomy.structures import Structure, StructureTable
from ..lexicon import Match, Phrases, form_of, phrases_of, report_words
from ..mentions import is_lesion, whole
from ..sizes import Size
from .shorthand import Word

Sort = Literal["organ", "lesion", "side", "size", "state", "count", "same"]
SHORTEST = 4
_JOINTS = frozenset({",", "and", "or", "/", "nor"})
_BETWEEN = _JOINTS | {"the", "left", "right", "both"}
_SIDE = re.compile(r"\b(left|right|lt|rt)[ ,-]*(?:sided )?")
_SPAN = 12  # words between a shared head and the first that shares it
_AGAIN = (
    "former",
    "latter",
    "larger",
    "largest",
    "smaller",
    "smallest",
    "bigger",
    "biggest",
    "latter",
    "dominant",
    "index",
)
_GONE_FROM = frozenset({"the", "a", "his", "her", "their", "hospital", "early", "before"})
_REMOVALS = frozenset({"lobectomy", "resection", "excision", "removal", "amputation", "segmentectomy", "enucleation"})
_SIDES_OF_BONE = frozenset({"superior", "inferior", "anterior", "posterior", "upper", "lower", "end"})
_BOTH_IN_ONE = frozenset({"bibasilar", "bibasal", "biapical"})
_PLURALS = frozenset({"testes", "axillae", "femora", "thalami", "hippocampi", "epididymides", "adnexa", "apices", "hila",
                      "clavicles", "scapulae", "humeri", "orbits", "putamina", "pallida", "amygdalae"})  # fmt: skip


@dataclass(frozen=True)
class Item:
    """Something named in words `first` up to and without `last`.

    Attributes:
        name: structure (of a pair the pair), kind of lesion, side, state or "" .
        how: "name", "adjective", "surgery", "megaly", "predicate" or "again" ("the larger one").
        side: of a structure or lesion, where it stands in the name or right before; in `order` as said.
        both_named: the sides of "right and left kidneys" in their order.
    """

    sort: Sort
    name: str
    first: int
    last: int
    how: str = "name"
    side: str = ""
    size: Size | None = None
    count: int | None = None
    both_named: tuple[str, ...] = ()
    plural: bool = False


def read_items(words: Sequence[Word], table: StructureTable) -> list[Item]:
    """Every item of a sentence, left to right, without overlap."""
    plain = [word.text for word in words]
    found = [_named(match, plain, table) for match in _index(table).find(plain)]
    taken = {n for item in found for n in range(item.first, item.last)}
    found = [item for item in found if item.how != "other"]
    found = [
        replace(item, how="surgery", last=item.last + 1)
        if item.sort == "organ" and set(plain[item.last : item.last + 1]) & _REMOVALS
        else item
        for item in found
    ]
    found = _unglued(_joined(found, plain, table), plain, table)
    found += _shared_heads(plain, found, taken, table)
    named = {n for item in found if item.how == "name" for n in range(item.first, item.last)}
    found = [item for item in found if item.how != "adjective" or item.first not in named]
    taken |= named
    for kind in ("sides", "status"):
        for match in phrases_of(kind).find(plain):
            span = set(range(match.first, match.last))
            if plain[match.first] == "left" and set(plain[match.last : match.last + 1]) & _GONE_FROM and not (
                match.first and plain[match.first - 1] in ("the", "on", "to")
            ):
                continue  # "the patient left the department"
            if match.value == "present" and match.last in taken and _opens_phrase(plain, match.first):
                continue  # "and visualised paranasal sinuses"
            if not span & taken:
                sort: Sort = "side" if kind == "sides" else "state"
                found.append(Item(sort, match.value, match.first, match.last))
                taken |= span
    found += _formed(plain, taken)
    organs = {item.first for item in found if item.sort == "organ"}
    found += [
        Item("state", "small", n, n + 1) for n, word in enumerate(plain[:-1]) if word == "small" and n + 1 in organs
        and not any(item.sort == "lesion" and n < item.first <= n + 3 for item in found)
    ]  # fmt: skip
    found += [Item("size", "", n, n + 1, size=word.size) for n, word in enumerate(words) if word.size is not None]
    found += _counts(words, taken)
    found += [
        Item("same", word, n, n + 1, how="again")
        for n, word in enumerate(plain)
        if word in _AGAIN and n not in taken and plain[n + 1 : n + 2] != ["than"]
    ]
    return sorted(found, key=lambda item: item.first)


def _joined(found: Sequence[Item], words: Sequence[str], table: StructureTable) -> list[Item]:
    """ "Infrarenal abdominal aortic", "L4 nerve root": names side by side that mean one structure become the last."""
    made: list[Item] = []
    for item in found:
        before = made[-1] if made else None
        near = before is not None and set(words[before.last : item.first]) <= _SIDES_OF_BONE
        if before is not None and item.how == "part" and before.sort == "organ" and before.last == item.first:
            part = table.get(f"{item.name} of {before.name}") or table.get(f"{before.name} {item.name}")
            made[-1] = replace(before, name=part.name if part is not None else before.name, last=item.last)
            continue
        if before is not None and near and before.sort == item.sort == "organ":
            row, whole_row = table.get(item.name), table.get(before.name)
            of_level = whole_row is not None and whole_row.name.endswith("vertebra") and item.how != "surgery"
            inside = row is not None and before.how == "adjective" and (before.name == item.name or row.part_of == before.name)
            if of_level and item.name in ("vertebral endplate", "vertebral body", "vertebra"):
                made[-1] = replace(before, last=item.last)
                continue
            if (of_level or inside) and before.last == item.first:
                made[-1] = replace(item, first=before.first, side=item.side or before.side)
                continue
        made.append(item)
    return made


def _unglued(found: Sequence[Item], words: Sequence[str], table: StructureTable) -> list[Item]:
    """ "Mitral and tricuspid regurgitation": a lesion's own adjective is taken apart where another shares its noun."""
    made: list[Item] = []
    for item in found:
        before = made[-1] if made else None
        head = item.last - 1
        if (
            before is not None
            and item.sort == "lesion"
            and head > item.first
            and before.sort == "organ"
            and before.how in ("name", "adjective")
            and words[before.last : item.first] in (["and"], ["or"], ["/"], [","])
        ):
            own = _index(table).find(words[item.first : head])
            noun = _index(table).find(words[head : item.last])
            if len(own) == len(noun) == 1 and own[0].value[0] == "organ" and noun[0].value[0] == "lesion":
                made.append(replace(_named(own[0], words[item.first : head], table), first=item.first, last=head))
                made.append(replace(item, name=noun[0].value[1], first=head))
                continue
        made.append(item)
    return made


def _formed(words: Sequence[str], taken: set[int]) -> list[Item]:
    """Lesions and removals that only their ending tells."""
    made = []
    for n, word in enumerate(words):
        form = form_of(word) if n not in taken and word.isalpha() else None
        if form is None or (form.kind == "surgery" and not form.structure):
            continue
        lesion = form.kind == "lesion"
        made.append(
            Item("lesion", form.name, n, n + 1, plural=form.name != word)
            if lesion
            else Item("organ", form.structure, n, n + 1, "surgery")
        )
        taken.add(n)
    return made


def _opens_phrase(words: Sequence[str], n: int) -> bool:
    return n == 0 or words[n - 1] in _JOINTS | {"the", ".", ";", ":"}


def _named(match: Match[tuple[str, str, str]], words: Sequence[str], table: StructureTable) -> Item:
    kind, name, how = match.value
    if kind == "state":
        return Item("state", name, match.first, match.last)
    if kind != "organ":
        plural = words[match.last - 1].endswith(("s", "i", "ae")) and not words[match.last - 1].endswith(
            ("is", "us", "ss")
        )
        return Item("lesion", name, match.first, match.last, how, plural=plural)
    row = table.get(name) if how != "part" else None
    side = row.side if row is not None and row.side in ("left", "right") else ""
    pair = whole(table, name) if side else name
    if words[match.first] in _BOTH_IN_ONE:
        side = "both"
    if row is not None and row.side in ("", "both") and words[match.first] in ("left", "right"):
        side = words[match.first]  # "right middle lobe": said, though there is no other
    plural = _is_plural(words[match.last - 1]) and how != "surgery"
    if (
        row is not None
        and row.side in ("both", "left", "right")
        and (set(row.regions) != {"limb"} or row.parent == "body region")
        and plural
        and not side
    ):
        side = "plural"
    return Item("organ", pair, match.first, match.last, how, side, plural=plural)


def _is_plural(word: str) -> bool:
    return word in _PLURALS or word.endswith("ae") or (
        word.endswith("s") and not word.endswith(("ss", "us", "is", "pelvis", "pancreas", "ns"))
    )


def _shared_heads(words: Sequence[str], found: Sequence[Item], taken: set[int], table: StructureTable) -> list[Item]:
    """Names that leave their head to a later one: "portal, splenic and hepatic veins", "4th and 5th ribs"."""
    made: list[Item] = []
    firm = {n for item in found if item.how != "adjective" for n in range(item.first, item.last)}
    for item in found:
        full = list(words[item.first : item.last])
        if item.sort != "organ" or len(full) < 2:
            continue
        at = item.first
        while item.first - at < _SPAN and at > 1 and words[at - 1] in _BETWEEN:
            last = at
            while last > 0 and words[last - 1] in _BETWEEN:
                last -= 1
            if not any(word in _JOINTS for word in words[last:at]):
                break
            sharer = _sharer(words, last, full, firm, table)
            if sharer is None:
                break
            at, row = sharer
            side = "plural" if item.plural and row.side == "both" and set(row.regions) != {"limb"} else ""
            made.append(Item("organ", whole(table, row.name), at, last, "name", side, plural=item.plural))
    return made


def _sharer(
    words: Sequence[str], last: int, full: Sequence[str], firm: set[int], table: StructureTable
) -> tuple[int, Structure] | None:
    """The longest run of up to three words before `last` that makes a name with the end of the full one."""
    for at in range(max(0, last - 3), last):
        if any(n in firm or words[n] in _BETWEEN for n in range(at, last)):
            continue
        for cut in range(1, len(full)):
            name = [*words[at:last], *full[cut:]]
            match = _index(table).find(name)
            if len(match) == 1 and match[0].first == 0 and match[0].last == len(name) and match[0].value[0] == "organ":
                row = table.get(match[0].value[1])
                if row is not None:
                    return at, row
    return None


def _counts(words: Sequence[Word], taken: set[int]) -> list[Item]:
    numbers = {term: int(value) for term, value in report_words()["number"] if term != "both"}
    found = []
    for n, word in enumerate(words):
        if n in taken:
            continue
        if word.text in numbers:
            found.append(Item("count", word.text, n, n + 1, count=numbers[word.text]))
        elif word.sort == "number" and word.text.isdigit() and int(word.text) < 100:
            found.append(Item("count", word.text, n, n + 1, count=int(word.text)))
        elif word.text in ("another", "none"):
            found.append(Item("count", word.text, n, n + 1))
    return found


@cache
def _index(table: StructureTable) -> Phrases[tuple[str, str, str]]:
    """Names of structures and lesions and what only looks like one; the longest wins."""
    words = report_words()
    entries: list[tuple[str, tuple[str, str, str]]] = [(term, ("none", name, "other")) for term, name in words["other"]]
    entries += [(term, ("state", name, "name")) for term, name in words["status"] if " " in term]
    for how in ("surgery", "megaly", "adjective"):
        entries += [(term, ("organ", name, how)) for term, name in words[how] if table.get(name)]
    entries += [(term, ("organ", name, "part")) for term, name in words["part"]]
    entries += [(term, ("lesion", name, "name")) for term, name in words["lesion"]]
    entries += [(term, ("lesion", name, "predicate")) for term, name in words["predicate"]]
    shorts = {term.lower() for term, _value in words["short"]}
    for row in table.rows:
        if is_lesion(row.name) or row.parent in ("lesion", "lymph node"):
            continue
        for term in row.terms:
            level = re.fullmatch(r"[ctl]\d{1,2}", term) and term not in ("t1", "t2")
            if (len(term) < SHORTEST or term in shorts) and not level:
                continue
            rest = _SIDE.sub("", term)
            if rest == term or table.get(rest) is None:
                entries += [(form, ("organ", row.name, "name")) for form in (term, *_spellings(term))]
    return Phrases(entries, plurals=True)


def _spellings(term: str) -> Iterable[str]:
    """British for American, "rib 4th" for "fourth rib" and the like."""
    for old, new in (
        ("esoph", "oesoph"),
        ("celiac", "coeliac"),
        ("cecum", "caecum"),
        ("disk", "disc"),
        ("peroneal", "fibular"),
    ):
        if old in term and new not in term:
            yield term.replace(old, new)
    if " of " in term:
        yield term.replace(" of ", " of the ")
    for end, plural in (("us", "i"), ("a", "ae"), ("is", "es"), ("um", "a")):
        if term.endswith(end):
            yield term.removesuffix(end) + plural
    for word, number in (("fourth", "4th"), ("fifth", "5th"), ("sixth", "6th"), ("seventh", "7th"), ("eighth", "8th"),
                         ("ninth", "9th"), ("tenth", "10th"), ("eleventh", "11th"), ("twelfth", "12th"), ("first", "1st"),
                         ("second", "2nd"), ("third", "3rd")):  # fmt: skip
        if word in term.split():
            yield term.replace(word, number)
            yield term.replace(word, f"{number[:-2]}th")
