"""How people write anatomy: sides, abbreviations, Latin, plurals and counted levels, brought to one form.

`read` turns a phrase into a side and a set of word stems; "A. carotis int. sin.", "left internal carotid arteries" and
"internal carotid artery, lt" come out the same. The words themselves are in `words_forms.tsv`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

FORMS = Path(__file__).parent / "words_forms.tsv"
_SMALL = frozenset(
    [
        "of",
        "the",
        "a",
        "an",
        "in",
        "on",
        "at",
        "to",
        "and",
        "or",
        "my",
        "his",
        "her",
        "your",
        "their",
        "its",
        "it",
        "patient",
        "patients",
        "please",
        "show",
        "me",
        "find",
        "segment",
        "where",
        "is",
        "are",
        "which",
        "with",
        "for",
        "from",
        "by",
        "both",
        "this",
        "that",
        "there",
    ]
)
_ARTICLES = frozenset({"the", "a", "an", "my", "his", "her"})
_TOKEN = re.compile(r"[^\W_]+\.?")
_LEVEL = re.compile(r"(c|t|th|d|l|s)(\d{1,2})")
_COUNTED = re.compile(r"(\d{1,2})(st|nd|rd|th)")
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
)  # fmt: skip
_ORDER = {word: str(number) for number, word in enumerate(ORDINALS, start=1)}
_LEVELS = {"c": "cervical", "t": "thoracic", "th": "thoracic", "d": "thoracic", "l": "lumbar", "s": "sacral"}
_DOTTED = {"a": "artery", "aa": "artery", "v": "vein", "vv": "vein", "m": "muscle", "mm": "muscle", "n": "nerve"}
_DOTTED |= {"nn": "nerve", "l": "left", "r": "right"}
_PHRASES = (
    (re.compile(r"\bb\s?/\s?l\b|\bleft (and|or|\+|&|/) right\b|\bright (and|or|\+|&|/) left\b"), "bilateral"),
    (re.compile(r"\b(left|right)[- ](hand[- ])?(sided|side)\b|\b(left|right)[- ]hand\b(?= (side|lung|kid))"), r"\1\4 "),
    (re.compile(r"['’]s?\b"), " "),
    (re.compile(r"\bvertebral bod(y|ies)\b"), "vertebra"),
    (re.compile(r"oesoph"), "esoph"),
)
_WHOLE = frozenset({"spinalis", "trapezius", "trapezium", "splenial", "spine"})  # cut, they would fall together
_ENDINGS = tuple(
    [
        "alis",
        "aris",
        "icus",
        "icum",
        "ica",
        "eal",
        "ial",
        "ary",
        "ean",
        "ian",
        "eus",
        "eum",
        "al",
        "ar",
        "ic",
        "ae",
        "us",
        "um",
        "is",
        "a",
        "e",
    ]
)  # longer ones first


@dataclass(frozen=True)
class Phrase:
    """A phrase, read.

    Attributes:
        side: "left", "right", "both" (both sides are named, or "bilateral") or "".
        stems: its words without the side and small words.
        words: the same words unstemmed and in order.
    """

    side: str
    stems: frozenset[str]
    words: tuple[str, ...]

    @property
    def joined(self) -> str:
        """Its words without spaces."""
        return "".join(self.words)


@cache
def forms() -> dict[str, str]:
    """Word -> the English word it stands for."""
    with FORMS.open(encoding="utf-8", newline="") as file:
        return {line["word"]: line["means"] for line in csv.DictReader(file, delimiter="\t")}


def plain(text: str) -> str:
    """Lower case, single spaces, no underscores, hyphens, slashes or leading article: the form under which terms are kept."""
    words = text.lower().replace("_", " ").replace("-", " ").replace("/", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


@lru_cache(maxsize=20_000)  # more than the table has terms: they are read once for every index
def read(text: str) -> Phrase:
    """The side and the stems of a phrase of any length; at most 40 words count."""
    sides, words = set(), []
    for word in words_in(text)[:40]:
        if word in ("left", "right", "both"):
            sides.add(word)
        else:
            words.append(word)
    both = "both" in sides or len(sides) > 1
    side = "both" if both else next(iter(sides), "")
    return Phrase(side, frozenset(stem(word) for word in words), tuple(words))


@cache
def stem(word: str) -> str:
    """The part that singular, plural, noun, adjective and Latin case share, as far as endings tell."""
    word = forms().get(word, word)
    single = _singular(word)
    single = forms().get(single, single)
    if len(single) > 4:
        single = (
            re.sub(r"^(..+)(?:ae|oe)", r"\1e", single).replace("haem", "hem").replace("coe", "ce").replace("cae", "ce")
        )
    for ending in () if single in _WHOLE else _ENDINGS:
        if single.endswith(ending) and len(single) - len(ending) >= 4:
            return single[: -len(ending)]
    return single


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "ps", "ns", "rs")):
        return word[:-1]
    if len(word) > 4 and word.endswith(("ts", "rs", "ns")) and not word.endswith(("ens", "ons")):
        return word[:-1]
    return word


def words_in(text: str) -> list[str]:
    """The words of a text of any length in order, sides included, small words left out, abbreviations spelt out."""
    lowered = re.sub(r"[_,;:()\[\]]+", " ", text.strip().lower())
    for pattern, replacement in _PHRASES:
        lowered = pattern.sub(replacement, lowered)
    found = _TOKEN.findall(lowered)
    words: list[str] = []
    for token in found:
        words += _meant(token, alone=len(found) == 1)
    levels = {word for word in words if word.isdigit() or word in _LEVELS.values()}
    if levels and set(words) <= levels | {"left", "right"} and levels & set(_LEVELS.values()):
        words.append("vertebra")
    return words


def _meant(token: str, *, alone: bool) -> list[str]:
    bare = token.rstrip(".")
    if token.endswith(".") and bare in _DOTTED:
        return [_DOTTED[bare]]
    if bare in ("l", "r") and not alone:
        return [_DOTTED[bare]]
    level = _LEVEL.fullmatch(bare) if bare[-1].isdigit() else None
    if level and int(level[2]) <= 12:
        return [level[2], _LEVELS[level[1]]]
    counted = _COUNTED.fullmatch(bare) if bare[0].isdigit() else None
    if counted:
        return [counted[1]]
    meant = forms().get(bare, bare)
    if meant in ("left", "right", "both"):
        return [meant]
    if meant in _SMALL:
        return []
    return [_ORDER.get(meant, meant)]
