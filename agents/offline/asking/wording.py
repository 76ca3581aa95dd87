"""A question in plain English words: abbreviations written out, slips of spelling mended, German, French and Spanish turned.

The words are `words.tsv` (language, term, means); terms of one language that are words of another are turned only where
the rest of the question is in their language ("rate" is the spleen in French alone).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ....retrieval.anatomy.spelling import Speller, everyday_words
from ....retrieval.anatomy.structures import StructureTable
from ....retrieval.reports.lexicon import report_words

TABLE = Path(__file__).parent / "words.tsv"
ASPECTS = Path(__file__).parent / "aspects.tsv"
_WORD = re.compile(r"[^\W\d_]+(?:['’]\w+)?")
_ENGLISH = frozenset(
    ["the", "of", "is", "in", "what", "how", "and", "size", "too", "are", "there", "which", "show", "me", "my", "this",
     "that", "for", "to", "please", "with", "you", "it", "both", "by", "from", "volume", "mean", "where", "does"]
)  # fmt: skip
_SURE = 0.83  # score of the speller from which a slip is mended: one or two letters
_COMMON = ("liver", "spleen", "kidney", "kidneys", "pancreas", "stomach", "gallbladder", "esophagus", "aorta", "bladder",
           "adrenal", "glands", "gland", "hippocampus", "hippocampi", "amygdala", "thalamus", "cerebellum", "ventricle", "ventricles",
           "femur", "prostate", "myocardium", "sarcoma", "heart", "brain", "caudate", "putamen", "pallidum", "portal",
           "volume", "length", "diameter", "measure", "segment", "compare", "export", "density", "attenuation", "hounsfield",
           "difference", "fraction", "ejection", "enlarged", "millilitres", "report")  # fmt: skip
_SIDES = (
    (re.compile(r"\b(?:l ?/ ?r|r ?/ ?l|l r|left ?/ ?right|right ?/ ?left|left (?:vs\.?|versus) right|right (?:vs\.?|versus) left"
                r"|l-r|r-l|left-right|l and r)\b"), "left and right"),
    (re.compile(r"\bl (?=(?:kidney|adrenal|hippocamp|femur|lung|ventric|thalam|amygdal|hip\b))"), "left "),
    (re.compile(r"\br (?=(?:kidney|adrenal|hippocamp|femur|lung|ventric|thalam|amygdal|hip\b))"), "right "),
)  # fmt: skip


@dataclass(frozen=True)
class Wording:
    """A question as the rules read it.

    Attributes:
        text: lower case, English words.
        language: "en", "de", "fr" or "es": what to answer in.
    """

    text: str
    language: str


def read(question: str) -> Wording:
    """The question in words the rules know."""
    low = " ".join(question.lower().replace("’", "'").split())
    language = _language(low)
    for pattern, words in _SIDES:
        low = pattern.sub(words, low)
    low = _turned(low, language)
    return Wording(_spelt(low), language)


def _language(low: str) -> str:
    words = _WORD.findall(low)
    counts = {"en": sum(word in _ENGLISH for word in words)}
    for language in ("de", "fr", "es"):
        own = {term for other, term, _means in _rows() if other == language}
        phrases = sum(" " in term and re.search(rf"\b{re.escape(term)}\b", low) is not None for term in own)
        counts[language] = sum(word in own and word not in _ENGLISH for word in words) + phrases
    if "¿" in low:
        counts["es"] += 2
    best = max(counts, key=lambda name: (counts[name], name == "en"))
    return best if counts[best] > (1 if best in ("fr", "es", "de") and counts["en"] else 0) else "en"


def _turned(low: str, language: str) -> str:
    """Terms put into English, the longest first; ambiguous ones only in their own language."""
    for other, term, means in _rows():
        if term not in low or (other != language and other != "en" and _is_ambiguous(other, term)):
            continue
        end = "" if term.endswith("'") else r"(?![\w'])"
        low = re.sub(rf"(?<![\w]){re.escape(term)}{end}", means, low)
    return low


@cache
def _is_ambiguous(language: str, term: str) -> bool:
    """Whether a term means something else in English or another language of the table, or is too short to tell."""
    others = {(other, one) for other, one, _means in _rows() if other != language}
    return (
        (len(term) < 5 and term not in ("milz", "foie", "bazo", "herz"))
        or term in _ENGLISH
        or term in everyday_words()
        or any(one == term for _other, one in others)
        or term in ("compare", "mesure", "calcul", "hallo", "droit", "existe", "mayor", "menor", "derecho", "segmenta")
    )  # fmt: skip


def _spelt(low: str) -> str:
    return _WORD.sub(lambda match: _mended(match.group()), low)


@cache
def _mended(word: str) -> str:
    stems = {word, *(word.removesuffix(end) for end in ("s", "es", "ed", "d", "ing", "ly", "er", "r", "'s"))}
    stems = {stem for stem in stems if len(stem) > 3}
    if len(word) < 4 or stems & _known() or f"{word.removesuffix('ing')}e" in _known():
        return word
    meant = _speller().meant(word, 1)
    return meant[0][0] if meant and meant[0][1] >= _SURE else word


@cache
def _known() -> frozenset[str]:
    """Words that are no slips: of anatomy, of reports, of the rules, and ordinary ones."""
    anatomy = {
        word for row in StructureTable.bundled().rows for term in row.terms for word in _WORD.findall(term.lower())
    }
    reports = {word for rows in report_words().values() for term, _value in rows for word in _WORD.findall(term)}
    rules = set(_WORD.findall(ASPECTS.read_text(encoding="utf-8").lower()))
    return frozenset(anatomy | reports | rules | everyday_words() | _ENGLISH | {means for _l, _t, means in _rows()})


@cache
def _speller() -> Speller:
    return Speller(_COMMON)


@cache
def _rows() -> tuple[tuple[str, str, str], ...]:
    """(language, term, what it means), the longest term first."""
    return tuple(sorted(_in_order(), key=lambda row: -len(row[1])))


@cache
def _in_order() -> tuple[tuple[str, str, str], ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple((row["language"], row["term"], row["means"]) for row in csv.DictReader(file, delimiter="\t"))


@cache
def name_in(structure: str, language: str) -> str:
    """What a structure is called in a language; its English name where the table has none."""
    if language in ("en", ""):
        return structure
    found = next((term for other, term, means in _in_order() if other == language and means == structure), structure)
    if language != "de" or found == structure:
        return found
    *before, noun = found.split()
    return " ".join([*before, noun.capitalize()])
