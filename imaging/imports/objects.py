"""DICOM objects that are no images but lie on one: segmentations and structure sets, by the same guarded reading."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dicom.files import UNREADABLE, DicomObject, find_objects
from ..dicom.opening.members import members_of
from ..dicom.source import DicomSource, differing_patient, source_of
from ..errors import BadCall
from ..guards.doors import Door
from ..guards.limits import BUDGET, check_ratio, check_size

KINDS = ("SEG", "RTSTRUCT")


def read_object(path: Path, door: Door) -> tuple[str, Any]:
    """The kind and the whole data set of the one segmentation or structure set in a file, folder or archive.

    Raises:
        BadCall: none, several, or one that is damaged or too large.
    """
    with python_warnings.catch_warnings(), members_of(path, door) as members:
        python_warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is refused here
        found = find_objects(members, KINDS)
        if len(found) != 1:
            raise BadCall(
                f"'{path.name}' holds {len(found)} DICOM segmentations or structure sets{_count(found)}. One is needed. "
                "Give the file itself."
            )
        one = found[0]
        kind = str(one.header.Modality)
        if kind == "RTSTRUCT":
            return kind, one.header
        try:
            needed = _pixel_bits(one.header) // 8
            check_size(path.name, (needed,), 1)
            check_ratio(path.name, one.packed, needed)
            with BUDGET.reserved(path.name, 2 * needed):
                return kind, one.load()
        except UNREADABLE as error:
            if isinstance(error, BadCall):
                raise
            raise BadCall(
                f"The DICOM-SEG '{path.name}' is damaged ({type(error).__name__}). Export it again."
            ) from error


def _count(found: Sequence[DicomObject]) -> str:
    return f" ({', '.join(sorted({str(one.header.Modality) for one in found}))})" if found else ""


def _pixel_bits(header: Any) -> int:
    count = int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames", 1) or 1)
    return count * int(header.get("BitsAllocated", 8) or 8)


def check_belongs(header: Any, image: DicomSource | None, made_up: DicomSource) -> tuple[str, ...]:
    """What to say about whose object this is, once it does not contradict the image's own identity.

    Args:
        image: the identity the image was opened with; None when it was no DICOM.
        made_up: what an export of such an image claims to be.

    Raises:
        BadCall: it names another patient, study or frame of reference; they are named, their values are not.
    """
    studies, frames = _studies(header), _frames_of_reference(header)
    if image is None:
        if str(made_up.header.StudyInstanceUID) in studies:
            return ()
        return ("The image is no DICOM: whether the file belongs to it was judged by its geometry alone.",)
    source = image.header
    theirs = source_of(header, [])
    differing = list(differing_patient(image, theirs) or ())
    if str(source.get("StudyInstanceUID", "")) not in studies:
        differing.append("StudyInstanceUID")
    ours = _own_frames(source)
    if frames and ours and not ours & frames:
        differing.append("FrameOfReferenceUID")
    if differing:
        raise BadCall(
            f"The file belongs to another scan: it differs from the image in {', '.join(differing)}. Masks are only laid on "
            "the scan they were drawn on. Open that scan, or save the mask as NIfTI if both are the same in truth."
        )
    return () if frames and source.get("FrameOfReferenceUID") else ("No frame of reference was compared.",)


def _own_frames(source: Any) -> set[str]:
    """The frame of reference of the scan, and the one that an export makes up for a scan without."""
    from pydicom.uid import generate_uid

    told = str(source.get("FrameOfReferenceUID", "") or "")
    return {told} if told else {str(generate_uid(entropy_srcs=["frame of reference", source.SeriesInstanceUID]))}


def _studies(header: Any) -> set[str]:
    """Studies the object lies in or refers to."""
    found = {str(header.get("StudyInstanceUID", "") or "")}
    found |= {
        str(i.get("StudyInstanceUID", ""))
        for i in header.get("StudiesContainingOtherReferencedInstancesSequence") or []
    }
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        found |= {str(i.get("ReferencedSOPInstanceUID", "")) for i in frame.get("RTReferencedStudySequence") or []}
    return found - {""}


def _frames_of_reference(header: Any) -> set[str]:
    found = {str(header.get("FrameOfReferenceUID", "") or "")}
    for keyword, name in (
        ("ReferencedFrameOfReferenceSequence", "FrameOfReferenceUID"),
        ("StructureSetROISequence", "ReferencedFrameOfReferenceUID"),
    ):
        found |= {str(i.get(name, "") or "") for i in header.get(keyword) or []}
    return found - {""}


def frame_values(data: Any) -> npt.NDArray[Any]:
    """Pixels of every frame (frame row column) as stored.

    Raises:
        BadCall: they cannot be decoded.
    """
    count = int(data.Rows) * int(data.Columns) * int(data.get("NumberOfFrames", 1) or 1)
    needed = count * max(1, int(data.BitsAllocated) // 8)
    check_size("the DICOM-SEG", (needed,), 1)
    try:
        with BUDGET.reserved("the DICOM-SEG", 2 * needed):
            array: npt.NDArray[Any] = data.pixel_array
    except UNREADABLE as error:
        raise BadCall(
            f"The pixels of the DICOM-SEG cannot be decoded ({type(error).__name__}). Export it uncompressed."
        ) from error
    return array if array.ndim == 3 else np.asarray(array)[None]
