"""What a sentence says of an entry: whether it is there, and of a structure its size or that it was removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .context import Presence, presence_of
from .grammar.entries import Entry
from .lexicon import report_words
from .text import Sentence
from .words.kinds import needs_place, renamed, seen_things
from .words.shorthand import Word

Status = Literal["", "normal", "enlarged", "small", "removed", "present"]
_NOT_LOOKED_AT = ("not visualised", "not visualized", "not evaluated", "not assessed", "not imaged", "not included", "not well seen",
                  "not examined", "not covered", "not seen", "not demonstrated", "not identified", "could not be", "cannot be", "not be assessed", "not visible", "not shown", "not scanned", "obscured", "not fully", "obscured", "poorly seen", "limited")  # fmt: skip
_REACH = 8  # words behind "nodes" in which it is said that they are normal
_NODES_NORMAL = ("not (?:\\w+ )?enlarged", "(?<!ab)normal", "unremarkable", "within normal", "physiologic(?:al)?")
_ENDING = frozenset({"and", "or", "with", "but", "of", "in", "is", "are"})
_SEVERAL = 2
_FEW = 4  # words from "no" to what is denied
_OF_SOMETHING = frozenset({"enhancement", "uptake", "lesion", "mass", "nodule", "focus", "abnormality", "disease"})
_UNTOLD = frozenset({"new", "other", "further", "additional", "distant", "significant", "interval"})
_DOUBTED = frozenset({"excluded", "ruled", "suspected", "possible", "considered"})
_OR = 2  # words between two things of which one is there
_NEAR = 5  # words from "absence of" to the structure


@dataclass(frozen=True)
class ReadSentence:
    """A sentence with its words, and these as plain text."""

    sentence: Sentence
    words: Sequence[Word]
    plain: Sequence[str]


def presence_in(entry: Entry, entries: Sequence[Entry], read: ReadSentence) -> Presence:
    """Whether the sentence affirms the entry, denies it, or speaks of the past, a possibility, somebody else."""
    if entry.denied:
        return "absent"
    for other in entries:
        between = read.plain[other.last : entry.first]
        if (
            other.how == "surgery"
            and other.sentence == entry.sentence
            and between[:1] == ["for"]
            and not {",", "with", "no", "without"} & set(between)
        ):
            return "historical"  # "nephrectomy for carcinoma"
    if _normal_nodes(entry, entries, read):
        return "absent"
    others = [
        (e.first, e.last)
        for e in entries
        if e is not entry
        and e.sentence == entry.sentence
        and (e.group != entry.group or _apart(entry, e, read))
        and (e.lesion or e.how != "adjective" or e.state or e.sizes)
    ]
    told = presence_of(read.plain, entry.first, entry.last, others)
    if told == "present" and entry.lesion and _one_of_two(entry, entries, read):
        return "possible"
    return "present" if told == "historical" and entry.seen_now else told


def _apart(entry: Entry, other: Entry, read: ReadSentence) -> bool:
    """ "Focal uptake, metastasis cannot be excluded": a doubt behind both is of the second, which is no list with the first."""
    between = read.plain[entry.last : other.first]
    behind = read.plain[other.last : other.last + _NEAR]
    alone = entry.lesion in seen_things() or entry.lesion in renamed() or entry.how == "predicate"
    apart = between[:1] == [","] and not {"or", "and", "nor"} & set(between)
    return apart and alone and other.lesion not in seen_things() and bool(_DOUBTED & set(behind))


def _one_of_two(entry: Entry, entries: Sequence[Entry], read: ReadSentence) -> bool:
    """ "Collapse or consolidation": either may be there."""
    for other in entries:
        if other is entry or not other.lesion or other.sentence != entry.sentence or other.lesion == entry.lesion:
            continue
        first, second = (other, entry) if other.first < entry.first else (entry, other)
        between = read.plain[first.last : second.first]
        if (between[:1] == ["or"] and len(between) <= _OR) or between[:2] in (["versus"], ["vs"]):
            return True
    return False


def says_little(entry: Entry, entries: Sequence[Entry], read: ReadSentence) -> bool:
    """ "No new lesion", "no distant metastases": a denial of what no structure of the sentence is the place of."""
    before = read.plain[max(0, entry.first - _FEW) : entry.last]
    here = [e for e in entries if e.sentence == entry.sentence and not e.inherited]
    named = any(e.place is not None and e.place.said for e in here)
    own = entry.names_place or bool(entry.side) or named
    if entry.lesion == "abnormality":
        return True
    if own or "no" not in before:
        return False
    nowhere = entry.place is None and entry.lesion in _OF_SOMETHING
    far = read.plain[0] == "no" and (nowhere or (entry.from_afar and entry.lesion in needs_place()))
    return far or bool(_UNTOLD & set(before[before.index("no") :]))


def at_every_place(entry: Entry, entries: Sequence[Entry], read: ReadSentence) -> list[Entry]:
    """ "Uptake in the ilium, T8 and a rib, suspicious for metastases": further entries, so that each place has one."""
    before = [
        e
        for e in entries
        if e.lesion and e.last <= entry.first and e.group != entry.group and e.sentence == entry.sentence
    ]
    group = [e for e in before if e.first == before[-1].first and e.place is not None]
    if not entry.lesion or entry.place is not None or entry.side or entry.names_place or len(group) < _SEVERAL:
        return []
    if presence_in(entry, entries, read) != "possible":
        return []
    entry.place, entry.side, entry.open = group[0].place, group[0].side, False
    made = [entry.copy((entry.first, entry.last)) for _other in group[1:]]
    for copied, other in zip(made, group[1:], strict=True):
        copied.place, copied.side, copied.weak = other.place, other.side, False
    return made


def _normal_nodes(entry: Entry, entries: Sequence[Entry], read: ReadSentence) -> bool:
    """ "Nodes of normal size", "the nodes are not enlarged": named, and no lymphadenopathy."""
    if entry.lesion != "lymphadenopathy" or not {"node", "nodes"} & set(read.plain[entry.first : entry.last]):
        return False
    later = [e.first for e in entries if e.sentence == entry.sentence and e.lesion and e.first >= entry.last]
    behind = (
        " ".join(read.plain[entry.last : min([entry.last + _REACH, *later])])
        .replace("up to <size>", "")
        .replace("<size>", "")
        .strip()
    )
    before = read.plain[max(0, entry.first - _NEAR) : entry.first]
    near = before[max((n + 1 for n, word in enumerate(before) if not word.isalpha() or word in _ENDING), default=0) :]
    return ("normal" in near and "not" not in near) or any(
        re.match(rf"(?:\w+ )*?(?:[,:] )?{phrase}\b", behind) and "not normal" not in behind for phrase in _NODES_NORMAL
    )


def status_of(entry: Entry, entries: Sequence[Entry], read: ReadSentence) -> Status:
    """What is said about a structure: "not enlarged" means normal, "not normal" nothing we can check."""
    known: tuple[Status, ...] = ("normal", "enlarged", "small", "removed", "present")
    status: Status = next((one for one in known if one == entry.state), "")
    if status in ("enlarged", "small", "normal") and entry.state_at != (entry.first, entry.last):
        mine = [e for e in entries if e.sentence == entry.sentence and not e.lesion]
        others = [(e.first, e.last) for e in mine if e.first >= entry.state_at[1]]
        if presence_of(read.plain, *entry.state_at, others) == "absent":
            return "" if status == "normal" else "normal"
    return status


def statement(
    entry: Entry, entries: Sequence[Entry], status: Status, presence: Presence, read: ReadSentence
) -> tuple[Status, Presence] | None:
    """Status and presence of a structure; None when the sentence says nothing of itself about it."""
    if entry.how == "surgery":
        return "removed", "absent"
    if entry.how == "megaly":
        return ("normal", "present") if presence == "absent" else ("enlarged", presence)
    if "absence" in read.plain[max(0, entry.first - _NEAR) : entry.first]:
        return "removed", "absent"
    if status == "removed":
        return ("removed", "absent") if presence in ("present", "historical", "absent") else (status, presence)
    rest = " ".join(read.plain[entry.last :])
    if any(phrase in rest for phrase in _NOT_LOOKED_AT) and not entry.sizes:
        return None
    if status in ("enlarged", "small", "normal"):
        return status, "present" if presence in ("absent", "historical") else presence
    if entry.sizes:
        return status, "present" if presence == "absent" else presence
    if entry.state == "shown":
        return "present", "present" if presence == "absent" else presence
    if status == "present" and presence == "absent":
        return "", "absent"
    alone = not any(e.lesion and e.sentence == entry.sentence for e in entries)
    handled = bool(_done() & set(read.plain[entry.last : entry.last + _NEAR]))  # "the abdomen was scanned"
    return (status, presence) if entry.is_subject and alone and not handled else None


@cache
def _done() -> frozenset[str]:
    return frozenset(term for term, _value in report_words()["done"])
