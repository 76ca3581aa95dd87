"""`export`: masks as files, each read back before it is called written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ... import __version__
from ...imaging.dicom.source import DicomSource, made_up_source
from ...imaging.errors import BadCall
from ...imaging.exports import Written, file_names, largest_offset_mm, smallest_dice, write_masks
from ...imaging.formats.segments import Segment
from ...imaging.formats.structure_codes import structure_code
from ...imaging.formats.table import MASK_FORMATS, mask_format
from ...store.archives.addresses import is_address
from ...store.records import ImageRecord, MaskRecord
from ..desk.desk import Answer, Call, Desk
from ..desk.results import ExportResult, FileRow
from .sending import Write, send, would_store

_UNKNOWN = "not known: imported from a file"  # what drew an imported mask, as written headers say it
_PACKED = 8  # voxels to a byte, as segmentations and our packed files have them; counted anew when it is written

if TYPE_CHECKING:
    MaskFormat = str
else:
    MaskFormat = Literal[MASK_FORMATS]  # what callers may say stands in the schema


def export(
    desk: Desk,
    call: Call,
    mask_ids: Annotated[list[str], Field(description="Masks to write.", min_length=1, max_length=100)],
    folder: Annotated[
        str, Field(description="Existing folder inside a root ('.': the first), or dicomweb://NAME to store there.")
    ] = ".",
    format: Annotated[
        MaskFormat,
        Field(
            description="nifti, nrrd, stl, png (of a slice): a file per mask; dicom_seg, rtstruct: one per scan, with "
            "its DICOM patient and study."
        ),
    ] = "nifti",
) -> Answer:
    """Write masks to files on their image's grid, read back and compared.

    Only when the user wants files. A file of the same masks is replaced. stl: surface in mm, LPS. dicom_seg, rtstruct, stl need a known voxel size. Example: export(mask_ids=["msk_..."])
    """
    target = None if is_address(folder) else _folder(desk, folder)
    records = [desk.store.mask_record(mask_id) for mask_id in dict.fromkeys(mask_ids)]
    images = list(dict.fromkeys(record.image_id for record in records))

    def write(place: Path, image_id: str) -> list[Written]:
        number, image = images.index(image_id), desk.store.image(image_id)

        def report(share: float, message: str) -> None:
            call.report((number + share) / len(images), message)

        segments = [_segment(desk, record) for record in records if record.image_id == image_id]
        with desk.store.room(len(segments) * math.prod(image.grid.shape) // _PACKED):
            return write_masks(
                place,
                segments,
                image.grid,
                format=format,
                source=_source(desk, image, format),
                synthetic=image.synthetic,
                report=report,
            )

    if target is None:
        written = send(desk, call, folder, images, format, write)
    else:
        written = _into_folder(desk, target, images, write)
    files = [
        FileRow(
            mask_id=row.mask_id,
            path=path,
            format=format,
            readback_dice=row.receipt.dice,
            centroid_offset_mm=row.receipt.centroid_offset_mm,
            warnings=list(row.receipt.warnings),
        )
        for row, path in written
    ]
    rows = [row for row, _ in written]
    worst, offset = smallest_dice(rows), largest_offset_mm(rows)
    result = ExportResult(files=files, smallest_dice=worst, largest_offset_mm=offset)
    return Answer(_sentence(files, worst, offset), result)


def _folder(desk: Desk, folder: str) -> Path:
    target = desk.roots.inside(folder)
    if not target.is_dir():
        raise BadCall(f"'{target.name}' is a file. A folder is needed. Give an existing folder inside a root.")
    return target


def _into_folder(desk: Desk, target: Path, images: Sequence[str], write: Write) -> list[tuple[Written, str]]:
    """What was written, each with its path."""
    written: list[Written] = []
    for image_id in images:
        with desk.roots.held(target) as place:
            written += write(place, image_id)
    return [(row, desk.roots.shown(target / row.path.name)) for row in written]


def would_replace(desk: Desk, arguments: Mapping[str, Any]) -> str:
    """The question before files are overwritten: somebody may have corrected them by hand. "" when there are none."""
    if is_address(arguments["folder"]):
        return would_store(desk, arguments)
    folder = desk.roots.inside(arguments["folder"])
    records = [desk.store.mask_record(mask_id) for mask_id in dict.fromkeys(arguments["mask_ids"])]
    there: list[str] = []
    for image_id in dict.fromkeys(record.image_id for record in records):
        mine = [(record.structure or "mask", record.mask_id) for record in records if record.image_id == image_id]
        there += [name for name in file_names(mine, arguments["format"]) if (folder / name).exists()]
    if not there:
        return ""
    more = f" and {len(there) - 1} more" if len(there) > 1 else ""
    return f"Replace {there[0]}{more} in '{arguments['folder'][:80]}'? Changes made by hand would be lost."


def _sentence(files: list[FileRow], worst: float, offset: float | None) -> str:
    paths = list(dict.fromkeys(row.path for row in files))
    shown = ", ".join(paths[:6]) + (", …" if len(paths) > 6 else "")
    moved = "" if offset is None else f", centroids at most {offset:.3f} mm apart"
    warned = list(dict.fromkeys(warning for row in files for warning in row.warnings))
    masks, count = (f"{n} {word}{'s' if n != 1 else ''}" for n, word in ((len(files), "mask"), (len(paths), "file")))
    done = (
        f"Stored {masks} in {count.replace('file', 'DICOM object')}"
        if is_address(paths[0])
        else f"Wrote {masks} to {count}"
    )
    text = f"{done}, each read back: Dice at least {worst:.4f}{moved}. {shown}."
    return " ".join([text, *warned[:4]])


def _segment(desk: Desk, record: MaskRecord) -> Segment:
    made: dict[str, Any] = record.facts.get("provenance") or {}
    row = desk.table.get(record.structure) if record.structure else None
    label = record.structure or "mask"
    return Segment(
        mask_id=record.mask_id,
        label=label,
        code=structure_code(record.structure, uberon=row.uberon if row else ""),
        load=lambda: desk.store.mask(record.mask_id),
        algorithm=_UNKNOWN
        if made.get("tool") == "import_mask"
        else str(made.get("model") or made.get("tool") or "ostensor"),
        version=str(made.get("version") or __version__),
    )


def _source(desk: Desk, image: ImageRecord, format: str) -> DicomSource:
    """The identity this image was opened with, or a made-up one for a scan that was no DICOM."""
    known = desk.store.sources.get(image.image_id)
    if known is None and image.facts.get("format") == "dicom" and ".dcm" in mask_format(format).endings:
        # Stores of earlier versions kept one identity for all openings of the same voxels.
        raise BadCall(
            f"The patient and study of {image.image_id} are not kept in this store. A DICOM file without them would "
            "belong to nobody. Open the scan again and segment it, or export as nifti."
        )
    return known or made_up_source(image.image_id, image.grid.shape[2], image.modality)
