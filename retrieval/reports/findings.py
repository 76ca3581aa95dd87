"""From a report's sentences to findings: structure or lesion, side, presence, size, count, place, change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from ..anatomy.structures import StructureTable
from .context import Presence, presence_of
from .lexicon import Match, Phrases, Token, report_words, tokens
from .mentions import Mention, mentions, named_structure
from .sizes import Bound, Size, sizes
from .text import CHECKABLE, ReportText, Sentence

Status = Literal["", "normal", "enlarged", "small", "removed", "present"]
_CLAUSE = ("but", "while", "whereas", "however", "although", "and")
_COUNT_REACH = 3


@dataclass(frozen=True)
class Finding:
    """One claim of a sentence about the image.

    Attributes:
        sentence: its number in the report.
        structure: canonical name with its side where said ("left kidney"), the lesion's host, or "".
        lesion: kind of lesion ("cyst"), or "" when the structure itself is meant.
        presence: what is said about the lesion, or about the structure.
        status: what is said about the structure: its size, or that it was removed.
        size_mm: longest dimension; `sizes_mm` all of them.
        location, change: words as said.
        inherited: the structure comes from an earlier sentence ("It shows a cyst").
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
    start: int = 0
    end: int = 0

    @property
    def size_mm(self) -> float | None:
        """The longest dimension, or None."""
        return self.sizes_mm[0] if self.sizes_mm else None


def find_findings(report: ReportText, table: StructureTable | None = None) -> list[Finding]:
    """Findings of the sections that speak about the image, in the order of the text."""
    table = table or StructureTable.bundled()
    found: list[Finding] = []
    subject, paragraph = "", -1
    for sentence in report.sentences:
        if sentence.section not in CHECKABLE:
            continue
        if sentence.paragraph != paragraph:
            subject, paragraph = "", sentence.paragraph
        mine = _of_sentence(sentence, table, subject)
        subject = next((f.structure for f in reversed(mine) if f.structure), subject)
        found += mine
    return found


def _of_sentence(sentence: Sentence, table: StructureTable, subject: str) -> list[Finding]:
    words = tokens(sentence.text, sentence.start)
    plain = [token.word for token in words]
    named = mentions(plain, table)
    if not named:
        return []
    found: list[Finding] = []
    for first, last in _clauses(plain, named):
        mine = [m for m in named if first <= m.first < last]
        clause = _Clause(sentence, words, plain, first, last, mine, table)
        made = clause.findings(subject)
        subject = next((f.structure for f in reversed(made) if f.structure), subject)
        found += made
    return found


def _clauses(words: Sequence[str], named: Sequence[Mention]) -> list[tuple[int, int]]:
    """Cuts a sentence where a new structure gets its own predicate: "... 17 cm and the spleen measures 12 cm"."""
    cuts, start = [0], 0
    for n, word in enumerate(words):
        if word not in _CLAUSE or n == 0:
            continue
        left = [m for m in named if start <= m.first < n]
        right = [m for m in named if m.first > n]
        if not left or not right or not any(m.kind == "structure" for m in right):
            continue
        if word != "and" or (_has_predicate(words[start:n]) and _has_verb(words[n:])):
            cuts.append(n)
            start = n
    return list(zip(cuts, [*cuts[1:], len(words)], strict=True))


_VERBS = ("is", "are", "measures", "measure", "shows", "show", "contains", "has", "appears", "appear", "demonstrates",
          "was", "were", "remains", "looks", "demonstrate", "contain", "exhibits")  # fmt: skip


def _has_verb(words: Sequence[str]) -> bool:
    return any(word in _VERBS for word in words)


def _has_predicate(words: Sequence[str]) -> bool:
    return _has_verb(words) or bool(_status_phrases().find(words)) or any(word[0].isdigit() for word in words)


@dataclass(frozen=True)
class _Clause:
    """Words `first` up to `last` of a sentence, and what is named in them."""

    sentence: Sentence
    tokens: Sequence[Token]
    words: Sequence[str]
    first: int
    last: int
    named: Sequence[Mention]
    table: StructureTable

    def findings(self, subject: str) -> list[Finding]:
        lesions = [m for m in self.named if m.kind == "lesion"]
        organs = [m for m in self.named if m.kind == "structure"]
        shared = self._sizes()
        made = [self._lesion(lesion, organs, subject, shared, alone=len(lesions) == 1) for lesion in lesions]
        for organ in organs:
            about = self._organ(organ, organs, lesions, shared)
            if about is not None:
                made.append(about)
        return sorted(made, key=lambda finding: finding.start)

    def _lesion(
        self, lesion: Mention, organs: Sequence[Mention], subject: str, shared: Sequence[Size], *, alone: bool
    ) -> Finding:
        host = min(organs, key=lambda m: _gap(m, lesion), default=None)
        base = self._finding(lesion)
        structure, side, inherited = "", lesion.side, False
        if host is not None:
            side = host.side or lesion.side
            structure = named_structure(self.table, host.name, side)
        else:
            structure, inherited = self._host_without_words(lesion, subject, side)
        near = list(shared) if alone else [s for s in shared if self._nearest_is(s, lesion)]
        found = replace(
            base,
            structure=structure,
            lesion=lesion.name,
            side=side,
            count=self._count(lesion),
            inherited=inherited,
        )
        return _with_sizes(found, near)

    def _host_without_words(self, lesion: Mention, subject: str, side: str) -> tuple[str, bool]:
        usual = dict(report_words()["host"]).get(" ".join(self.words[lesion.first : lesion.last]))
        for term, name in report_words()["host"]:
            if usual is None and term == lesion.name:
                usual = name
        if usual is not None and self.table.get(usual):
            return named_structure(self.table, usual, side), False
        return named_structure(self.table, subject, side) if side and subject else subject, bool(subject)

    def _organ(
        self, organ: Mention, organs: Sequence[Mention], lesions: Sequence[Mention], shared: Sequence[Size]
    ) -> Finding | None:
        """What the clause says about the structure itself; None when it only says where a lesion is."""
        base = self._finding(organ)
        status, presence = self._status(organ, lesions), base.presence
        mine = [] if lesions else [s for s in shared if len(organs) == 1 or self._nearest_is(s, organ)]
        if lesions and (status in ("", "present") or organ.how == "adjective"):
            return None
        if organ.how == "adjective" and not status and not mine:
            return None
        if organ.how == "megaly":
            status = "normal" if presence == "absent" else "enlarged"
            presence = "present" if presence == "absent" else presence
        elif organ.how == "surgery":
            status, presence = "removed", "absent"
        elif status == "removed" and presence in ("present", "historical", "absent"):
            presence = "absent"
        elif status in ("enlarged", "small", "normal") and presence == "absent":
            status, presence = "normal", "present"
        elif status == "present" and presence == "absent":
            status = ""
        structure = named_structure(self.table, organ.name, organ.side)
        found = replace(base, structure=structure, side=organ.side, presence=presence, status=status)
        return _with_sizes(found, mine)

    def _finding(self, mention: Mention) -> Finding:
        words = self.words[self.first : self.last]
        presence = presence_of(words, mention.first - self.first, mention.last - self.first)
        if presence == "present" and self.first:
            presence = self._carried(mention)
        return Finding(
            sentence=self.sentence.number,
            section=self.sentence.section,
            structure="",
            lesion="",
            side=mention.side,
            presence=presence,
            status="",
            location=self._location(),
            change=next(iter(self._changes()), ""),
            start=self.tokens[self.first].start,
            end=self.tokens[self.last - 1].end,
        )

    def _carried(self, mention: Mention) -> Presence:
        """A clause cut off at "and" keeps the negation of the sentence: "no cyst and no stone" has its own."""
        presence = presence_of(self.words, mention.first, mention.last)
        return presence if presence in ("hypothetical", "historical", "family") else "present"

    def _status(self, organ: Mention, lesions: Sequence[Mention]) -> Status:
        found = [m for m in _status_phrases().find(self.words) if self.first <= m.first < self.last]
        inside = [
            m for m in found
            if (m.first >= organ.last and not any(organ.last <= x.first < m.first for x in lesions))
            or (m.last <= organ.first and not any(m.last <= x.first < organ.first for x in lesions))
        ]  # fmt: skip
        order: tuple[Status, ...] = ("removed", "enlarged", "small", "normal", "present")
        said = {self._meant(m) for m in inside}
        negated_seen = presence_of(
            self.words[self.first : self.last], organ.first - self.first, organ.last - self.first
        )
        if "removed" in said and negated_seen == "absent" and "absent" not in self.words:
            said.discard("removed")
        return next((status for status in order if status in said), "")

    def _meant(self, match: Match[Status]) -> Status:
        """ "not enlarged" means normal, "not normal" nothing we can check."""
        if match.value not in ("enlarged", "small", "normal"):
            return match.value
        if (
            presence_of(self.words[self.first : self.last], match.first - self.first, match.last - self.first)
            != "absent"
        ):
            return match.value
        return "" if match.value == "normal" else "normal"

    def _changes(self) -> list[str]:
        return [m.value for m in _phrases("change").find(self.words[self.first : self.last])]

    def _location(self) -> tuple[str, ...]:
        taken = {n for m in self.named if m.kind == "structure" for n in range(m.first, m.last)}
        found = [m for m in _phrases("location").find(self.words) if self.first <= m.first < self.last]
        return tuple(dict.fromkeys(" ".join(self.words[m.first : m.last]) for m in found if m.first not in taken))

    def _count(self, lesion: Mention) -> int | None:
        numbers = {term: int(value) for term, value in report_words()["number"]}
        for n in range(lesion.first - 1, max(self.first - 1, lesion.first - 1 - _COUNT_REACH), -1):
            word = self.words[n]
            if word in numbers and word != "both":
                return numbers[word]
            if word.isdigit() and not self._is_size(n):
                return int(word)
        return None

    def _is_size(self, n: int) -> bool:
        token = self.tokens[n]
        return any(s.start <= token.start - self.sentence.start < s.end for s in sizes(self.sentence.text))

    def _sizes(self) -> list[Size]:
        a, b = self.tokens[self.first].start, self.tokens[self.last - 1].end
        at = self.sentence.start
        return [s for s in sizes(self.sentence.text) if a <= s.start + at <= b and not s.is_prior]

    def _nearest_is(self, size: Size, mention: Mention) -> bool:
        """Whether, of all things named in the clause, the size stands nearest to this one."""
        here = size.start + self.sentence.start

        def away(m: Mention) -> int:
            return min(abs(self.tokens[m.first].start - here), abs(self.tokens[m.last - 1].end - here))

        same = [m for m in self.named if m.kind == mention.kind]
        return min(same, key=away) is mention


def _gap(a: Mention, b: Mention) -> int:
    return max(a.first, b.first) - min(a.last, b.last)


def _with_sizes(finding: Finding, found: Sequence[Size]) -> Finding:
    lengths = [s for s in found if s.mm]
    volumes = [s for s in found if s.ml is not None]
    largest = max(lengths, key=lambda s: s.mm[0], default=None)
    return replace(
        finding,
        sizes_mm=largest.mm if largest else (),
        volume_ml=volumes[0].ml if volumes else None,
        bound=largest.bound if largest else volumes[0].bound if volumes else "",
    )


@cache
def _phrases(kind: str) -> Phrases[str]:
    return Phrases(report_words()[kind])


@cache
def _status_phrases() -> Phrases[Status]:
    return Phrases((term, _as_status(value)) for term, value in report_words()["status"])


def _as_status(value: str) -> Status:
    known: tuple[Status, ...] = ("normal", "enlarged", "small", "removed", "present")
    return next(status for status in known if status == value)
