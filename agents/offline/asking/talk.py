"""Questions about the program and not about a scan: greetings, what it can do, what it will not do.

The topics are `talk.tsv`. What depends on the models is filled in from `list_models`, so that nothing is promised that
`segment` cannot do.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ....imaging.formats.table import FORMATS, MASK_FORMATS

TABLE = Path(__file__).parent / "talk.tsv"
ABILITIES = (
    "I can segment structures by name, measure and compare them, find what words describe, draw slices, check a report, "
    "list models and structures, and export masks."
)
CANNOT = "I do not look for diseases without a model for them, make no diagnosis and give no advice on treatment."
_SHOWN = 14  # structures named for a kind of scan
_KINDS = {"ct": "CT", "mr": "MR", "pet": "PET"}


@dataclass(frozen=True)
class Said:
    """What to say of a topic.

    Attributes:
        kind: "answer", "refusal", or "models" where `list_models` is asked first.
        text: with {abilities}, {formats}, {open} and the like to fill in.
    """

    topic: str
    kind: str
    text: str


@cache
def _topics() -> tuple[tuple[Said, re.Pattern[str], bool], ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(
            (Said(row["topic"], row["kind"], row["text"]), re.compile(row["pattern"]), row["alone"] == "yes")
            for row in rows
        )


def talk_of(text: str, *, named: bool, asks: bool) -> Said | None:
    """The topic of a question, or None when it is about a scan.

    Args:
        named: a structure, a lesion or a handle is named.
        asks: something is wanted that a tool gives; "thanks, now measure it" is no thanks alone.
    """
    for said, pattern, alone in _topics():
        about_scan = said.topic == "abilities" and re.search(
            r"\bin (?:this|the|my) (?:scan|image|ct)\b|\bon it\b", text
        )
        if (
            pattern.search(text)
            and not (named and said.topic != "treatment")
            and not (alone and asks)
            and not about_scan
        ):
            return said
    return None


def filled(said: Said, models: Sequence[Mapping[str, Any]], images: Sequence[str]) -> str:
    """The text of a topic with what is known now."""
    texts = {
        "abilities": ABILITIES,
        "formats": formats(),
        "open": f"Open is {', '.join(images)}; what shall I measure?" if images else "Name a scan with --image.",
        "can": f"{ABILITIES} {what_is_known(models)} {CANNOT}",
        "modalities": modalities(models),
        "accuracy": accuracy(models),
    }
    return said.text.format_map(texts)


def formats() -> str:
    """Formats that are read and written, from the table itself."""
    read = [row.name for row in FORMATS if row.read]
    return (
        f"Scans are read from DICOM (folder, file or zip), {', '.join(names(read))}. Masks are written as "
        f"{', '.join(names(MASK_FORMATS))}. What is not listed is not read."
    )


def names(keys: Sequence[str]) -> list[str]:
    """Formats as people write them."""
    known = {
        "nifti": "NIfTI",
        "nrrd": "NRRD",
        "stl": "STL",
        "dicom_seg": "DICOM SEG",
        "rtstruct": "RTSTRUCT",
        "png": "PNG",
    }
    return [known.get(key, key.upper()) for key in keys]


def ready(models: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Models that segment by name and are here."""
    return [row for row in models if row["task"] == "segment" and row["structures"]]


def what_is_known(models: Sequence[Mapping[str, Any]]) -> str:
    """Structures by kind of scan."""
    parts = []
    for key, kind in _KINDS.items():
        found = list(
            dict.fromkeys(name for row in ready(models) if key in row["modalities"] for name in row["structures"])
        )
        if found:
            more = " and more" if len(found) > _SHOWN else ""
            parts.append(f"on {kind} {', '.join(found[:_SHOWN])}{more}")
    return f"Models here know {'; '.join(parts)}." if parts else "No model is ready here."


def modalities(models: Sequence[Mapping[str, Any]]) -> str:
    """What kinds of scan have models, and that others have none."""
    kinds = sorted({_KINDS.get(kind, kind) for row in ready(models) for kind in row["modalities"]})
    return (
        f"No model here works on ultrasound or X-ray pictures: the ready ones take {', '.join(kinds)}. Such pictures can be "
        "opened (DICOM, PNG, JPEG) and shown, but no organ is outlined on them."
    )


def accuracy(models: Sequence[Mapping[str, Any]]) -> str:
    """Each ready model with its measured Dice and licence."""
    rows = []
    for row in ready(models):
        dice = ", ".join(f"{name} {value:g}" for name, value in list(row["dice"].items())[:4])
        rows.append(f"{row['model']} ({', '.join(row['modalities'])}, {row['licence']}): {dice or 'not measured'}")
    return f"Dice on held-out scans by model: {'; '.join(rows)}."
