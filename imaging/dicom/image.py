"""A synthetic image as a DICOM series: one CT, MR or secondary-capture object per slice, marked in three places."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ..errors import BadCall
from ..volume import Grid, Volume
from .source import made_up_source

DESCRIPTION = "Synthetic image (ostensor), shows no patient"


def write_dicom_image(folder: Path, volume: Volume, *, name: str, made: str) -> list[Path]:
    """Write the slices of a synthetic image into an empty or new folder; answers the files.

    Image Type is DERIVED SECONDARY ... SYNTHETIC, Synthetic Data is YES (PS3.3 C.12.1.1), and the derivation
    says what made it. The study is made up: no patient's identifiers are ever in it.

    Args:
        name: of the image; the same name always gets the same UIDs.
        made: what made it, in words.

    Raises:
        BadCall: the image is not synthetic, has no voxel size, is sheared, or the folder is in use.
    """
    if not volume.synthetic:
        raise BadCall("Only synthetic images are written as DICOM. This one is a patient's; its DICOM exists already.")
    if not volume.grid.spacing_known:
        raise BadCall("The image has no known voxel size, which DICOM must state. Save it as .nii.gz or .png.")
    steps = volume.grid.affine[:3, :3] / np.array(volume.grid.spacing_mm)
    if not np.allclose(steps.T @ steps, np.eye(3), atol=1e-4):
        raise BadCall("The grid is sheared, which a DICOM series cannot hold. Save it as .nii.gz.")
    if folder.exists() and any(folder.iterdir()):
        raise BadCall(f"The folder '{folder.name}' is not empty. Give a new one.")
    folder.mkdir(exist_ok=True)
    source = made_up_source(name, volume.grid.shape[2], volume.modality)
    paths = []
    for z in range(volume.grid.shape[2]):
        path = folder / f"slice_{z + 1:04d}.dcm"
        _slice(volume, z, source.header, source.instances[z], made).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _slice(volume: Volume, z: int, study: pydicom.Dataset, instance: Any, made: str) -> pydicom.Dataset:
    data = pydicom.Dataset()
    data.update(study)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = instance.sop_class
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = instance.sop_uid
    data.file_meta.ImplementationClassUID = generate_uid(entropy_srcs=["ostensor"])
    data.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if volume.modality == "ct" else "OTHER", "SYNTHETIC"]
    data.SyntheticData = "YES"
    data.SeriesDescription = DESCRIPTION[:64]
    data.DerivationDescription = f"Made by a program: {made}"[:1024]
    data.Manufacturer, data.StudyID, data.SeriesNumber = "ostensor", "", 1
    data.StudyDate, data.StudyTime = datetime.date(1900, 1, 1).strftime("%Y%m%d"), "000000"
    data.AccessionNumber, data.ReferringPhysicianName = "", ""
    data.PatientBirthDate, data.PatientSex = "", ""
    data.InstanceNumber, data.PositionReferenceIndicator = z + 1, ""
    _place(data, volume.grid, z)
    _pixels(data, volume, z)
    return data


def _place(data: pydicom.Dataset, grid: Grid, z: int) -> None:
    """Position and orientation in LPS: rows of the picture run along y, columns along x."""
    flip = np.diag([-1.0, -1.0, 1.0])
    spacing = grid.spacing_mm
    directions = flip @ grid.affine[:3, :3] / np.array(spacing)
    corner = flip @ (grid.affine @ np.array([0, 0, z, 1]))[:3]
    data.ImagePositionPatient = [round(float(v), 6) for v in corner]
    data.ImageOrientationPatient = [round(float(v), 9) for v in (*directions[:, 0], *directions[:, 1])]
    data.PixelSpacing = [round(spacing[1], 9), round(spacing[0], 9)]
    data.SliceThickness = round(spacing[2], 9)


def _pixels(data: pydicom.Dataset, volume: Volume, z: int) -> None:
    values: npt.NDArray[np.int16] = np.rint(np.asarray(volume.array[:, :, z])).astype(np.int16).T
    data.Rows, data.Columns = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleIntercept, data.RescaleSlope = 0, 1
    if volume.modality == "ct":
        data.RescaleType, data.KVP = "HU", None
    data.PixelData = np.ascontiguousarray(values).tobytes()
