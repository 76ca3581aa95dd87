"""Studies and series as an archive tells them: counts, modality and year for callers, the rest for sorting and matching only.

Descriptions are free text of the hospital and may name somebody: of them only words of a fixed list are told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Facts = Mapping[str, Any]
"""A data set in DICOM's JSON form (PS3.18 F.2): tag to {"vr", "Value"}."""

STUDY_ELEMENTS = {
    "StudyInstanceUID": "0020000D", "StudyDate": "00080020", "StudyTime": "00080030", "ModalitiesInStudy": "00080061",
    "StudyDescription": "00081030", "NumberOfStudyRelatedSeries": "00201206",
    "NumberOfStudyRelatedInstances": "00201208", "PatientName": "00100010",
}  # fmt: skip
SERIES_ELEMENTS = {
    "SeriesInstanceUID": "0020000E", "Modality": "00080060", "SeriesNumber": "00200011",
    "SeriesDescription": "0008103E", "BodyPartExamined": "00180015", "NumberOfSeriesRelatedInstances": "00201209",
}  # fmt: skip
NO_IMAGES = ("SR", "KO", "PR", "DOC", "REG", "RTPLAN", "RTDOSE", "RTRECORD")  # modalities without pixels to open
MASKS = ("SEG", "RTSTRUCT")


@dataclass(frozen=True)
class StudyFound:
    """A study.

    Attributes:
        words: of its description, as far as they are on the list.
        moment: date and time, for sorting.
        text: its description, for matching a pattern.
    """

    uid: str = field(repr=False)
    modalities: tuple[str, ...]
    year: str
    series: int | None
    instances: int | None
    words: str
    moment: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True)
class SeriesFound:
    """A series; attributes as of `StudyFound`."""

    uid: str = field(repr=False)
    modality: str
    number: int
    instances: int | None
    words: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Found:
    """Studies, newest first; `complete` is False where the archive has more than were asked for."""

    studies: tuple[StudyFound, ...]
    complete: bool


def study_of(facts: Facts) -> StudyFound | None:
    """A study out of one answer; None where it has no UID."""
    uid = _text(facts, "0020000D")
    if not _is_uid(uid):
        return None
    day, description = _text(facts, "00080020"), _text(facts, "00081030")
    return StudyFound(
        uid,
        tuple(sorted({code for code in _texts(facts, "00080061") if _is_code(code)})),
        day[:4] if re.fullmatch(r"\d{8}", day) else "",
        _number(facts, "00201206"),
        _number(facts, "00201208"),
        known_words(description, _text(facts, "00100010")),
        f"{day} {_text(facts, '00080030')}",
        description,
    )


def series_of(facts: Facts) -> SeriesFound | None:
    """A series out of one answer; None where it has no UID."""
    uid, modality = _text(facts, "0020000E"), _text(facts, "00080060")
    if not _is_uid(uid):
        return None
    text = f"{_text(facts, '0008103E')} {_text(facts, '00180015')}".strip()
    return SeriesFound(
        uid,
        modality if _is_code(modality) else "",
        _number(facts, "00200011") or 0,
        _number(facts, "00201209"),
        known_words(text, _text(facts, "00100010")),
        text,
    )


def newest_first(studies: Sequence[StudyFound]) -> tuple[StudyFound, ...]:
    """Studies by their date and time, the latest first; those without at the end."""
    return tuple(sorted(sorted(studies, key=lambda one: one.uid), key=lambda one: one.moment, reverse=True))


def known_words(text: str, patient: str = "") -> str:
    """The words of a description that are on the list and in nobody's name, in their order."""
    named = set(re.findall(r"[^\W_]+", patient.casefold()))
    words = re.findall(r"[^\W_]+", text.casefold())
    return " ".join(dict.fromkeys(word for word in words if word in _vocabulary() and word not in named))


@cache
def _vocabulary() -> frozenset[str]:
    lines = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _texts(facts: Facts, tag: str) -> list[str]:
    element = facts.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    found = values if isinstance(values, list) else []
    return [
        str(one.get("Alphabetic", "") if isinstance(one, Mapping) else one).strip() for one in found if one is not None
    ]


def _text(facts: Facts, tag: str) -> str:
    return next(iter(_texts(facts, tag)), "")


def _number(facts: Facts, tag: str) -> int | None:
    text = _text(facts, tag)
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)+", text) is not None


def _is_code(text: str) -> bool:
    return re.fullmatch(r"[A-Z]{2,16}", text) is not None
