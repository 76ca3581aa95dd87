"""What was made or read beside the numbers: pictures, files, the scan's own sizes."""

from __future__ import annotations

import re

from ....imaging.formats.table import MASK_FORMATS
from ...reply import Statement
from ..asking.talk import names as format_names
from ..turn import Turn, cite, tell
from ..work import (
    FOREIGN_FORMATS,
    draws,
    format_of,
)
from .phrases import phrase

_MOST = 12


def pictures(turn: Turn) -> list[Statement]:
    """Pictures that were drawn, with their files, or which structure one shall show."""
    calls = turn.all("render")
    if not draws(turn):
        return []
    if not calls:
        if turn.masks_named or turn.found or turn.task.structures:
            return []
        return [tell("Which structure shall the picture show? Name one.")]
    said = []
    for call in calls:
        if call.is_error:
            said.append(tell(call.text, *cite(call)))
            continue
        row = call.result
        kind = {"mip": "projection (MIP)", "surface": "surface in three dimensions (3D)", "slice": "view"}[row["kind"]]
        shown = ", ".join(dict.fromkeys(one.name for one in turn.found if one.mask_id in row["mask_ids"])) or "the scan"
        slices = f", slice {', '.join(map(str, row['shown']))} of {row['slices']}" if row["shown"] else ""
        files = " ".join(f"{name}.png" for name in dict.fromkeys(re.findall(r"\bpic_\w+", call.text)))
        what = f"{row['view']} {kind} of {shown}{slices}; {files}"
        said.append(
            tell(
                phrase("drawn", turn.task.language, what=what.replace("(3D)", "").strip()),
                *cite(call),
                *cite(turn.last("segment")),
            )
        )
    if re.search(r"\bblue\b|\bred\b|\bgreen\b|\byellow\b", turn.task.text):
        said.append(tell("Colours cannot be chosen; the legend in the picture names each."))
    if re.search(r"\bplay\b|\banimat|\bbeating\b|\bvideo\b|\bmovie\b", turn.task.text):
        said.append(tell("An animation is not offered; there is a picture for each phase."))
    return said


def files(turn: Turn) -> list[Statement]:
    """Files that were written, in the format asked for, or why none was."""
    if not turn.task.asks("export"):
        return []
    known = ", ".join(format_names(MASK_FORMATS))
    foreign = FOREIGN_FORMATS.search(turn.task.text)
    call = turn.last("export")
    if call is None:
        if foreign is not None:
            which = "" if turn.task.structures else " Which structure shall be written?"
            return [tell(f"{foreign.group(1).upper()} is not offered. Masks are written as {known}.{which}")]
        if format_of(turn.task.text) == "png" and turn.all("render"):
            return []
        return [] if turn.found else [tell("Which structure shall be exported? Name one.")]
    if call.is_error:
        return [tell(f"Nothing was exported. {call.text}", *cite(call))]
    paths = ", ".join(dict.fromkeys(str(row["path"]) for row in call.result.get("files", [])))
    form = format_names([str(call.result["files"][0]["format"])])[0] if call.result.get("files") else ""
    notes = []
    if form == "STL":
        notes.append(tell("STL is in mm, scale one to one; not for implants or treatment."))
    if form in ("DICOM SEG", "RTSTRUCT"):
        warned = list(dict.fromkeys(w for row in call.result["files"] for w in row["warnings"]))
        notes += [tell(text, *cite(call)) for text in warned[:2]]
        notes.append(tell("Nothing is sent to a PACS; it needs a DICOM series as source to belong to a patient."))
    if re.search(r"systol", turn.task.text):
        images = ", ".join(
            dict.fromkeys(
                one.image_id for one in turn.found if any(one.mask_id == row["mask_id"] for row in call.result["files"])
            )
        )
        notes.append(tell(f"Written is the phase of {images}, chosen by volume.", *cite(call)))
    if "one file" in turn.task.text and form == "NIfTI":
        notes.append(
            tell(
                "NIfTI holds a file per mask here; the file's name tells its structure, and all lie on the scan's grid."
            )
        )
    return [tell(f"{phrase('written', turn.task.language)} {form}: {paths}.", *cite(call)), *notes]


def spacing(turn: Turn) -> list[Statement]:
    """Slices, voxel size and kind of the opened images."""
    call = turn.last("list_handles")
    if call is None or not turn.task.asks("spacing"):
        return []
    rows = [row for row in call.result.get("handles", []) if row.get("handle") in turn.images]
    said = []
    if len(rows) > 1:
        slices = sorted({row["shape"][2] for row in rows})
        images = [one for row in rows for one in cite(call, str(row["handle"]))]
        said.append(
            tell(f"{len(rows)} images (phases) are open, each of {', '.join(map(str, slices))} slices.", *images)
        )
    for row in rows[: 1 if len(rows) > 1 else 4]:
        shape, spacing = row["shape"], row.get("spacing_mm")
        size = f"voxels of {' x '.join(f'{mm:g}' for mm in spacing)} mm, slices {spacing[-1]:g} mm apart" if spacing else (
            "its voxel size is not known"
        )  # fmt: skip
        text = f"The scan ({str(row.get('modality', '')).upper()}) has {shape[-1]} slices; {size}."
        said.append(tell(text, *cite(call, str(row["handle"]))))
    return said


def contrast(turn: Turn) -> list[Statement]:
    """What the aorta tells of contrast, which is no proof."""
    if not turn.task.asks("contrast") or turn.task.structures:
        return []
    aorta = next((one for one in turn.found if one.measured and one.measured.get("intensity")), None)
    if aorta is None:
        return [
            tell(
                "I cannot say whether contrast was given: neither the header nor a vessel says so.",
                *cite(turn.last("segment")),
            )
        ]
    mean = aorta.measured["intensity"]["mean"] if aorta.measured else 0
    text = f"I cannot say for sure whether contrast was given; the {aorta.name} has a mean of {mean:g} HU, which is an indication only."
    return [tell(text, *aorta.cites)]


def notes(turn: Turn) -> list[Statement]:
    """What a picture leaves open."""
    text = turn.task.text
    said = []
    if draws(turn) and not turn.found and not turn.masks_named and not re.search(r"\bmip\b|\bprojection\b", text):
        said.append(tell("No structure was named; which one shall be marked?"))
    if re.search(r"\bpicture left|\bleft in the picture\b|\bright in the picture\b", text):
        said.append(tell("The picture's left is the patient's right."))
    return said
