"""What a question asks for, by rules: used by the offline model, and to decide which tools a question permits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ...retrieval.anatomy.structures import StructureTable
from ...retrieval.descriptions.words import phrases
from ...retrieval.reports.lexicon import tokens
from ...retrieval.reports.mentions import Mention, mentions, named_structure

Kind = Literal[
    "report", "prognosis", "job", "cancel", "export", "compare", "render", "measure", "describe", "list", "find",
    "segment", "unknown",
]  # fmt: skip

# First match wins. Order: what changes something and what is special comes before plain looking.
_RULES: tuple[tuple[Kind, str], ...] = (
    ("report", r"\b(report|impression|dictation)\b"),
    ("prognosis", r"\b(prognos\w+|outlook|survival|life expectancy|survive|mortality|how long .* live)\b"),
    ("cancel", r"\b(cancel|abort|stop)\b"),
    ("job", r"\bjob_\w+|\b(status|progress) of\b"),
    ("export", r"\b(export|save|write|download)\w*\b"),
    ("list", r"\b(which|what|list)\b.*\b(models?|structures|organs can|can you)\b|\bcan you segment\b|\bwhat can you do\b"),
    ("compare", r"\b(compar\w+|difference|differ|dice|overlap|agree\w*|(?:larger|bigger|smaller|longer) than|ratio)\b"),
    ("render", r"\b(show|draw|render|picture|display|view|visuali[sz]e|image of|look like|screenshot)\b"),
    ("measure", r"\b(how (?:big|large|long|wide|much|dense)|volume|size|diameter|measure\w*|length|density|hounsfield|hu|intensity|millilit\w+|ml|mm|cm)\b"),
    ("find", r"\b(canonical name|synonym\w*|what is the name|search for the word|look up)\b"),
    ("segment", r"\b(segment\w*|outline|delineate|contour|mask|find|locate|where|is there|are there|is the|are the|does|has|have|present|absent|missing|see|visible|both|label)\b"),
)  # fmt: skip
_PLACES = ("upper", "lower", "largest", "smallest", "larger", "smaller", "biggest", "lobe", "near", "next", "behind",
           "front", "bright", "dark", "dense", "spot", "beside", "adjacent", "round", "posterior", "anterior")  # fmt: skip
# Tokens of descriptions that single something out or name another thing than the structure: "the widest part of the aorta",
# "the largest vessel near the liver". Sides and "in" are read with the structure; "large" asks for a number.
_SINGLING = ("RANK_", "MORE_", "MAX_", "MAXDEN_", "PART", "CLASS_", "REL_above", "REL_below", "REL_between")
_SUPERLATIVE = re.compile(r"[a-z]{3,}(?:est|most)$")
_NO_SUPERLATIVES = ("chest", "rest", "test", "request", "interest", "breast", "almost", "latest")
_HANDLE = re.compile(r"\b((?:msk|img|job)_\w+)")
# Words of the question that permit a tool which changes something; every other such tool needs a word of its own name.
_PERMITS = {
    "export": r"\b(export|save|write|download)",
    "cancel_job": r"\b(cancel|abort|stop)",
    "edit_mask": r"\b(edit|grow|shrink|union|intersect|subtract|fill|smooth|largest part|snap|dilate|erode|threshold|iso-?contour)",
    "open_image": r"\b(open|load)\b",
    "check_report": r"\b(report|impression|dictation)\b",
    "predict_prognosis": r"\b(prognos|outlook|surviv|expectancy|mortality|risk)",
}
_ANALYSIS = ("segment", "segment_described")  # write masks into the store and nothing else


@dataclass(frozen=True)
class Task:
    """A question, understood.

    Attributes:
        structures: canonical names to look for.
        unclear: a pair asked for in the singular without a side ("the kidney"), or "".
        lesions: kinds of lesion named.
        description: the words, when they point at something by place or looks.
        handles: msk_, img_ and job_ handles named.
        with_numbers: lengths or volumes are wanted beside the main thing.
        allow_synthetic: the question says it means a synthetic image.
    """

    kind: Kind
    structures: tuple[str, ...]
    unclear: str
    lesions: tuple[str, ...]
    description: str
    handles: tuple[str, ...]
    with_numbers: bool
    allow_synthetic: bool
    view: str


def understand(question: str, table: StructureTable | None = None) -> Task:
    """The task a question sets."""
    table = table or StructureTable.bundled()
    low = question.lower()
    words = [token.word for token in tokens(question)]
    named = mentions(words, table)
    organs = [m for m in named if m.kind == "structure"]
    lesions = tuple(dict.fromkeys(m.name for m in named if m.kind == "lesion"))
    kind: Kind = next((kind for kind, pattern in _RULES if re.search(pattern, low)), "unknown")
    pointing = bool(lesions) or (organs and any(_points(word) for word in words) and not _only_names(words, organs))
    if pointing and kind in ("segment", "measure", "render", "unknown", "find"):
        kind = "describe"
    if kind == "unknown" and organs:
        kind = "segment"
    return Task(
        kind=kind,
        structures=tuple(dict.fromkeys(named_structure(table, m.name, m.side) for m in organs)),
        unclear=next((m.name for m in organs if _is_unclear(m, words, table)), ""),
        lesions=lesions,
        description=" ".join(question.split())[:300] if kind == "describe" else "",
        handles=tuple(dict.fromkeys(_HANDLE.findall(question))),
        with_numbers=re.search(_RULES[8][1], low) is not None,
        allow_synthetic=re.search(r"\b(synthetic|phantom)\b", low) is not None,
        view=next((view for view in ("coronal", "sagittal", "montage", "axial") if view in low), ""),
    )


def permitted(question: str, tools: dict[str, bool]) -> tuple[str, ...]:
    """Names of the tools a question permits; the text of reports and scans has no say in it.

    Args:
        tools: name -> whether the tool only reads.
    """
    low = question.lower()

    def allowed(name: str, reads: bool) -> bool:
        if name in _PERMITS:
            return re.search(_PERMITS[name], low) is not None
        own = [word for word in name.split("_") if len(word) > 3]
        return reads or name in _ANALYSIS or any(word in low for word in own)

    return tuple(name for name, reads in tools.items() if allowed(name, reads))


def _is_unclear(mention: Mention, words: list[str], table: StructureTable) -> bool:
    """ "the kidney": one of a pair, but which?"""
    row = table.get(mention.name)
    if row is None or row.side != "both" or mention.side or mention.how == "adjective":
        return False
    said = words[mention.last - 1]
    plural = said.endswith(("s", "ae", "mata")) or said in (
        "femora",
        "thalami",
        "putamina",
        "pallida",
        "hippocampi",
        "nuclei",
    )
    singular = said in ("pelvis", "pancreas") or said.endswith(("us", "ss"))
    return not plural or singular


def _only_names(words: list[str], organs: list[Mention]) -> bool:
    """Whether every pointing word is part of a structure's name ("anterior hippocampus")."""
    inside = {n for m in organs for n in range(m.first, m.last)}
    return all(n in inside for n, word in enumerate(words) if _points(word))


def _points(word: str) -> bool:
    """Whether a word says which thing is meant, beside the structure's name."""
    token = phrases().get((word,), "")
    return (
        word in _PLACES
        or (token.startswith(_SINGLING) and word not in ("side", "segment"))
        or (_SUPERLATIVE.fullmatch(word) is not None and word not in _NO_SUPERLATIVES)
    )
