"""Was a question answered? Rules over the calls, the answer and the files; written before the planner's answers were looked at.

A right answer called the right tools with the right structures and arguments, opens with the number or verdict asked for,
keeps every citation, and left what it claims: pictures, and files of the format asked for. What cannot be done must be
declined, naming what is missing; a number that no tool gave is taken out by the ledger, and that fails, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...agents.ask import Answered
from ...retrieval.anatomy.structures import StructureTable

DECLINES = (
    r"\bcannot\b|\bcan't\b|\bno (?:installed |ready )?model\b|\bnot (?:offered|possible|known|something|measured|given|found|"
    r"told)\b|\bnone is\b|\bwhich\b.*\?|\bwhat\b.*\?|\bout of scope\b|\bno medication|\bnur\b|kein modell|kann (?:ich )?nicht|"
    r"aucun modèle|ne peux pas|ningún modelo|no puedo"
)
# A good answer that names a condition lets the answer say that it is not met.
CONDITION = r"\botherwise\b|\bor (?:says|why not|that|asks|no)\b|\bsays (?:if|no|what|which|whether|that)\b|\bif\b|\basks\b|\belse\b|\bat most\b"
_ML, _MM = r"\d[\d.,]* ?(?:ml|cm³|cm3|cc)\b|\d ?cm³", r"\d ?(?:mm|cm)\b"
SHOWS = {
    "volume": _ML, "length": _MM, "diameter": _MM, "thickness": _MM, "density": r"\d ?HU\b", "uptake": r"SUV",
    "ratio": r"\d", "surface": r"cm²|cm2|mm²", "count": r"\b(?:\d+|no|one|two|both|three|four|six)\b",
    "presence": r"\b(?:found|present|visible|shows?|no model|no installed model|cannot)\b", "error": r"error|interval|dice",
    "render": r"picture|bild|image|imagen", "export": r"\.(?:stl|dcm|nii\.gz|nrrd|png)\b", "compare": r"larger|smaller|higher|lower|"
    r"longer|shorter|difference|certain|plus gros|größer|mayor|\byes\b|\bno\b",
}  # fmt: skip
ENDINGS = {"stl": ".stl", "dicom_seg": ".dcm", "rtstruct": ".dcm", "nifti": ".nii.gz", "nrrd": ".nrrd", "png": ".png"}
PNG = b"\x89PNG"
QUIET = ("greeting", "prognosis", "out_of_scope")  # nothing is to be drawn or measured for these
EITHER = {"volume": ("length",), "length": ("volume",)}  # "how big" is answered by one of them where both are wanted


@dataclass(frozen=True)
class Question:
    """A question of the file; `says` and `says_not` are patterns taken from `good_answer`."""

    id: str
    kind: str
    scan: str
    question: str
    follows: str | None
    wants: dict[str, Any]
    answerable: bool
    good_answer: str
    says: tuple[str, ...] = ()
    says_not: tuple[str, ...] = ()


def load(path: Path) -> dict[str, Question]:
    """Every question by its id, in the order of the file."""
    rows = [Question(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row.id: row for row in rows}


def faults(question: Question, answered: Answered, roots: Sequence[Path]) -> tuple[str, ...]:
    """What is wrong with an answer; empty when it is right.

    Args:
        roots: folders in which exported files lie.
    """
    return tuple(dict.fromkeys(_faults(question, answered, roots)))


def _faults(question: Question, answered: Answered, roots: Sequence[Path]) -> Iterator[str]:
    if answered.reply is None or not answered.reply.statements:
        yield "no answer"
        return
    text, first = answered.text, answered.reply.statements[0].text
    if answered.removed:
        yield "a claim was not borne out"
    for pattern in question.says:
        if not re.search(pattern, text, re.IGNORECASE):
            yield f"does not say {pattern}"
    for pattern in question.says_not:
        if re.search(pattern, text, re.IGNORECASE):
            yield f"says {pattern}"
    what = question.wants["what"]
    measured = any(call["tool"] == "measure" for call in answered.calls)
    if measured and set(QUIET) & set(what) and not {"volume", "check"} & set(what):
        yield "measured without being asked"
    if not question.answerable and not re.search(DECLINES, text, re.IGNORECASE):
        yield "declines nothing"
    if question.answerable and set(what) & set(SHOWS):
        yield from _first(question, first, answered.reply.kind)
        yield from _tools(question, answered, text)
    if question.wants["format"]:
        yield from _files(question, answered, roots, text)
    drawn = answered.pictures and all(png.startswith(PNG) for png in answered.pictures.values())
    if "render" in what and question.answerable and not drawn and not _declined(question, answered):
        yield "no picture"


def _declined(question: Question, answered: Answered) -> bool:
    """A condition of the good answer is not met, and the answer says so."""
    return bool(
        re.search(CONDITION, question.good_answer, re.IGNORECASE) and re.search(DECLINES, answered.text, re.IGNORECASE)
    )


def _first(question: Question, first: str, kind: str) -> Iterator[str]:
    wanted = [
        SHOWS[item]
        for item in (*question.wants["what"], *(["compare"] if question.wants["compare"] else []))
        if item in SHOWS
    ]
    excused = re.search(CONDITION, question.good_answer, re.IGNORECASE) and re.search(DECLINES, first, re.IGNORECASE)
    if not excused and not any(re.search(pattern, first, re.IGNORECASE) for pattern in wanted):
        yield f"does not open with the answer: {first[:100]}"
    if kind == "refusal" and not excused:
        yield "refused"


def _tools(question: Question, answered: Answered, text: str) -> Iterator[str]:
    declined = _declined(question, answered)
    named = _looked_for(answered)
    table = StructureTable.bundled()
    for name in question.wants["structures"]:
        row = table.get(name)
        names = {row.name, *table.expand(row.name), *table.above(row.name)[:1]} if row is not None else {name}
        looked = bool(names & named) or any(name in other for other in named)
        if not looked and not (declined and name.split()[-1].rstrip("s") in text.lower()):
            yield f"did not look for {name}"
    what = question.wants["what"]
    for item in what:
        others = [SHOWS[other] for other in EITHER.get(item, ()) if other in what]
        shown = any(re.search(pattern, text, re.IGNORECASE) for pattern in (SHOWS.get(item, ""), *others))
        if item in SHOWS and not shown and not declined:
            yield f"gives no {item}"
    compared = {call["tool"] for call in answered.calls if not call["is_error"]} & {
        "derive",
        "compare_masks",
        "check_report",
    }
    if question.wants["compare"] and len(question.wants["structures"]) > 1 and not declined and not compared:
        yield "computed no comparison"


def _looked_for(answered: Answered) -> set[str]:
    found: set[str] = set()
    table = StructureTable.bundled()
    for call in answered.calls:
        for name in call["arguments"].get("structures", []):
            found |= {name, *table.expand(name), *table.above(name)[:1]}
        found |= {str(row.get("structure")) for row in call["result"].get("masks", [])}
    return found


def _files(question: Question, answered: Answered, roots: Sequence[Path], text: str) -> Iterator[str]:
    wanted = question.wants["format"]
    if wanted == "png" and answered.pictures:
        return
    made = [call for call in answered.calls if call["tool"] == "export" and not call["is_error"]]
    if not made:
        if not _declined(question, answered):
            yield f"no file of {wanted} was written"
        return
    rows = [row for call in made for row in call["result"].get("files", [])]
    if not rows or any(row["format"] != wanted or not row["path"].endswith(ENDINGS[wanted]) for row in rows):
        yield f"the files are {sorted({row['format'] for row in rows})}, not {wanted}"
    if not all(any((root / row["path"]).is_file() for root in roots) for row in rows):
        yield "a file does not exist"
    if not any(Path(row["path"]).name in text for row in rows):
        yield "no path is said"
