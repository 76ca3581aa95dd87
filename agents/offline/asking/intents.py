"""What a question asks for, by rules: its kind, and for the ordinary kind what is wanted of which structures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from ....imaging.plausibility.priors import partner_of
from ....retrieval.anatomy.structures import StructureTable
from ....retrieval.descriptions.words import phrases
from ....retrieval.reports.lexicon import tokens
from ....retrieval.reports.mentions import Mention, mentions
from .talk import Said, talk_of
from .wants import Want, wants_of
from .wording import Wording, read

Kind = Literal[
    "talk", "report", "prognosis", "job", "cancel", "list", "find", "compare_masks", "describe", "work", "unknown"
]
_RULES: tuple[tuple[Kind, str], ...] = (
    ("cancel", r"\b(?:cancel|abort|stop)\b"),
    ("job", r"\bjob_\w+|\b(?:status|progress) of\b"),
    ("report", r"\b(?:report|impression|dictation)\b"),
    ("prognosis", r"\b(?:prognos\w+|outlook|survival|life expectancy|survive|mortality|how long (?:do|have|will|does|has|can) .*\b(?:live|left)\b|will (?:i|he|she|my \w+|"
                  r"they) (?:get|die|develop|recover)|chance (?:of|that|this|it)|risk(?: of)?\b.*|spreads?)\b"),
    ("list", r"\b(?:which|what|list)\b.*\b(?:models?|can you segment|structures (?:can|do) you)\b|\bcan (?:you|it|this) (?:segment|outline)\b"
             r"|\bis there (?:a |any )?model\b"),
    ("find", r"\b(?:canonical name|synonym\w*|what is the name|search for the word|look up)\b"),
)  # fmt: skip
_PLACES = ("upper", "lower", "largest", "smallest", "larger", "smaller", "biggest", "lobe", "near", "next", "behind",
           "front", "bright", "dark", "dense", "spot", "beside", "adjacent", "round", "posterior", "anterior")  # fmt: skip
# Tokens of descriptions that single something out or name another thing than the structure: "the widest part of the aorta",
# "the largest vessel near the liver". Sides and "in" are read with the structure; "large" asks for a number.
_SINGLING = ("RANK_", "MORE_", "MAX_", "MAXDEN_", "PART", "CLASS_", "REL_above", "REL_below", "REL_between")
_SUPERLATIVE = re.compile(r"[a-z]{3,}(?:est|most)$")
_NOT_POINTING = ("side", "segment", "up", "down", "end", "max", "maximum", "whole", "entire", "middle")
_NO_SUPERLATIVES = ("chest", "rest", "test", "request", "interest", "breast", "almost", "latest", "largest", "longest")
_SIZES = r"\b(?:largest|longest|biggest|smallest|widest|max\w*|greatest|shortest|narrowest) (?:axial |3-?d )?(?:diamet\w+|axis|cross\b|dimension|length|extent|width|calib\w+|slice|one)"
_COMPARING = r"\b(?:which|is|are|compare|than|how much|versus|vs|symmetr\w+|part (?:over|of|to)|as a percentage)\b"
_LOCATING = r"\b(?:where|find|locate|segment|outline|show|point|draw)\b"
_PRONOUN = r"\b(?:it|its|they|them|their|that|this|these|those|both|the other|same|one|ones|there|so|why|he|she|larger|smaller|same for|" \
           r"and (?:the|its|in)|again|instead|also|each|all)\b"  # fmt: skip
_AND_OF = r"^(?:and|what about|how about|same (?:for|with|of)|also|now|then|ok|or)\b|\btoo\b|\bas well\b"
_HANDLE = re.compile(r"\b((?:msk|img|job)_\w+)")
_QUOTED = re.compile(r"(?:^|(?<=[\s:(]))(?:'([^']{6,})'|\"([^\"]{6,})\"|“([^”]{6,})”|‘([^’]{6,})’)(?=[\s?.,!)]|$)")
_SAYS = re.compile(r"\breport (?:says|said|states|reads|claims|mentions)[: ]+(?:that )?([^.?!]{6,})", re.IGNORECASE)
_BOTH = ("compare", "count", "presence", "ratio", "sum", "enlarged")  # "which kidney is larger" means both


@dataclass(frozen=True)
class Task:
    """A question, understood.

    Attributes:
        wants: of the ordinary kind ("work"), what is wanted of which structures.
        said: for "talk", what to answer.
        unclear: a pair asked for in the singular without a side ("the kidney"), or "".
        description: the words, when they point at something by place or looks.
        handles: msk_, img_ and job_ handles named.
        quoted: a report given in the question itself, in its own words.
        allow_synthetic: the question says it means a synthetic image.
        language: what to answer in.
    """

    kind: Kind
    text: str
    wants: tuple[Want, ...] = ()
    said: Said | None = None
    unclear: str = ""
    description: str = ""
    handles: tuple[str, ...] = ()
    quoted: str = ""
    allow_synthetic: bool = False
    language: str = "en"

    @property
    def structures(self) -> tuple[str, ...]:
        """Every structure named, in order."""
        return tuple(dict.fromkeys(name for want in self.wants for name in want.structures))

    @property
    def lesions(self) -> tuple[str, ...]:
        """Every kind of lesion named."""
        return tuple(dict.fromkeys(name for want in self.wants for name in want.lesions))

    def asks(self, *aspects: str) -> bool:
        """Whether any want has one of these aspects."""
        return any(aspect in want.aspects for want in self.wants for aspect in aspects)


def understand(question: str, table: StructureTable | None = None, earlier: Sequence[str] = ()) -> Task:
    """The task a question sets, after the questions it may refer to."""
    return _understood(question, table or StructureTable.bundled(), tuple(earlier))


@lru_cache(maxsize=64)  # asked again at every step of a run
def _understood(question: str, table: StructureTable, earlier: tuple[str, ...]) -> Task:
    wording = read(question)
    quoted = _quoted(question)
    wants = wants_of(wording.text, table)
    if not any(want.structures or want.lesions for want in wants) and earlier:
        before = understand(earlier[-1], table, earlier[:-1])
        wants = _referred(wording.text, wants, before)
    elif earlier and re.search(r"\bother\b", wording.text):
        wants = _other_half(wants, understand(earlier[-1], table, earlier[:-1]), table)
    elif earlier and not any(want.aspects for want in wants) and re.search(_AND_OF, wording.text):
        asked = tuple(dict.fromkeys(a for w in understand(earlier[-1], table, earlier[:-1]).wants for a in w.aspects))
        wants = tuple(replace(want, aspects=asked) for want in wants)
    task = Task(
        kind="work",
        text=wording.text,
        wants=wants,
        handles=tuple(dict.fromkeys(_HANDLE.findall(question))),
        quoted=quoted,
        allow_synthetic=re.search(r"\b(?:synthetic|phantom)\b", wording.text) is not None,
        language=wording.language,
    )
    return _with_kind(task, question, wording, table)


def _with_kind(task: Task, question: str, wording: Wording, table: StructureTable) -> Task:
    named = bool(task.structures or task.lesions or task.handles)
    said = talk_of(wording.text, named=named, asks=any(want.aspects for want in task.wants))
    if said is not None:
        return replace(task, kind="talk", said=said)
    if task.asks("draft"):
        return task
    kind: Kind = next((kind for kind, pattern in _RULES if re.search(pattern, wording.text)), "work")
    if kind == "list" and re.search(r"\b(?:this|the) (?:scan|image|ct|mr|mri)\b", wording.text):
        kind = "work"
    if kind == "prognosis" and re.search(r"\bratio\b", wording.text):
        kind = "work"
    if task.quoted and kind in ("work", "report"):
        return replace(task, kind="report")
    if kind != "work":
        return replace(task, kind=kind)
    masks = [handle for handle in task.handles if handle.startswith("msk_")]
    if len(masks) == 2 and re.search(r"\b(?:compare|difference|differ|dice|overlap|agree)\b", wording.text):
        return replace(task, kind="compare_masks")
    if _is_described(task, wording.text, table):
        return replace(task, kind="describe", description=" ".join(question.split())[:300])
    unclear = next((want.unclear for want in task.wants if want.unclear and not set(want.aspects) & set(_BOTH)), "")
    if not task.wants and not task.handles:
        return replace(task, kind="unknown")
    return replace(task, unclear="" if re.search(r"\b(?:both|each|either|which)\b", wording.text) else unclear)


def _quoted(question: str) -> str:
    """The words of a report in the question, in quotation marks or after "report says"."""
    found = _QUOTED.search(question)
    if found is not None:
        return next(group for group in found.groups() if group)
    says = _SAYS.search(question)
    return says.group(1).strip() + "." if says is not None else ""


def _referred(text: str, wants: tuple[Want, ...], before: Task) -> tuple[Want, ...]:
    """Wants of a question that names nothing itself: of what was asked before."""
    if not before.wants or not (re.search(_PRONOUN, text) or len(text.split()) <= 6):
        return wants
    structures, lesions = before.structures, before.lesions
    turned = tuple(partner_of(name) or _other_chamber(name) for name in structures)
    if re.search(r"\bother (?:one|side|kidney)?\b", text) or re.search(r"\b(?:the|for) (?:right|left)\b", text):
        side = next((word for word in ("left", "right") if re.search(rf"\b{word}\b", text)), "")
        structures = tuple(
            new if (not side or new.startswith(side)) else old for new, old in zip(turned, structures, strict=True)
        )
    own = tuple(dict.fromkeys(aspect for want in wants for aspect in want.aspects))
    asked = tuple(dict.fromkeys(aspect for want in before.wants for aspect in want.aspects))
    if re.search(r"\bwhy\b", text):
        return (Want((), lesions or ("abnormality",), ("lesion", "why")),) if lesions else before.wants
    if own and set(own) <= {"error"}:
        own = ("error", *(aspect for aspect in asked if aspect in ("diameter", "volume", "density", "length")))
    return (Want(structures, lesions, own or asked),)


def _other_half(wants: tuple[Want, ...], before: Task, table: StructureTable) -> tuple[Want, ...]:
    """ "the other kidney": the half that was not asked for before."""
    had = set(before.structures)
    return tuple(
        replace(want, structures=tuple(n for n in want.structures if n not in had) or want.structures, unclear="")
        if any(table.partner(name) in had for name in want.structures)
        else want
        for want in wants
    )


def _other_chamber(name: str) -> str:
    if "ventricle" in name or "atrium" in name:
        return name.replace("left", "*").replace("right", "left").replace("*", "right")
    return name


def _is_described(task: Task, text: str, table: StructureTable) -> bool:
    """Whether words point at something by place or looks, so that a name alone would leave them out."""
    text = re.sub(
        r"\bfrom (?:above|below|behind|the (?:front|back|top|side|left|right))\b", "", text
    )  # where to look from
    words = [token.word for token in tokens(text)]
    named = mentions(words, table)
    organs = [one for one in named if one.kind == "structure"]
    if task.lesions:
        simple = len(task.wants) == 1 and not task.wants[0].is_measured and not task.asks("presence", "count")
        return bool(organs) and (simple or task.asks("where")) and re.search(_LOCATING, text) is not None
    if not organs or (re.search(_COMPARING, text) and not re.search(_LOCATING, text)) or re.search(_SIZES, text):
        return re.search(r"\bthing\b", text) is not None and bool(organs)
    if task.asks("ratio", "phases", "ejection", "export", "density", "sum", "edge", "error") or (
        task.asks("compare") and not re.search(_LOCATING, text)
    ):
        return False
    return any(_points(word) for word in words) and not _only_names(words, organs)


def _only_names(words: list[str], organs: list[Mention]) -> bool:
    """Whether every pointing word is part of a structure's name ("anterior hippocampus")."""
    inside = {n for m in organs for n in range(m.first, m.last)}
    return all(n in inside for n, word in enumerate(words) if _points(word))


def _points(word: str) -> bool:
    """Whether a word says which thing is meant, beside the structure's name."""
    token = phrases().get((word,), "")
    return (
        word in _PLACES
        or (token.startswith(_SINGLING) and word not in _NOT_POINTING)
        or (_SUPERLATIVE.fullmatch(word) is not None and word not in _NO_SUPERLATIVES)
        or word in ("longest", "largest")
    )
