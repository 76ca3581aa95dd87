"""Names for people beside the handles: of a scan after its file, of a mask after its structure, of a job after its call.

Headers' values are in no alias, and a file's name is left out where it may name a patient.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ...imaging.dicom.source import DicomSource
from ...imaging.imports.name_tables import plain_stem
from ...store.records import ImageRecord, JobRecord, MaskRecord
from .naming import private_words, words_in
from .wording import plain

_LONGEST = 40  # characters
_MAY_NAME = re.compile(r"\d{5,}|\d[-_.]\d\d[-_.]\d|\^|,|@")  # dates, record numbers, DICOM's way to write names


def alias_of_file(name: str, source: DicomSource | None) -> str:
    """An alias for a scan opened from this file or folder; "" where the name may be a patient's.

    Left out are names with dates, long numbers or words of the DICOM header's patient. Of a DICOM scan whose header
    names nobody, no name is used: its folders are too often called after the patient.
    """
    stem = plain(plain_stem(PurePath(name).name))
    private = private_words([source.header]) if source is not None else frozenset()
    if not stem or _MAY_NAME.search(stem) or words_in(stem) & private or (source is not None and not private):
        return ""
    return stem[:_LONGEST]


def alias_of_image(record: ImageRecord) -> str:
    """What an image is called: after its file, else by its kind and size."""
    told = str(record.facts.get("alias") or "")
    kind = "image" if record.modality == "unknown" else record.modality
    return told or f"{kind} {'x'.join(map(str, record.grid.shape))}"


def alias_of_mask(record: MaskRecord) -> str:
    """What a mask is called: its structure, and what made it where that is no model's answer."""
    tool = str((record.facts.get("provenance") or {}).get("tool") or "")
    how = {
        "import_mask": "imported",
        "refine_mask": "drawn",
        "edit_mask": str(record.facts.get("operation") or "edited"),
    }.get(tool, "")
    name = record.structure or "mask"
    return f"{name} ({how})" if how else name


def alias_of_job(record: JobRecord) -> str:
    """What a job is called: its tool and what it was asked for."""
    asked: Mapping[str, Any] = record.arguments
    what = asked.get("structures") or asked.get("mask_id") or asked.get("image_id") or ""
    words = ", ".join(map(str, what)) if isinstance(what, list) else str(what)
    return f"{record.tool} {words}".strip()[:_LONGEST]
