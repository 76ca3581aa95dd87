"""Addresses callers write: `dicomweb://NAME/STUDY/SERIES`, `dimse://…`, `fhir://NAME/Patient/ID`; never an address of the net."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ...imaging.errors import BadCall
from .nodes import KINDS, NAME, Kind

FILTERS = ("modality", "since", "until", "patient", "offset")
_ADDRESS = re.compile(rf"({'|'.join(KINDS)})://", re.IGNORECASE)
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_ALIAS = re.compile(r"(study|series)_[0-9a-f]{12,20}")
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # https://hl7.org/fhir/R4/datatypes.html#id
_MODALITY = re.compile(r"[A-Z]{2,16}")
# What of an address may name a patient: a filter's value, and the id behind Patient/; blanks and quotes are part of both.
_PRIVATE = re.compile(r"(?i)(\bpatient=)[^&]*|(\bfhir://[^/\s]*/Patient/)[^/?]*")
_HIDDEN = "…"


@dataclass(frozen=True)
class Address:
    """Where something lies in a configured archive.

    Attributes:
        study: alias or UID; "" for all.
        series: alias or UID; "" for all of the study.
        patient: id of a FHIR patient. It appears in no answer.
        filters: of studies: modality, since and until (YYYYMMDD), patient (its ID), offset.
    """

    kind: Kind
    name: str
    study: str = ""
    series: str = ""
    patient: str = field(default="", repr=False)
    filters: Mapping[str, str] = field(default_factory=dict, repr=False)


def is_address(text: object) -> bool:
    """Whether a path means something in an archive."""
    return isinstance(text, str) and _ADDRESS.match(text.lstrip(" \t\r\n\"'`")) is not None


def parse_address(text: str) -> Address:
    """The parts of an address.

    Raises:
        BadCall: it is none, or has parts that mean nothing. What may name a patient is not repeated.
    """
    parts = urlsplit(text.strip(" \t\r\n\"'`"))
    kind: Any = parts.scheme.lower()
    if kind not in KINDS or not NAME.fullmatch(parts.netloc):
        raise BadCall(
            f"'{kind[:20]}://' is not followed by the name of a configured archive. Archives are named, never given as "
            "host or url. Write e.g. dicomweb://NAME/STUDY/SERIES; list_files shows the names."
        )
    words = [unquote(word) for word in parts.path.split("/") if word]
    if kind == "fhir":
        if len(words) != 2 or words[0] != "Patient" or not _FHIR_ID.fullmatch(words[1]) or parts.query:
            raise BadCall("A FHIR record's address is fhir://NAME/Patient/ID. Write the server's id of one patient.")
        return Address(kind, parts.netloc, patient=words[1])
    for word, level in zip(words, ("study", "series"), strict=False):
        named = _ALIAS.fullmatch(word)
        if (named is None or named[1] != level) and (len(word) > 64 or not _UID.fullmatch(word)):
            raise BadCall(
                f"The {level} in the address is neither an alias ({level}_ and hexadecimal digits) nor a UID. "
                f"Call list_files(root='{kind}://{parts.netloc}') to see aliases."
            )
    if len(words) > 2:
        raise BadCall(f"An address goes as far as a series: {kind}://NAME/STUDY/SERIES. Leave the rest out.")
    study, series = (*words, "", "")[:2]
    return Address(kind, parts.netloc, study, series, filters=_filters(parts.query, has_study=bool(words)))


def _filters(query: str, *, has_study: bool) -> dict[str, str]:
    given = parse_qsl(query, keep_blank_values=True, max_num_fields=20)
    found: dict[str, str] = {}
    for key, value in given:
        if key not in FILTERS or has_study:
            raise BadCall(
                f"'{key[:20]}' cannot be filtered by here. Studies are filtered by {', '.join(FILTERS)}: "
                "dicomweb://NAME?modality=CT&since=2024-01-01."
            )
        found[key] = _checked(key, value.strip())
    return found


def _checked(key: str, value: str) -> str:
    if key == "modality" and not _MODALITY.fullmatch(value.upper()):
        raise BadCall("modality is no code of DICOM. Allowed: CT, MR, PT, US, CR and the like. Write modality=CT.")
    if key in ("since", "until"):
        try:
            return date.fromisoformat(value).strftime("%Y%m%d")
        except ValueError:
            raise BadCall(f"{key} is no day. Allowed: YYYY-MM-DD. Write {key}=2024-01-31.") from None
    if key == "offset" and not re.fullmatch(r"\d{1,6}", value):
        raise BadCall("offset is no whole number. Allowed: 0 to 999999, how many studies to pass over.")
    if key == "patient" and (not 0 < len(value) <= 64 or re.search(r"[\\*?\x00-\x1f]", value)):
        raise BadCall("patient is no patient ID. Allowed: 1 to 64 characters, no pattern. Write the whole ID.")
    return value.upper() if key == "modality" else value


def without_patients(value: Any) -> Any:
    """Arguments of a call without what in their addresses names a patient, for logs and recordings."""
    if isinstance(value, str):
        return _PRIVATE.sub(lambda met: f"{met[1] or met[2]}{_HIDDEN}", value) if "://" in value else value
    if isinstance(value, Mapping):
        return {key: without_patients(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_patients(one) for one in value]
    return value
