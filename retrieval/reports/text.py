"""A report's text as sections and sentences, each with its place in the text; and whether it is English."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from .lexicon import report_words, tokens

CHECKABLE = ("findings", "impression")  # sections whose sentences claim something about the image
_BULLET = re.compile(r"^\s*(?:[-*•·]\s*(?=[A-Za-z])|(?:[-*•·]|\(?\d{1,2}[.)])\s+)")
_END = re.compile(r"[.;!?]+(?=\s|$|[A-Z])|\n")
_ON_A_SIDE = re.compile(r"\b(?:on|to|the|and) \w+$", re.IGNORECASE)
_OPENING = re.compile(
    r"\s+(?:No|The|There|Right|Left|Rt|Lt|Normal|Mild|Moderate|Small|Large|Bilateral|Both|Minimal|Multiple)\b"
)
_LABEL = re.compile(r"(?<=[.;] )[A-Z][\w -]{2,30}:")
# headings that also stand in the middle of a line
_INLINE = frozenset(
    ["findings", "impression", "conclusion", "result", "results", "opinion", "technique", "comparison", "indication", "history",
     "recommendation"]
)  # fmt: skip
_FEW_WORDS = 3
_WRAPPED = 60  # a line at least so long may have been cut by the writer's editor


@dataclass(frozen=True)
class Sentence:
    """A sentence as written.

    Attributes:
        number: from 0, over the whole report.
        start, end: characters of the report.
        section: "technique", "comparison", "history", "findings", "impression" or "recommendation".
        paragraph: sentences of one line or block of lines share it; what "it" means stays inside.
    """

    number: int
    text: str
    start: int
    end: int
    section: str
    paragraph: int


@dataclass(frozen=True)
class ReportText:
    """A report taken apart.

    Attributes:
        text: as written, with plain line ends; the places of the sentences refer to it.
        language: "English", the name of the language it seems to be in, or "" when it holds no words.
        sections: in the order of the text.
    """

    text: str
    sentences: tuple[Sentence, ...]
    sections: tuple[str, ...]
    language: str


def split_report(text: str) -> ReportText:
    """Sections and sentences of a report in free form; a text without headings is all findings."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    sentences: list[Sentence] = []
    order: list[str] = []
    for section, start, end in _sections(text):
        if section not in order:
            order.append(section)
        for paragraph, a, b in _sentences(text, start, end):
            sentences.append(Sentence(len(sentences), text[a:b], a, b, section, paragraph))
    return ReportText(text, tuple(sentences), tuple(order), language(text))


@cache
def _heading() -> re.Pattern[str]:
    names = sorted((term for term, _section in report_words()["heading"]), key=len, reverse=True)
    one = "|".join(re.escape(name).replace(r"\ ", r"[\s-]+") for name in names)
    # "Findings:" at the start of a line, "FINDINGS" alone on a line, "IMPRESSION:" in capitals anywhere
    return re.compile(
        rf"^[ \t]*(?P<line>{one})[ \t]*:|^[ \t]*(?P<alone>{one})[ \t]*$|(?<=[.;]\s)(?P<inline>(?-i:[A-Z][a-z]+)(?:[ \t][a-z]+)?)[ \t]*:|(?<=[\s.])(?P<capitals>(?-i:[A-Z][A-Z /-]{{3,}}))[ \t]*:",
        re.IGNORECASE | re.MULTILINE,
    )


def _sections(text: str) -> list[tuple[str, int, int]]:
    """(section, start, end) of each part; text before the first heading is findings."""
    names = dict(report_words()["heading"])
    marks = []
    for match in _heading().finditer(text):
        title = match.group("line") or match.group("alone") or match.group("inline") or match.group("capitals")
        section = names.get(" ".join(re.split(r"[\s-]+", title.strip().lower())))
        if section is not None and (match.group("inline") is None or title.lower() in _INLINE):
            marks.append((section, match.start(), match.end()))
    parts = [("findings", 0, marks[0][1] if marks else len(text))]
    for number, (section, _start, end) in enumerate(marks):
        stop = marks[number + 1][1] if number + 1 < len(marks) else len(text)
        label = _LABEL.search(text, end, stop) if section in ("technique", "comparison") else None
        parts.append((section, end, label.start() if label else stop))
        if label:  # "Technique: 1 mm slices. Stones: none." on one line
            parts.append(("findings", label.start(), stop))
    return [(section, a, b) for section, a, b in _reopened(parts, text) if text[a:b].strip()]


def _reopened(parts: list[tuple[str, int, int]], text: str) -> list[tuple[str, int, int]]:
    """The parts, where a last one that claims nothing ends with its first sentence: "Indication: cough. Lungs clear."."""
    section, start, end = parts[-1]
    if section in CHECKABLE or (len(parts) > 1 and any(s in CHECKABLE and text[a:b].strip() for s, a, b in parts[:-1])):
        return parts
    sentences = _sentences(text, start, end)
    if section == "recommendation" or len(sentences) < 2:
        return parts
    cut = sentences[0][2]
    return [*parts[:-1], (section, start, cut), ("findings", cut, end)]


def _sentences(text: str, start: int, end: int) -> list[tuple[int, int, int]]:
    """(paragraph, start, end) of each sentence between two places of the text."""
    found: list[tuple[int, int, int]] = []
    at, paragraph = start, start
    for match in _END.finditer(text, start, end):
        breaks = _breaks(text, match, at)
        if not breaks:
            continue
        cut = match.start() if match.group() == "\n" else match.end()
        _keep(found, text, paragraph, at, cut)
        at = match.end()
        if match.group() == "\n":
            paragraph = at
    _keep(found, text, paragraph, at, end)
    return found


def _breaks(text: str, match: re.Match[str], at: int) -> bool:
    before, after = text[at : match.start()], text[match.end() : match.end() + 40]
    if match.group() == "\n":
        following = after.lstrip(" \t")
        if not following or following.startswith("\n") or _BULLET.match(after) or not before.strip():
            return True
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        return following[0].isupper() and len(line.rstrip()) < _WRAPPED
    word = re.search(r"[\w.]+\s*$" if match.group() == "?" else r"[\w.]+$", before)
    if word is None:
        return match.group() != "?" or not re.match(r"\s*[\w.]", after)
    if re.fullmatch(r"\(?\d{1,2}", before.strip()):
        return False  # "1." opens an item of a list
    if word.group() == "N" or (word.group() in "RL" and re.search(r"[a-z>/]\s*\w$", before)):
        return word.group() == "N" or re.match(r"\s+[A-Z]", after) is not None  # "spleen N. Kidneys …", "to R. Heart …"
    if (
        re.fullmatch(r"[A-HJ-UWYZ]", word.group())
        and re.match(r"\s+[A-Z][a-z]", after)
        and before.strip() != word.group()
    ):
        return False  # the first letter of a name
    abbreviations = dict(report_words()["abbreviation"])
    if word.group() in ("MR", "MS", "ST", "AS", "AL"):
        return True  # "mild MR. Mitral …", not "Mr. Smith"
    kind = abbreviations.get(word.group().lower()) if before[: word.start()][-1:] != "/" else None
    if match.group() == "?":  # "? small effusion" asks, "seen?" ends
        return re.match(r"\s+[a-z\d]", after) is None or not before[-1:].isspace()
    if kind == "side" and not _ON_A_SIDE.search(before) and not _OPENING.match(after):
        return False  # "Lt. Kidney", but not "on the Lt. Kidney normal."
    if kind == "lesion":
        return re.match(r"\s+[a-z\d]", after) is None
    if kind in ("soft", "side"):  # short for something only where the sentence plainly goes on
        return re.match(r"\s+(?:[a-z\d]|[IVX]+\b|[A-Z]{2}|N\b)", after) is None
    return kind is None


def _keep(found: list[tuple[int, int, int]], text: str, paragraph: int, start: int, end: int) -> None:
    bullet = _BULLET.match(text[start:end])
    start += bullet.end() if bullet else 0
    piece = text[start:end]
    if not any(c.isalnum() for c in piece):
        return
    found.append((paragraph, start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())))


def language(text: str) -> str:
    """The language a report seems to be in: "English", another's name, "unknown" or "" (no words).

    Counts function words and the names of organs; short English notes without any count as English.
    """
    words = [token.word for token in tokens(text[:20_000]) if token.word.isalpha()]
    if not words:
        return ""
    strange = sum(not word.isascii() and not any("LATIN" in _script(c) for c in word) for word in words)
    if strange > 0.3 * len(words):
        return "unknown"
    english = {term for term, _value in report_words()["english"]}
    votes = {"English": float(sum(word in english for word in words))}
    for term, name in report_words()["foreign"]:
        votes.setdefault(name, 0.0)
        votes[name] += sum(word == term for word in words)
    best = max(votes, key=lambda name: (votes[name], name == "English"))
    if votes["English"] >= votes[best] or votes[best] < min(2, len(words) / _FEW_WORDS):
        return "English"
    return best


def _script(character: str) -> str:
    import unicodedata

    return unicodedata.name(character, "")
