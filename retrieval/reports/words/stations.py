"""Places that a report tells by a number or half a name: stations of lymph nodes, "ascending 47 mm", "cervical tumour"."""

from __future__ import annotations

import re

_OF_AORTA = re.compile(r"(?:ascending|descending|(?P<sinus>sinus(?:es)?))(?=:?\s*\d)", re.IGNORECASE)
_CERVIX = re.compile(r"cervical(?=\s+(?:tumou?r|cancer|carcinoma|mass|polyp|stroma|length)\b)", re.IGNORECASE)
_OF_PELVIS = re.compile(r"parametri|vagin|uter|endometr|FIGO|pelvi", re.IGNORECASE)
_STATION = re.compile(r"(?:station\s*)?(?P<n>1?\d)[RL]\b")  # of lymph nodes of the chest
_LEVEL = re.compile(r"levels?\s*(?:[IV]+|\d)[abAB]?\b", re.IGNORECASE)  # of lymph nodes of the neck or the axilla
_NODES = re.compile(r"\b(?:LNs?|nodes?|nodal|adenopathy|stations?)\W", re.IGNORECASE)
_MEASURED_STATION = re.compile(r"\d[RL]\s*\d[\d.]*\s?[cm]m", re.IGNORECASE)
_OF_HILUM = ("10", "11")


def named_by_number(text: str, at: int, covered: int) -> str:
    """The word for a level or station of nodes, or a type of dissection, in characters `at` to `covered`; "" for others."""
    behind = text[covered:]
    if re.match(r"\s*dissection", behind) and re.match(r"type|stanford|debakey", text[at:covered], re.IGNORECASE):
        return "aortic"  # "type B dissection"
    if _LEVEL.match(text, at):
        return _of_level(text, at, behind)
    station = _STATION.match(text, at)
    if station is None or not (_NODES.search(text) or _MEASURED_STATION.search(text)):
        return ""
    if re.match(r"\s*\d[\d.]*\s?(?:x|mm|cm)", behind) and not _NODES.search(text):
        return "mediastinalnode"  # "4R 14 mm"
    return "hilar" if station["n"] in _OF_HILUM else "mediastinum"


def _of_level(text: str, at: int, behind: str) -> str:
    if re.search(r"\baxill|\bbreast", text, re.IGNORECASE):
        return "axillary"
    nodes = re.search(r"\bnod|adenopath|\bLNs?\b", text, re.IGNORECASE)
    if not nodes and not re.search(r"\b(?:at|left|right|bilateral)\s$", text[:at]):
        return ""
    return "cervical" if re.match(r"\W*(?:lymph\s+)?nod", behind) else "cervicalregion"


def bare_part(text: str, at: int) -> tuple[list[str], int] | None:
    """The words for half a name whose other half the sentence tells, and where it ends; None where none stands."""
    aorta = _OF_AORTA.match(text, at) if re.search(r"aort", text, re.IGNORECASE) else None
    if aorta:
        return (["aortic", "root"] if aorta["sinus"] else [aorta.group().lower(), "aorta"]), aorta.end()
    cervix = _CERVIX.match(text, at) if _OF_PELVIS.search(text) else None
    return (["uterine", "cervix"], cervix.end()) if cervix else None
