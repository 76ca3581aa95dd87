"""RT Structure Sets: outlines of masks in patient space, written with pydicom and read back by filling.

Every region is a list of CLOSED_PLANAR contours in the planes of the scan's slices; holes are
keyholes. Written: PS3.3 A.19, C.8.8.5, C.8.8.6, C.8.8.8.
"""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ..errors import BadCall, Failed
from ..formats.elements import mended_header
from ..formats.segments import Segment, colour, lps_affine
from ..guards.atomic import write_atomically
from ..volume import BoolArray, Grid
from .contours import fill, outline
from .seg import STATED_NOTE, STRANGE_CLASS, check_placeable, strange_classes
from .source import DicomSource

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, as RT objects reference a study
_OFF_PLANE_VOXELS = 0.05
Points = npt.NDArray[np.float64]
"""Corners of a contour (n 3), mm, LPS+."""


@dataclass(frozen=True)
class Roi:
    """A region of a structure set.

    Attributes:
        contours: closed, each in one plane.
    """

    name: str
    contours: tuple[Points, ...]

    def on(self, grid: Grid) -> BoolArray:
        """The region filled slice by slice (x y z).

        Raises:
            Failed: a contour lies between the slices of the grid, or across them.
        """
        inverse = np.linalg.inv(lps_affine(grid))
        by_slice: dict[int, list[npt.NDArray[np.float64]]] = {}
        for contour in self.contours:
            index = contour @ inverse[:3, :3].T + inverse[:3, 3]
            z = round(float(index[:, 2].mean()))
            if np.abs(index[:, 2] - z).max() > _OFF_PLANE_VOXELS or not 0 <= z < grid.shape[2]:
                raise Failed(f"A contour of '{self.name}' does not lie in a slice of the scan.")
            by_slice.setdefault(z, []).append(index[:, :2])
        filled = np.zeros(grid.shape, dtype=np.bool_)
        for z, polygons in by_slice.items():
            filled[:, :, z] = fill(polygons, grid.shape[:2])
        return filled


def write_rtstruct(
    path: Path, segments: Sequence[Segment], grid: Grid, *, source: DicomSource, synthetic: bool = False
) -> dict[str, tuple[str, ...]]:
    """Write all segments as regions of one structure set.

    Returns:
        Warnings by mask handle: header elements left out, contours that were dropped, regions without any.

    Raises:
        BadCall: the voxel size is not known, rows and columns are not perpendicular, or a mask is not on `grid`.
    """
    check_placeable(grid, "RTSTRUCT")
    if len(source.instances) != grid.shape[2]:
        raise Failed(f"The scan has {len(source.instances)} source slices but {grid.shape[2]} in its grid.")
    data, mended = _header(path.name, source, synthetic)
    if grid.stated:
        data.StructureSetDescription = STATED_NOTE
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    warnings = {}
    for number, segment in enumerate(segments, start=1):
        contours, notes = _contours(segment, grid, source)
        warnings[segment.mask_id] = (*mended, *notes)
        data.StructureSetROISequence.append(_region(number, segment, data.FrameOfReferenceUID))
        drawn = pydicom.Dataset()
        drawn.ROIDisplayColor, drawn.ReferencedROINumber = list(colour(number)), number
        if contours:
            drawn.ContourSequence = contours
        data.ROIContourSequence.append(drawn)
        data.RTROIObservationsSequence.append(_observation(number, segment))
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # values copied from the source may be odd; they are not ours to mend
        write_atomically(path, lambda file: pydicom.dcmwrite(file, data, enforce_file_format=True))
    return warnings


def _contours(segment: Segment, grid: Grid, source: DicomSource) -> tuple[list[Any], tuple[str, ...]]:
    mask = segment.load()
    if not mask.grid.same_as(grid):
        raise BadCall(
            f"The mask {segment.mask_id} lies on another grid than the others (same shape or not, other places in "
            "space). Masks of one file must share one grid. Export them one by one."
        )
    affine = lps_affine(grid)
    # A thousandth of the smallest voxel edge, and at least a micrometre: corners stay where they are between voxels.
    decimals = max(3, 3 + int(np.ceil(-np.log10(min(grid.spacing_mm)))))
    contours, dropped = [], 0
    for z in np.flatnonzero(mask.array.any(axis=(0, 1))):
        found = outline(mask.array[:, :, z])
        dropped += found.dropped
        for polygon in found.polygons:
            index = np.column_stack([polygon, np.full(len(polygon), z)])
            points = index @ affine[:3, :3].T + affine[:3, 3]
            contours.append(_contour(points, decimals, source, int(z)))
    notes = [f"{dropped} contours that enclose nothing were left out."] if dropped else []
    if not contours:
        notes.append("The region has no contour: the mask is empty.")
    return contours, tuple(notes)


def _contour(points: Points, decimals: int, source: DicomSource, z: int) -> Any:
    item = pydicom.Dataset()
    item.ContourImageSequence = [_reference(source, z)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.{decimals}f}"[:16] for value in points.ravel()]
    return item


def _reference(source: DicomSource, z: int) -> Any:
    instance, item = source.instances[z], pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.sop_uid
    if instance.frame:
        item.ReferencedFrameNumber = instance.frame
    return item


def _header(name: str, source: DicomSource, synthetic: bool) -> tuple[Any, tuple[str, ...]]:
    """What stands above the regions, and what of the scan's header could not be kept."""
    (data, mended), now = mended_header(source), datetime.now(UTC)
    mended = (*mended, *([STRANGE_CLASS] if strange_classes(source) else []))
    modality = data.get("Modality", "OT")
    del data.Modality
    data.file_meta = pydicom.dataset.FileMetaDataset()
    seed = [name, *(instance.sop_uid for instance in source.instances[:1])]
    data.SOPClassUID, data.SOPInstanceUID = _RTSTRUCT, generate_uid(entropy_srcs=["rtstruct", *seed])
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = _RTSTRUCT, data.SOPInstanceUID
    scan_series = data.SeriesInstanceUID
    if not data.get("FrameOfReferenceUID"):
        data.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference", scan_series])
    for keyword in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
        "ReferringPhysicianName", "StudyID",
    ):  # fmt: skip
        if keyword not in data:
            setattr(data, keyword, "")
    data.SeriesInstanceUID, data.Modality = generate_uid(entropy_srcs=["rtstruct series", *seed]), "RTSTRUCT"
    data.SeriesNumber, data.InstanceNumber, data.OperatorsName = 901, 1, ""
    data.Manufacturer, data.ManufacturerModelName = "ostensor", "ostensor"
    data.SeriesDescription = f"{'Synthetic image (ostensor), ' if synthetic else ''}structures on {modality}"
    data.StructureSetLabel, data.StructureSetName = "ostensor", name[:64]
    data.StructureSetDate, data.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.ApprovalStatus = "UNAPPROVED"
    series, study, frame = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    objects = {instance.sop_uid: z for z, instance in enumerate(source.instances)}
    series.SeriesInstanceUID = scan_series
    series.ContourImageSequence = [_reference(source, z) for z in objects.values()]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, data.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = data.FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    return data, mended


def _region(number: int, segment: Segment, frame_of_reference: str) -> Any:
    item = pydicom.Dataset()
    item.ROINumber, item.ReferencedFrameOfReferenceUID = number, frame_of_reference
    item.ROIName, item.ROIGenerationAlgorithm = segment.label[:64], "AUTOMATIC"
    item.ROIGenerationDescription = f"{segment.algorithm}, {segment.mask_id}"[:64]
    return item


def _observation(number: int, segment: Segment) -> Any:
    item, code = pydicom.Dataset(), pydicom.Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = segment.label[:16]
    kind = segment.code.type
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = kind.value, kind.scheme, kind.meaning
    item.RTROIIdentificationCodeSequence = [code]
    item.RTROIInterpretedType, item.ROIInterpreter = "ORGAN", ""
    return item


def read_rtstruct(path: Path) -> tuple[Roi, ...]:
    """The regions of a structure set, in its order.

    Raises:
        BadCall: no RTSTRUCT, or a contour that is no list of points.
    """
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        data = pydicom.dcmread(path)
        if data.get("Modality") != "RTSTRUCT":
            raise BadCall(f"'{path.name}' is no RTSTRUCT.")
        names = {int(item.ROINumber): str(item.ROIName) for item in data.get("StructureSetROISequence") or []}
        regions = []
        for item in data.get("ROIContourSequence") or []:
            contours = []
            for contour in item.get("ContourSequence") or []:
                values = np.array([float(v) for v in contour.ContourData])
                if len(values) % 3:
                    raise BadCall(f"'{path.name}' holds a contour of {len(values)} numbers, which are no points.")
                contours.append(values.reshape(-1, 3))
            regions.append(Roi(names.get(int(item.ReferencedROINumber), ""), tuple(contours)))
    return tuple(regions)


def write_masks(
    path: Path, segments: Sequence[Segment], grid: Grid, *, source: DicomSource, synthetic: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Write the outlines; see `write_rtstruct`."""
    return write_rtstruct(path, segments, grid, source=source, synthetic=synthetic)


def read_masks(path: Path, segments: Sequence[Segment], grid: Grid) -> list[Callable[[], BoolArray]]:
    """A reader for each mask, its outlines filled again on the grid."""
    return [partial(region.on, grid) for region in read_rtstruct(path)]
