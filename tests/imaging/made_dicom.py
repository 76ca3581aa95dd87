"""DICOM files made for tests: small, odd-shaped, each with one thing wrong or unusual."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 6, 5
SECRETS = ("Secret^Name", "4711", "19560203", "Hospital of Secrets", "Doctor^Who", "1.2.840.999")


def ct_slice(height: float, *, value: int = 0, **changes: Any) -> FileDataset:
    """An axial CT slice of 6 rows and 5 columns, 0.8 x 0.6 mm, at a height in mm; `changes` are DICOM keywords."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID, data.PatientBirthDate = SECRETS[:3]
    data.InstitutionName, data.ReferringPhysicianName = SECRETS[3:5]
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2.840.999.1", "1.2.840.999.2", "CT"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelSpacing, data.SliceThickness = [0.8, 0.6], 2.5
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [10.0, 20.0, height]
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) + value).astype(np.uint16).tobytes()
    for keyword, wanted in changes.items():
        if wanted is None:
            if keyword in data:
                del data[keyword]
        else:
            setattr(data, keyword, wanted)
    return data


def item(**elements: Any) -> pydicom.Dataset:
    """A data set with these elements."""
    made = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def save(folder: Path, slices: list[FileDataset]) -> Path:
    """A folder of these files, named so that name order is not slice order."""
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(slices):
        data.save_as(folder / f"{(number * 7) % 11:02d}_{number}.dcm", enforce_file_format=True)
    return folder


def pet_slice(height: float, **changes: Any) -> FileDataset:
    """A PET slice in Bq/ml with everything an SUV needs: 70 kg, 370 MBq of F-18 half a half-life before the scan."""
    dose = item(
        RadionuclideTotalDose="370000000", RadionuclideHalfLife="6588", RadiopharmaceuticalStartTime="100506.00"
    )
    facts = {
        "Modality": "PT", "Units": "BQML", "CorrectedImage": ["DECY", "ATTN"], "DecayCorrection": "START",
        "PatientWeight": "70", "RadiopharmaceuticalInformationSequence": [dose], "SeriesDate": "20200102",
        "SeriesTime": "110000.00", "AcquisitionDate": "20200102", "AcquisitionTime": "110000.00",
        "RescaleSlope": "2.5", "RescaleIntercept": "0",
    }  # fmt: skip
    return ct_slice(height, **{**facts, **changes})


def enhanced_mr(heights: list[float], **changes: Any) -> FileDataset:
    """An enhanced MR of one frame per height, in the given order; frame n has the slope n + 1."""
    frames = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[10.0, 20.0, height])],
            PixelValueTransformationSequence=[item(RescaleSlope=str(n + 1), RescaleIntercept="0.5", RescaleType="US")],
        )
        for n, height in enumerate(heights)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.8, 0.6], SliceThickness=9.0)],
    )
    pixels = np.arange(len(heights) * ROWS * COLUMNS).astype(np.uint16).tobytes()
    facts = {
        "Modality": "MR", "NumberOfFrames": len(heights), "PixelData": pixels, "PixelSpacing": None,
        "ImagePositionPatient": None, "ImageOrientationPatient": None, "RescaleSlope": None, "RescaleIntercept": None,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1", "PerFrameFunctionalGroupsSequence": frames,
        "SharedFunctionalGroupsSequence": [shared],
    }  # fmt: skip
    return ct_slice(0.0, **{**facts, **changes})
