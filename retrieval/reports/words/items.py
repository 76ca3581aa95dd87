"""What a sentence names, in order: structures, lesions, sides, sizes, states, counts and the words that join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
_GONE_FROM = frozenset({"the", "a", "his", "her", "their", "hospital", "early", "before"})
_REMOVALS = frozenset({"lobectomy", "resection", "excision", "removal", "amputation", "segmentectomy", "enucleation"})


def read_items(words: Sequence[Word], table: StructureTable) -> list[Item]:
    """Every item of a sentence, left to right, without overlap."""
    plain = [word.text for word in words]
    found = [item_of(match, plain, table) for match in index(table).find(plain)]
    taken = {n for item in found for n in range(item.first, item.last)}
    found = [item for item in found if item.how != "other"]
    found = [
        replace(item, how="surgery", last=item.last + 1)
        if item.sort == "organ" and set(plain[item.last : item.last + 1]) & _REMOVALS
        else item
        for item in found
    ]
    found = [_without_noun(item, plain) for item in found]
    found = unglued(joined(found, plain, table), plain, table)
    found += shared_heads(plain, found, taken, table)
    named = {n for item in found if item.how == "name" for n in range(item.first, item.last)}
    found = [item for item in found if item.how != "adjective" or item.first not in named]
    taken |= named
    for kind in ("sides", "status"):
        for match in phrases_of(kind).find(plain):
            span = set(range(match.first, match.last))
            if (
                plain[match.first] == "left"
                and set(plain[match.last : match.last + 1]) & _GONE_FROM
                and not (match.first and plain[match.first - 1] in ("the", "on", "to"))
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
    ends = {item.last for item in found if item.sort == "organ"}
    found += [
        Item("state", "small", n, n + 1)
        for n, word in enumerate(plain)
        if word == "small" and n in ends and (n + 1 == len(plain) or not plain[n + 1].isalpha())
    ]
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


def _without_noun(item: Item, words: Sequence[str]) -> Item:
    """ "Right subdural 9 mm": the haematoma is left out."""
    meant = dict(report_words()["elliptic"]).get(words[item.first])
    alone = item.last == len(words) or not words[item.last].isalpha()
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


def _opens_phrase(words: Sequence[str], n: int) -> bool:
    return n == 0 or words[n - 1] in JOINTS | {"the", ".", ";", ":"}


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
