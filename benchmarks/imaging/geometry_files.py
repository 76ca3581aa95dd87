"""Other people's readers and writers, against which ours are judged: nibabel, SimpleITK, pydicom, highdicom, matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from matplotlib.path import Path as Outline
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Affine = npt.NDArray[np.float64]
Places = npt.NDArray[np.float64]
"""(n 3) in mm, RAS+."""
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(folder: Path, array: npt.NDArray[Any], affine: Affine) -> Path:
    """With nibabel."""
    nibabel.save(nibabel.Nifti1Image(array, affine), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def write_nrrd(folder: Path, array: npt.NDArray[Any], affine: Affine) -> Path:
    """With SimpleITK."""
    lps = _FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(folder / "scan.nrrd"))
    return folder / "scan.nrrd"


def write_dicom(folder: Path, array: npt.NDArray[Any], affine: Affine) -> Path:
    """With pydicom: one file per slice, names in no order, rows along x."""
    target = folder / "series"
    target.mkdir(exist_ok=True)
    lps = _FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
    study, series, frame = (generate_uid() for _ in range(3))
    for z in range(array.shape[2]):
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, generate_uid(), "CT"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID = "Phantom^Geometry", "phantom"
        data.Rows, data.Columns, data.SamplesPerPixel = array.shape[1], array.shape[0], 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
        data.ImageOrientationPatient = [_ds(v) for v in cosines]
        data.ImagePositionPatient = [_ds(v) for v in lps[:3, :3] @ (0, 0, z) + lps[:3, 3]]
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = np.ascontiguousarray(array[:, :, z].T).astype("<i2").tobytes()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        pydicom.dcmwrite(target / f"{(z * 7) % 1009:04d}.dcm", data, enforce_file_format=True)
    return target


WRITERS: dict[str, Callable[[Path, npt.NDArray[Any], Affine], Path]] = {
    "nifti": write_nifti, "nrrd": write_nrrd, "dicom": write_dicom,
}  # fmt: skip


def places_in(path: Path, format: str, centres: Places) -> Places:
    """Which places a written mask holds, as another library reads it.

    Args:
        centres: (n 3) candidates, for formats that are outlines: those inside are answered.
    """
    if format == "nifti":
        image = nibabel.load(path)
        return _where(np.asarray(image.dataobj) > 0, np.asarray(image.affine, dtype=np.float64))
    if format == "nrrd":
        scan = sitk.ReadImage(str(path))
        lps = np.eye(4)
        lps[:3, :3] = np.array(scan.GetDirection()).reshape(3, 3) * np.array(scan.GetSpacing())
        lps[:3, 3] = scan.GetOrigin()
        return _where(sitk.GetArrayFromImage(scan).T > 0, _FLIP @ lps)
    if format == "dicom_seg":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
        return _where(volume.array > 0, _FLIP @ volume.affine)
    inside = _inside_outlines(path, centres) if format == "rtstruct" else _inside_surface(path, centres)
    return centres[inside]


def _where(inside: npt.NDArray[np.bool_], affine: Affine) -> Places:
    places: Places = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    return places


def _inside_outlines(path: Path, centres: Places) -> npt.NDArray[np.bool_]:
    """Matplotlib's point-in-polygon, contour by contour, in the plane of each."""
    points = centres @ _FLIP[:3, :3]
    inside = np.zeros(len(points), dtype=np.bool_)
    for contour in pydicom.dcmread(path).ROIContourSequence[0].ContourSequence:
        corners = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
        middle = corners.mean(axis=0)
        _, _, axes = np.linalg.svd(corners - middle, full_matrices=True)
        flat = (points - middle) @ axes.T
        near = np.flatnonzero(np.abs(flat[:, 2]) < 0.05)
        line = Outline((corners - middle) @ axes[:2].T)
        inside[near] ^= line.contains_points(flat[near, :2])
    return inside


def _inside_surface(path: Path, centres: Places) -> npt.NDArray[np.bool_]:
    """Winding number from solid angles (Van Oosterom and Strackee 1983): +1 inside an outward surface, 0 outside."""
    content = path.read_bytes()[84:]
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(content, dtype=kind)["corners"].astype(np.float64)
    points = centres @ _FLIP[:3, :3]
    found = np.zeros(len(points))
    for start in range(0, len(points), 256):
        a, b, c = (corners[None, :, n] - points[start : start + 256, None] for n in range(3))
        la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
        up = np.einsum("pti,pti->pt", a, np.cross(b, c))
        down = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        found[start : start + 256] = np.arctan2(up, down).sum(axis=1) / (2 * np.pi)
    if np.abs(found - np.round(found)).max() > 0.05:
        raise ValueError("the surface is not closed")
    inside: npt.NDArray[np.bool_] = np.round(found) == 1
    return inside


def _ds(value: float) -> str:
    return str(pydicom.valuerep.format_number_as_ds(float(value)))
