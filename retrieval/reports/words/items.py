"""What a sentence names, in order: structures, lesions, sides, sizes, states, counts and the words that join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from ...anatomy.structures import StructureTable
from ..lexicon import form_of, phrases_of, report_words
from .joining import JOINTS, joined, shared_heads, unglued
from .naming import Item, Sort, index, item_of
from .shorthand import Word

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
_SAID_OF = frozenset(
    {
        "smaller",
        "larger",
        "unchanged",
        "stable",
        "measuring",
        "measures",
        "is",
        "has",
        "resolved",
        "persists",
        "now",
        "over",
        "along",
    }
)
_TITLE = 3  # words of a sentence that may name an examination
_EXAMS = frozenset(
    {
        "ct",
        "mri",
        "mr",
        "scan",
        "study",
        "protocol",
        "ultrasound",
        "doppler",
        "mra",
        "cta",
        "pet",
        "screening",
        "clinic",
    }
)
_LOOKS = frozenset({"smooth", "regular", "homogeneous", "symmetrical", "symmetric", "smoothly", "undisplaced"})
_GONE_FROM = frozenset({"the", "a", "his", "her", "their", "hospital", "early", "before"})


def read_items(words: Sequence[Word], table: StructureTable) -> list[Item]:
    """Every item of a sentence, left to right, without overlap."""
    plain = [word.text for word in words]
    found = [item_of(match, plain, table) for match in index(table).find(plain)]
    taken = {n for item in found for n in range(item.first, item.last)}
    apart = {item.first for item in found if item.how == "other"}
    found = [_operated(_without_noun(item, plain), plain) for item in found if item.how != "other"]
    found = [item for item in found if not _names_exam(item, plain)]
    found = unglued(joined(found, plain, table), plain, table)
    found += shared_heads(plain, found, taken, table)
    named = {n for item in found if item.how == "name" for n in range(item.first, item.last)}
    found = [item for item in found if item.how != "adjective" or item.first not in named]
    taken |= named
    lesions = {item.first for item in found if item.sort == "lesion"}
    found += [
        item for item in _sides_and_states(plain, taken, lesions) if item.sort != "side" or item.last not in apart
    ]
    found += _formed(plain, taken)
    found += _small(plain, found)
    found += [Item("size", "", n, n + 1, size=word.size) for n, word in enumerate(words) if word.size is not None]
    found += _counts(words, taken)
    found += [
        Item("same", word, n, n + 1, how="again")
        for n, word in enumerate(plain)
        if word in _AGAIN and n not in taken and plain[n + 1 : n + 2] != ["than"]
    ]
    return sorted(found, key=lambda item: item.first)


def _names_exam(item: Item, words: Sequence[str]) -> bool:
    """ "Stroke CT", "DVT scan": what is looked for."""
    behind = words[item.last : item.last + 1]
    return item.sort == "lesion" and item.first < _TITLE and bool(behind) and behind[0] in _EXAMS


def _sides_and_states(words: Sequence[str], taken: set[int], lesions: set[int]) -> list[Item]:
    """Sides and states; `lesions` are the words that lesions begin with: "smooth plaque" says nothing of an artery."""
    found = []
    kinds: tuple[tuple[str, Sort], ...] = (("sides", "side"), ("status", "state"))
    for kind, sort in kinds:
        for match in phrases_of(kind).find(words):
            behind, before = words[match.last : match.last + 1], words[match.first - 1] if match.first else ""
            gone = words[match.first] == "left" and set(behind) & _GONE_FROM and before not in ("the", "on", "to")
            seen = match.value == "present" and match.last in taken and before in ("", "the", ":", *JOINTS)
            span = set(range(match.first, match.last))
            # not "the patient left the department", nor "and visualised paranasal sinuses"
            looks = words[match.first] in _LOOKS and words[match.last : match.last + 1] and match.last in lesions
            if not gone and not seen and not looks and not span & taken:
                found.append(Item(sort, match.value, match.first, match.last))
                taken |= span
    return found


def _small(words: Sequence[str], found: Sequence[Item]) -> list[Item]:
    """ "A small kidney", "kidney small": said of a structure, not of a lesion."""
    organs = [item for item in found if item.sort == "organ"]
    lesions = {item.first for item in found if item.sort == "lesion"}
    made = []
    for n, word in enumerate(words):
        sided = words[n + 1 : n + 2] in (["left"], ["right"])
        named = next((item for item in organs if item.first in ((n + 2,) if sided else (n + 1,))), None)
        before = named is not None and named.last not in lesions and not lesions & {n + 1, n + 2, n + 3}
        behind = any(item.last == n for item in organs) and (n + 1 == len(words) or not words[n + 1].isalpha())
        if word == "small" and (before or behind):
            made.append(Item("state", "small", n, n + 1))
    return made


def _operated(item: Item, words: Sequence[str]) -> Item:
    """ "Left upper lobe resection": a removal, and no structure."""
    if item.sort == "organ" and words[item.last : item.last + 1] and words[item.last] in _removals():
        return replace(item, how="surgery", last=item.last + 1)
    return item


@cache
def _removals() -> frozenset[str]:
    return frozenset(term for term, _value in report_words()["removal"])


def _without_noun(item: Item, words: Sequence[str]) -> Item:
    """ "Right subdural 9 mm": the haematoma is left out."""
    meant = dict(report_words()["elliptic"]).get(words[item.first])
    alone = item.last == len(words) or not words[item.last].isalpha() or words[item.last] in _SAID_OF
    if meant is None or not alone or (item.sort, item.how, item.last - item.first) != ("organ", "adjective", 1):
        return item
    return Item("lesion", meant, item.first, item.last)


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


def _is_the_other(words: Sequence[Word], n: int) -> bool:
    """ "One of the basilar tip, the other of the right …"."""
    behind = words[n + 1].text if n + 1 < len(words) else ""
    return words[n].text == "other" and n > 0 and words[n - 1].text == "the" and behind in ("of", "in", "at")


def _counts(words: Sequence[Word], taken: set[int]) -> list[Item]:
    numbers = {term: int(value) for term, value in report_words()["number"] if term != "both"}
    found = []
    for n, word in enumerate(words):
        if n in taken:
            continue
        if word.text in numbers:
            found.append(Item("count", word.text, n, n + 1, count=numbers[word.text]))
        elif n + 1 < len(words) and words[n + 1].text in ("st", "nd", "rd", "th"):
            continue  # "1st MTP joint"
        elif word.sort == "number" and word.text.isdigit() and int(word.text) < 100:
            found.append(Item("count", word.text, n, n + 1, count=int(word.text)))
        elif word.text in ("another", "none") or _is_the_other(words, n):
            found.append(Item("count", "another" if word.text == "other" else word.text, n, n + 1))
    return found
