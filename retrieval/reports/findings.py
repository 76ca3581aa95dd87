"""From a report's sentences to findings: structure or lesion, side, presence, size, count, place, change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from ..anatomy.structures import StructureTable
from .context import Presence
from .directions import Direction
from .grammar.binding import Binder
from .grammar.entries import Entry, Memory, Place
from .grammar.settling.limb_sides import give_limb_sides
from .grammar.settling.settler import Settler
from .lexicon import phrases_of, report_words
from .mentions import named_structure
from .sizes import Bound
from .stating import ReadSentence, Status, at_every_place, presence_in, says_little, statement, status_of
from .text import CHECKABLE, ReportText, Sentence
from .words.items import read_items
from .words.kinds import devices, seen_things
from .words.shorthand import read_words

BACKGROUND = "history"  # the section whose lesions are past or asked for
NOTHING = "nothing"  # what is left out, but has a place and a size ("resection cavity")
_NEAR = 7  # words from "uptake" to "is physiological"
_HOLD_GAS = ("rectum", "colon", "sigmoid colon", "stomach", "small intestine", "intestine", "duodenum")
_SHOWN = re.compile(r"\bthere (?:is|are)\b|\bshows?\b|\d\s?[cm]m\b|\bunremarkable\b", re.IGNORECASE)
_AGED = re.compile(
    r"\b\d{1,3}[\s-]?(?:y|yo|yrs?|years?)\b(?!\s*(?:ago|after|before|earlier))|\b(?:man|woman|boy|girl|male|female) (?:of|aged) \d|\b\d{1,3}\s?[MF]\b",
    re.IGNORECASE,
)
_VAGUE = ("abnormality", "disease")  # say nothing without a structure


@dataclass(frozen=True)
class Finding:
    """One claim of a sentence about the image.

    Attributes:
        sentence: its number in the report.
        structure: canonical name with its side where said ("left kidney"), the lesion's host, or "".
        lesion: kind of lesion ("cyst"), or "" when the structure itself is meant.
        side: "left", "right", "both" or "".
        presence: what is said about the lesion, or about the structure.
        status: what is said about the structure: its size, or that it was removed.
        size_mm: longest dimension; `sizes_mm` all of them, and `along` the way of the body each is told along, or "".
        dimensions: how many of `sizes_mm` are dimensions of one size; 1 where they are several sizes.
        location, change: words as said.
        inherited: the structure comes from an earlier sentence ("It shows a cyst").
        disputed: in what two readers of the report differ about it, or "".
        start, end: characters of the report that hold the claim.
    """

    sentence: int
    section: str
    structure: str
    lesion: str
    side: str
    presence: Presence
    status: Status
    sizes_mm: tuple[float, ...] = ()
    volume_ml: float | None = None
    bound: Bound = ""
    count: int | None = None
    location: tuple[str, ...] = ()
    change: str = ""
    inherited: bool = False
    disputed: str = ""
    start: int = 0
    end: int = 0
    along: tuple[Direction, ...] = ()
    dimensions: int = 1

    @property
    def size_mm(self) -> float | None:
        """The longest dimension, or None."""
        return self.sizes_mm[0] if self.sizes_mm else None


def find_findings(report: ReportText, table: StructureTable | None = None) -> list[Finding]:
    """Findings of the sections that speak about the image, in the order of the text."""
    table = table or StructureTable.bundled()
    memory, paragraph = Memory(), -1
    paragraphs: list[list[Entry]] = [[]]
    read: dict[int, ReadSentence] = {}
    about = " ".join(sentence.text for sentence in report.sentences)
    for sentence in _after_questions(report.sentences):
        if sentence.section not in (*CHECKABLE, BACKGROUND):
            continue
        if sentence.paragraph != paragraph or sentence.section == BACKGROUND:
            earlier = memory.topic or memory.earlier if sentence.section in CHECKABLE else None
            memory = Memory(
                sided=memory.sided, regions=memory.regions, earlier=earlier, label=memory.titled, titled=memory.titled
            )
            paragraph = sentence.paragraph
            paragraphs.append([])
        mine = paragraphs[-1]
        words = read_words(sentence.text, sentence.start, about)
        told = replace(sentence, section=BACKGROUND) if _speaks_of_patient(sentence.text) else sentence
        read[sentence.number] = ReadSentence(told, words, [word.text for word in words])
        binder = Binder(words, read_items(words, table), sentence.number, memory, table)
        topic = memory.topic
        made = binder.read()
        for entry in list(made):
            made += at_every_place(entry, made, read[sentence.number])
        for entry in made:
            hedged = presence_in(entry, made, read[entry.sentence]) == "possible"
            Settler(entry, mine, memory, table, hedged=hedged).settle()
            mine.append(entry)
        if devices() & {word.text for word in words} and not any(entry.lesion for entry in made):
            memory.topic = topic  # "tip of the line in the right atrium"
        memory.goes_on = sentence.text.endswith(";")
        memory.end_sentence(made, binder.label_lesion if memory.goes_on else None)
    give_limb_sides(paragraphs, memory.sided, memory.regions, table)
    found = [finding for entries in paragraphs for finding in _made(entries, read, table)]
    today = {finding.lesion for finding in found if finding.section in CHECKABLE}
    return [finding for finding in found if finding.section in CHECKABLE or finding.lesion not in today]


def _after_questions(sentences: Sequence[Sentence]) -> Iterator[Sentence]:
    """The sentences; what is seen is told from "There is …" on, also behind "Indication: headache." in the same line."""
    asked, seen = -1, False
    for sentence in sentences:
        if sentence.section != BACKGROUND or sentence.paragraph != asked:
            asked, seen = (sentence.paragraph if sentence.section == BACKGROUND else -1), False
            yield sentence
            continue
        seen = seen or _SHOWN.search(sentence.text) is not None
        yield replace(sentence, section="findings") if seen else sentence


def _speaks_of_patient(text: str) -> bool:
    """ "DVT scan, 44 y, swollen calf": why the examination was made."""
    return _AGED.search(text) is not None and ". " not in text and not re.search(r"\d\s?[cm]m\b", text)


def _made(entries: Sequence[Entry], read: dict[int, ReadSentence], table: StructureTable) -> list[Finding]:
    """Findings of one paragraph, each said only once in a sentence."""
    found: list[Finding] = []
    known: set[tuple[object, ...]] = set()
    for entry in sorted(entries, key=lambda e: (e.sentence, e.first)):
        finding = _finding(entry, entries, read[entry.sentence], table)
        if finding is None:
            continue
        said = entry.place.said if entry.place and not entry.lesion else ""
        once = (finding.sentence, finding.structure, finding.lesion, finding.presence, entry.first)
        if entry.lesion and not finding.sizes_mm and (*once, "") in known:
            continue  # "blood fills the cisterns and both fissures"
        if entry.lesion and not finding.side:
            known.add((*once, ""))
        key = (
            finding.sentence,
            finding.structure,
            finding.lesion,
            finding.side,
            finding.presence,
            finding.sizes_mm,
            said,
        )
        plain = (finding.sentence, finding.structure, finding.lesion, finding.side, finding.presence, said)
        if key in known or (not finding.sizes_mm and plain in known):
            continue
        known |= {key, plain}
        found.append(finding)
    return found


def _finding(entry: Entry, entries: Sequence[Entry], read: ReadSentence, table: StructureTable) -> Finding | None:
    """The finding of an entry; None when a structure is only named as a place."""
    if (
        entry.template
        or entry.lesion == NOTHING
        or ((entry.lesion in _VAGUE or entry.how == "predicate") and entry.place is None)
    ):
        return None
    if not entry.lesion and not (entry.place and entry.place.organ):
        return None
    if entry.lesion == "uptake" and {"physiological", "physiologic"} & set(read.plain[entry.last : entry.last + _NEAR]):
        return None
    if entry.lesion == "gas" and entry.place is not None and entry.place.organ in _HOLD_GAS:
        return None
    presence = presence_in(entry, entries, read)
    if read.sentence.section == BACKGROUND:
        if not entry.lesion or entry.lesion in seen_things() or entry.how != "name" or presence in ("absent", "family"):
            return None
        presence = "historical" if presence in ("present", "historical") else "possible"
    status = status_of(entry, entries, read)
    if not entry.lesion:
        stated = statement(entry, entries, status, presence, read)
        if stated is None:
            return None
        status, presence = stated
    if presence == "absent" and entry.lesion and says_little(entry, entries, read):
        return None
    place = entry.place or Place("")
    if entry.from_afar and presence == "absent" and place.side == "both":
        place = replace(place, side="")  # "defects at both bases. No segmental defect."
        entry.place = place
    side = entry.stands or ("both" if "plural" in (entry.side, place.side) else "")
    sizes = entry.sizes or (entry.priors if presence == "historical" else [])
    if presence == "absent" and entry.lesion not in ("", "dilatation", "enlargement", "distension", "thickening"):
        sizes = []
    if presence == "absent":
        sizes = [size for size in sizes if not size.bound]
    lengths = sorted(((mm, way) for size in sizes for mm, way in zip(size.mm, size.ways, strict=True)), reverse=True)
    one = sizes[0].parts if len(sizes) == 1 else ()
    volume = next((size.ml for size in sizes if size.ml is not None), None)
    begin, end = _clause(entry, read)
    words = read.plain[begin:end]
    return Finding(
        sentence=entry.sentence,
        section=read.sentence.section,
        structure=named_structure(table, place.organ, side),
        lesion=entry.lesion,
        side=side,
        presence=presence,
        status=status,
        sizes_mm=tuple(mm for mm, _way in lengths),
        along=tuple(way for _mm, way in lengths),
        dimensions=len(one[0]) if len(one) == 1 else 1,
        volume_ml=volume,
        bound=next((size.bound for size in sizes if size.bound), ""),
        count=entry.count if presence != "absent" else None,
        location=_location(words),
        change=next((m.value for m in phrases_of("change").find(words)), ""),
        inherited=entry.inherited,
        start=read.words[begin].start,
        end=read.words[end - 1].end,
    )


def _clause(entry: Entry, read: ReadSentence) -> tuple[int, int]:
    """Words of the sentence around the entry, up to "but", "while" and the like."""
    cuts = [0, *(n for n, word in enumerate(read.plain) if word in _cutting()), len(read.plain)]
    begin = max(cut for cut in cuts if cut <= entry.first)
    end = min(cut for cut in cuts if cut > entry.first)
    return begin, end


@cache
def _cutting() -> frozenset[str]:
    return frozenset(term for term, _value in report_words()["clause"]) - {"dash"}


def _location(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(" ".join(words[m.first : m.last]) for m in phrases_of("location").find(words)))
