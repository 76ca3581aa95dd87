"""A sentence as words, numbers, sizes and marks, with shorthand written out and with what is no finding left out.

"Lt renal v. 4.6 cm w/o clot" becomes left, renal, vein, a size, without, clot. Grades, levels of the image, dates,
ratios and the names of people hold words and numbers that mean no organ, count or size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..lexicon import report_words, tokens
from ..sizes import Size, measures
from .levels import written_level
from .stations import bare_part, named_by_number

Sort = Literal["word", "number", "size", "mark"]
_MARKS = {",": ",", ";": ";", ":": ":", "(": "(", ")": ")", "/": "/", "–": "dash", "—": "dash", " - ": "dash"}
# single letters are sides only beside a number or a structure's name: "R 10.2 cm", "L kidney"
_LETTER = re.compile(r"\b(?P<side>[RL])\b(?!/)(?=[:\s]+(?:\d|[a-z]|[A-Z]{2}|[A-Z][a-z]+[A-Z\s]|[CTLS]\d|=)|[,;.)]|$)")
_SIDED = re.compile(r"\b(?P<side>Lt|Rt|lt|rt|LT|RT)\b\.?")
_LOOK = re.compile(
    r"\b(?:(?:BI|LI|PI|TI|O|C)[\s-]?RADS|Bosniak|AAST|Fazekas|Deauville|Garden|Hinchey|Krenning|Fisher|Spetzler|Stanford|DeBakey|Gleason"
    r"|Kellgren|Balthazar|Child|Todani|Pirads|Birads|Lirads|Tirads|Modic|Pfirrmann|Schatzker|Salter|Hunt|Weber|Forrest|Lugano|FIGO|ASPECTS?"
    r"|CTSI|[Gg]rade|[Gg]rd?\.?|[Gg]d|[Tt]ype|[Ss]tage|[Ss]eries|ser\.?|[Ii]mages?|im\.?|slices?|levels?|score|figure|fig\.?|no\.|number|phase|zone|station|category|class)"
    r"\s*(?:of\s+|score\s*)?[#:]?\s*(?:\d+(?:[./-]\d+)*[a-zA-Z]?\b|[IVX]+[a-cA-C]?\b|[A-D]\b)(?:\s*(?:,|and|&|to|-|–|/)\s*(?:\d+|[IVX]+[ab]?)\b(?!\s*(?:mm|cm|x|×)))*"
    r"|\b(?:COVID|SARS-CoV)-?\s?(?:19|2)\b|\b(?:LR|TR|TI-?RADS|PI-?RADS|BI-?RADS|O-?RADS|VI-?RADS|NI-?RADS)[\s-]?(?:[1-6][a-c]?|M|TIV)\b|\b\d{1,2}\s*o'?\s?cl(?:ock)?\b"
    r"|\b(?:SUV\s?(?:max|mean)?|(?:tracer |total |thyroid )?uptake(?= (?:of |is |= ?|: ?)?\d[\d.]*\s?%)|PSA|LVEF|EF|RV/LV ratio|RI|HU|ADC|dose|kVp?|mAs)\s*(?:of|is|=|:)?\s*-?\d+(?:[.,]\d+)?\s*%?"
    r"|-?\d[\d.,]*\s*(?:-|to)?\s*\d*\s?(?:HU|%|mGy(?:\*cm)?|kPa|m/s|cm/s|mmHg|bpm|kg|g|mg|years?|yrs?|months?|weeks?|days?|hours?|minutes?|h|o'?clock|ng/ml|MBq|T|kV|mAs|°|degrees?|percent|per cent)(?![\w])(?:[\s-]?(?:old|ago))?"
    r"|\b\d{1,2}(?:st|nd|rd|th)?\s+(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b\.?(?:\s+\d{4})?|\b(?:January|February|March|April|June|July|August|September|October|November|December)\s+\d{1,2}(?:st|nd|rd|th)?\b(?:,?\s+\d{4})?"
    r"|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b(?:19|20)\d\d(?:-\d\d-\d\d)?\b(?!\s*(?:mm|cm|ml|x))|\b\d{1,2}:\d\d\b|\b(?:[cp]T[0-4][a-d]?|T[0-4][a-d]|T[0-4][a-d]?(?=\s?N\d))(?:\s?N\d[a-c]?)?(?:\s?M\d[a-c]?)?\b|\bT[12](?=[\s-](?:hyper|hypo|weighted|signal|w\b|bright|dark|FLAIR|and T))"
    r"|\b[RL]t?\s*[<>]\s*[RL]t?\b|\b(?:station\s*)?1?\d[RL]\b|\b\d+\s*(?:x|/)\s*\d+\s*(?:matrix|pixels)|\b[A-Z]\.(?=\s[A-Z][a-z])|\bcT\d\w*\b"
)
_TITLE = re.compile(
    r"\b(?:Dr|Mr|Mrs|Ms|Prof|Professor|Doctor|Miss|Sr|Sister)\.?\s+(?:[A-Z]\.\s*)*[A-Z][\w'’-]*(?:[\s-][A-Z][\w'’-]+)?"
    r"|\b(?i:signed|reported by|dictated by|read by|referred by|reviewed by)\s*:?\s*[^;\n]*|\b(?:[A-Z][a-z]+\s)?[A-Z][a-z]+\s(?:Hospital|Clinic|Ward|Street|Road|Centre|Center|Bank)\b(?:\s(?:Hospital|Clinic))?",
)
_SEGMENT = re.compile(
    r"\b(?:liver |hepatic |Couinaud )?(?:segments?|segs?\.?)\s*(?:[IVX]+[ab]?\b|\d{1,2}[ab]?\b)(?:\s*(?:,|and|/|-|to)\s*(?:[IVX]+[ab]?\b|\d{1,2}[ab]?\b)(?![.,]\d|\s*(?:mm|cm|x|×)|\s*(?:and|to|-)\s*\d+(?:[.,]\d+)?\s*(?:mm|cm)))*(?!\s*(?:mm|cm))",
    re.IGNORECASE,
)
_NO_LIVER = re.compile(
    r"lung|lobe|pulmon|bronch|coronary|arter(?!ial(?:ly)? (?:phase|enhanc|hyper))|spine|colon|bowel|vein", re.IGNORECASE
)  # have segments, too
_THE_NTH = re.compile(
    r"(?<=\bLNs: )\d{1,2}(?=\s+\d+(?:\.\d+)?\s?[cm]m)|(?<=\bLN )\d{1,2}(?=\s+\d+(?:\.\d+)?\s?[cm]m)|(?<=\bstation )\d{1,2}\b|(?<=\blesion )\d{1,2}\b(?![-–.,x\s]*(?:\d|mm|cm))|(?<=\bnodule )\d{1,2}\b(?![-–.,x\s]*(?:\d|mm|cm))|#\d{1,2}\b(?!\s?%)",
    re.IGNORECASE,
)
_EARLIER = re.compile(
    r"(?<=[cm]m )\((?:prev\.?\s*|previously\s*|was\s*)?\d+(?:\.\d+)?\)(?!\s*(?:mm|cm))"
)  # "14 mm (12)": the size before
_WORD = re.compile(r"[^\W\d_]+(?:['’]t\b)?|\d+(?:[.,]\d+)?|\s-\s|[,;:()/–—?]")
_RIBS = re.compile(
    r"\bribs?(?P<broken>\s+fractures?(?:\s+of)?)?\s+(?P<a>\d{1,2})(?:\s*(?:to|-|–)\s*(?P<b>\d{1,2})|(?P<more>(?:\s*,\s*\d{1,2})*\s*(?:,|and|&)\s*\d{1,2}))?\b(?!\s*(?:mm|cm))"
    r"|\b(?P<c>\d{1,2})(?:st|nd|rd|th)?\s*(?:to|-|–)\s*(?P<d>\d{1,2})(?:st|nd|rd|th)\s+ribs?\b"
)
_ORDINAL = re.compile(  # "rib fractures: right 4th to 7th"
    r"\b(?P<a>\d{1,2})(?:st|nd|rd|th)(?:\s*(?:to|-|–)\s*(?P<b>\d{1,2})(?:st|nd|rd|th))?(?P<c>)(?P<d>)(?P<more>)\b"
    r"(?!\s*(?:anterior|posterior|lateral)?\s*(?:ribs?|to|-|metacarp|metatars|finger|toe|week|month|day|costo|thoracic|lumbar|cervical|and\s+\d|,\s*\d))"
)
_ORDINALS = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
)
_NAMED_RIBS = re.compile(  # "the right fourth through sixth ribs"
    rf"\b(?P<a>{'|'.join(_ORDINALS)})\s+(?:to|through)\s+(?P<b>{'|'.join(_ORDINALS)})\s+ribs?\b", re.IGNORECASE
)
_WHICH = frozenset(
    {"medial", "lateral", "anterior", "posterior", "superior", "inferior", "left", "right", "upper", "lower"}
)


@dataclass(frozen=True)
class Word:
    """A word (lower case), number, size or mark and the characters it stands for."""

    text: str
    start: int
    end: int
    sort: Sort
    size: Size | None = None


def read_words(text: str, offset: int = 0, about: str = "") -> list[Word]:
    """The words of a sentence in order; characters count from `offset`.

    Args:
        about: the whole report, which tells what some short forms mean ("LM" of the heart or the knee).
    """
    sized = measures(_SEGMENT.sub(lambda match: re.sub(r"[\w,]", "_", match.group()), text))
    found = [(size.start, size.end, size) for size, is_size in sized if is_size]
    hidden = [(size.start, size.end) for size, is_size in sized if not is_size]
    hidden += [(a, b) for a, b in _hidden(text) if not any(a < start < b for start, _end, _size in found)]
    found = [one for one in found if not any(a < one[1] and one[0] < b for a, b in hidden if (a, b) != one[:2])]
    words: list[Word] = []
    at = 0
    for start, end, size in [*found, (len(text), len(text), None)]:
        words += _plain_words(text, at, start, hidden, about)
        if size is not None:
            words.append(Word("<size>", start, end, "size", size))
        at = max(at, end)
    return [Word(w.text, w.start + offset, w.end + offset, w.sort, w.size) for w in _turned(words)]


def _turned(words: list[Word]) -> list[Word]:
    """ "Meniscus, medial: torn" as "medial meniscus: torn"."""
    plain = [word.text for word in words[:4]]
    if len(plain) == 4 and plain[1] == "," and plain[3] == ":" and plain[2] in _WHICH:
        return [words[2], words[0], *words[3:]]
    return words


def _hidden(text: str) -> Iterator[tuple[int, int]]:
    """Characters that hold no finding: names, grades, dates, numbers of images."""
    for pattern in (_TITLE, _LOOK, _SEGMENT, _THE_NTH, _EARLIER):
        for match in pattern.finditer(text):
            yield match.span()


def _plain_words(text: str, start: int, end: int, hidden: list[tuple[int, int]], about: str) -> Iterator[Word]:
    at = start
    while at < end:
        covered = next((b for a, b in hidden if a <= at < b), None)
        if covered is not None:
            yield _stand_in(text, at, covered, end)
            at = min(max(covered, at + 1), end)
            continue
        written = _written_out(text, at, end, about) if _opens_word(text, at) else None
        if written is not None:
            words, until = written
            yield from (Word(word, at, until, "word") for word in words)
            at = until
            continue
        match = _WORD.match(text, at, end)
        if match is not None:
            yield from _word(text, match)
        at = match.end() if match is not None else at + 1


def _stand_in(text: str, at: int, covered: int, end: int) -> Word:
    """What stands for hidden characters: a segment is the liver, a level of nodes the neck, the rest nothing."""
    named = named_by_number(text, at, covered)
    if named:
        return Word(named, at, min(covered, end), "word")
    if _SEGMENT.match(text, at) and not _NO_LIVER.search(text):
        return Word("liver", at, min(covered, end), "word")
    return Word("<other>", at, min(covered, end), "mark")


def _written_out(text: str, at: int, end: int, about: str) -> tuple[list[str], int] | None:
    """Numbered ribs, shorthand, letters for sides and levels of the spine in full, and where they end."""
    ribs = _RIBS.match(text, at, end)
    if ribs:
        listed = [[*(["and"] if n else []), f"{number}", "th", "rib"] for n, number in enumerate(_numbers(ribs))]
        return [*(word for one in listed for word in one), *(["fracture"] if ribs["broken"] else [])], ribs.end()
    ordinal = _ORDINAL.match(text, at, end) if re.search(r"\bribs?\b", text, re.IGNORECASE) else None
    if ordinal:
        listed = [[*(["and"] if n else []), f"{number}", "th", "rib"] for n, number in enumerate(_numbers(ordinal))]
        return [word for one in listed for word in one], ordinal.end()
    named = _NAMED_RIBS.match(text, at, end)
    if named:
        first, last = (_ORDINALS.index(named[part].lower()) + 1 for part in ("a", "b"))
        listed = [[*(["and"] if n > first else []), f"{n}", "th", "rib"] for n in range(first, last + 1)]
        return [word for one in listed for word in one], named.end()
    short = _short().match(text, at, end)
    if short:
        meant = (
            _meant_near(short.group("term"), text)
            or _meant_near(short.group("term"), about, "shortabout")
            or _meant()[short.group("term")]
        )
        return [token.word for token in tokens(meant)], short.end()
    part = bare_part(text, at)
    if part:
        return part
    side = _SIDED.match(text, at, end) or _LETTER.match(text, at)
    if side:
        return ["left" if side["side"].lower().startswith("l") else "right"], side.end()
    return written_level(text, at, end)


def _word(text: str, match: re.Match[str]) -> Iterator[Word]:
    word, at = match.group(), match.start()
    if word == "s" and text[at - 1 : at] in ("'", "’"):
        return
    if word in _MARKS:
        yield Word(_MARKS[word], at, match.end(), "mark")
    elif word == "?":
        if at and text[at - 1].isalnum():
            yield Word("queried", at, match.end(), "word")  # "adenoma?"
        elif text[match.end() : match.end() + 2].strip():
            yield Word("query", at, match.end(), "word")
    else:
        said = re.sub(r"n['’]t$", " not", word)
        glued = at > 0 and text[at - 1].isalpha()  # M1, CO2: a name, no number
        for plain in [token.word for token in tokens(said)]:
            yield Word(plain, at, match.end(), "number" if plain[0].isdigit() and not glued else "word")


def _numbers(ribs: re.Match[str]) -> list[int]:
    """Every rib of "ribs 6 to 8", "ribs 3, 4 and 7" or "3rd to 5th ribs"."""
    first, last = ribs["a"] or ribs["c"], ribs["b"] or ribs["d"]
    if last:
        return list(range(int(first), int(last) + 1))
    return [int(first), *(int(n) for n in re.findall(r"\d+", ribs["more"] or ""))]


def _opens_word(text: str, at: int) -> bool:
    if re.search(r"\b[A-Z]-$", text[max(0, at - 3) : at]):
        return False  # "G-CSF"
    return at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "_'’")


@cache
def _meant() -> dict[str, str]:
    return dict(report_words()["short"])


def _meant_near(term: str, text: str, kind: str = "shortnear") -> str:
    """What a short form means beside certain words of the sentence or report: "SV" in a report of the prostate, or ""."""
    for short, value in report_words()[kind]:
        near, _, meant = value.partition("=")
        if short == term and re.search(near, text, re.IGNORECASE):
            return meant
    return ""


@cache
def _short() -> re.Pattern[str]:
    terms = sorted(_meant(), key=len, reverse=True)
    one = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in terms)
    return re.compile(rf"(?P<term>{one})(?!\w)\.?(?=\W|$)")
