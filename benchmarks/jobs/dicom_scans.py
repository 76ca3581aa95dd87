"""Made DICOM: a CT and a PET series, a segmentation by highdicom, a structure set element by element."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

CT, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128"
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_ROOT = "2.25.4711"  # a made-up root: no registered organisation
SPACING_MM, STEP_MM, LOWEST_MM = (0.8, 0.6), 2.5, -30.0  # between rows, between columns, between slices
SUV_PER_STORED = 70_000 / (370e6 * 2**-0.5)
"""Of `pet`: 70 kg over 370 MBq, half a half-life of F-18 (3294 of 6588 s) after the injection; stored are Bq/ml."""


def item(**elements: Any) -> pydicom.Dataset:
    """A data set with these elements."""
    made = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def series(stored: npt.NDArray[np.uint16], number: int, **elements: Any) -> list[FileDataset]:
    """An axial CT series of the values (z rows columns) less 1024, of one study; `elements` are DICOM keywords."""
    return [_slice(plane, z, number, elements) for z, plane in enumerate(stored)]


def pet(stored: npt.NDArray[np.uint16]) -> list[FileDataset]:
    """A PET series of the activities, with all that an SUV needs."""
    dose = item(
        RadionuclideTotalDose="370000000", RadionuclideHalfLife="6588", RadiopharmaceuticalStartTime="100506.00"
    )
    return series(
        stored, 5, Modality="PT", SOPClassUID=PET, Units="BQML", CorrectedImage=["DECY", "ATTN"],
        DecayCorrection="START", PatientWeight="70", RadiopharmaceuticalInformationSequence=[dose],
        SeriesDate="20200102", SeriesTime="110000.00", AcquisitionDate="20200102", AcquisitionTime="110000.00",
        RescaleIntercept="0",
    )  # fmt: skip


def save(folder: Path, files: Sequence[FileDataset], stem: str) -> Path:
    """Write a series into a folder, the last slice first."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, data in enumerate(reversed(files)):
        data.save_as(folder / f"{stem}_{n:03d}.dcm", enforce_file_format=True)
    return folder


def write_seg(path: Path, files: Sequence[FileDataset], mask: npt.NDArray[np.uint8]) -> None:
    """Write a DICOM SEG of the liver, (z rows columns)."""
    described = SegmentDescription(
        segment_number=1, segment_label="Liver", segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Liver, algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )  # fmt: skip
    made = highdicom.seg.Segmentation(
        source_images=list(files), pixel_array=mask, segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[described], series_instance_uid=f"{_ROOT}.70", series_number=7,
        sop_instance_uid=f"{_ROOT}.71", instance_number=1, manufacturer="m", manufacturer_model_name="m",
        software_versions="1", device_serial_number="1",
    )  # fmt: skip
    made.save_as(path)


def write_rtstruct(path: Path, files: Sequence[FileDataset], name: str, corners: Sequence[tuple[float, float]]) -> None:
    """Write a structure set of one outline, its corners as (row, column) between voxels, on each of these slices."""
    contours = []
    for data in files:
        x, y, z = (float(value) for value in data.ImagePositionPatient)
        points = [(x + SPACING_MM[1] * column, y + SPACING_MM[0] * row, z) for row, column in corners]
        image = item(ReferencedSOPClassUID=data.SOPClassUID, ReferencedSOPInstanceUID=data.SOPInstanceUID)
        contours.append(
            item(
                ContourImageSequence=[image], ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points), ContourData=[f"{value:.4f}" for point in points for value in point],
            )
        )  # fmt: skip
    frame = files[0].FrameOfReferenceUID
    made = _header(_RTSTRUCT, f"{_ROOT}.81", f"{_ROOT}.80", "RTSTRUCT")
    made.StructureSetLabel = "a colleague's"
    made.StructureSetROISequence = [item(ROINumber=1, ReferencedFrameOfReferenceUID=frame, ROIName=name)]
    made.ROIContourSequence = [item(ReferencedROINumber=1, ContourSequence=contours)]
    made.RTROIObservationsSequence = [item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN")]
    rt_series = item(
        SeriesInstanceUID=files[0].SeriesInstanceUID,
        ContourImageSequence=[
            item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID) for one in files
        ],
    )
    study = item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=files[0].StudyInstanceUID,
        RTReferencedSeriesSequence=[rt_series],
    )
    made.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])]
    made.save_as(path, enforce_file_format=True)


def _slice(plane: npt.NDArray[np.uint16], z: int, number: int, elements: dict[str, Any]) -> FileDataset:
    kind = elements.get("SOPClassUID", CT)
    data = _header(kind, f"{_ROOT}.{number}.{z + 1}", f"{_ROOT}.{number}", "CT")
    data.SeriesNumber, data.InstanceNumber, data.FrameOfReferenceUID = number, z + 1, f"{_ROOT}.9"
    data.Rows, data.Columns = plane.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelSpacing, data.SliceThickness = list(SPACING_MM), STEP_MM
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [-10.0, -20.0, LOWEST_MM + STEP_MM * z]
    data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
    data.PixelData = plane.tobytes()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def _header(kind: str, instance: str, series_uid: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID(kind)
    meta.MediaStorageSOPInstanceUID = UID(instance)
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = kind, instance
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = f"{_ROOT}.0", series_uid, modality
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Made^Up", "made-up", "19560203", ""
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200102", "100000", "1", ""
    return data
