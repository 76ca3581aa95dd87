"""DICOM folders, files and zip archives: series are put together by geometry, not by file name.

No identifier leaves this file: series are named by an alias, errors by file counts.
"""

from __future__ import annotations

import hashlib
import io
import warnings as python_warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError

from .errors import BadCall
from .opened import SeriesSummary
from .volume import Affine, Grid, Modality

_MODALITIES: dict[str, Modality] = {"CT": "ct", "MR": "mr", "PT": "pet", "US": "us", "CR": "xr", "DX": "xr", "XA": "xr"}
_NOT_IMAGES = ("SEG", "RTDOSE", "PR", "KO")
_UNEVEN = 0.05  # share of the slice distance a gap may differ before the series counts as uneven
_FILES_LIMIT = 20_000
_ZIP_LIMIT_BYTES = 8 * 1024**3


def read_series(path: Path) -> dict[str, list[Any]]:
    """Headers with pixel data by series alias, from a file, a folder (searched deep) or a zip.

    Raises:
        BadCall: nothing in it is a DICOM image.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    for file in _files(path):
        data = _header(file)
        if data is not None and "Rows" in data and str(data.get("Modality", "")) not in _NOT_IMAGES:
            uid = str(data.get("SeriesInstanceUID", "none"))
            found["ser_" + hashlib.sha256(uid.encode()).hexdigest()[:8]].append(data)
    if not found:
        raise BadCall(f"'{path.name}' holds no DICOM image. Give a folder, file or zip with image slices.")
    return dict(found)


def summaries(series: dict[str, list[Any]]) -> tuple[SeriesSummary, ...]:
    """What there is to choose from, largest first."""
    rows = [
        SeriesSummary(alias, modality_of(slices[0]), _describe(slices[0]), len(slices))
        for alias, slices in series.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.slices, row.series)))


def modality_of(data: Any) -> Modality:
    """The modality as this project names it."""
    return _MODALITIES.get(str(data.get("Modality", "")), "unknown")


def assemble(slices: list[Any]) -> tuple[npt.NDArray[Any], Grid, tuple[str, ...]]:
    """One volume (x y z) of a series, rescaled to its units, with warnings.

    Raises:
        BadCall: mixed sizes or directions, colour, several slices at one place, no geometry,
            uneven gaps, or pixels that cannot be decoded.
    """
    first = slices[0]
    if int(first.get("SamplesPerPixel", 1)) != 1:
        raise BadCall("The DICOM images are in colour. Grey values are needed. Choose another series.")
    if int(first.get("NumberOfFrames", 1)) > 1:
        if len(slices) > 1:
            raise BadCall(
                f"The series has {len(slices)} multi-frame files. One is needed. Give the path of a single file."
            )
        return _multi_frame(first)
    sizes = sorted({(int(s.Rows), int(s.Columns)) for s in slices})
    if len(sizes) > 1:
        raise BadCall(
            f"The series mixes slices of different sizes: {sizes}. All must agree. Remove the localiser or choose another series."
        )
    if len(slices) == 1 and not _has_geometry(first):
        return _flat(first)
    if not all(_has_geometry(s) for s in slices):
        raise BadCall(
            "Slices of the series lack position or orientation, so they cannot be put in order. Export them again."
        )
    directions = np.array([[float(v) for v in s.ImageOrientationPatient] for s in slices])
    if np.abs(directions - directions[0]).max() > 1e-3:
        raise BadCall("The series mixes slices of different directions. All must be parallel. Choose another series.")
    normal = np.cross(directions[0, :3], directions[0, 3:])
    positions = np.array([[float(v) for v in s.ImagePositionPatient] for s in slices])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    if len(gaps) and gaps.min() < 1e-3:
        raise BadCall(
            f"{int((gaps < 1e-3).sum()) + 1} slices lie at the same place (a time series or several echoes). One slice per place is needed. Choose another series."
        )
    array = np.stack([_pixels(slices[i]) for i in order], axis=2)
    affine, notes = _affine(slices[order[0]], positions[order], gaps)
    return array, Grid(array.shape, affine), notes


def _affine(
    first: Any, positions: npt.NDArray[np.float64], gaps: npt.NDArray[np.float64]
) -> tuple[Affine, tuple[str, ...]]:
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    directions = [float(v) for v in first.ImageOrientationPatient]
    notes = []
    lps = np.eye(4)
    lps[:3, 0] = np.array(directions[:3]) * column_mm  # x runs along a row, from column to column
    lps[:3, 1] = np.array(directions[3:]) * row_mm
    lps[:3, 3] = positions[0]
    if len(gaps):
        middle = float(np.median(gaps))
        if np.abs(gaps - middle).max() > _UNEVEN * middle:
            where = int(np.abs(gaps - middle).argmax())
            raise BadCall(
                f"Slices are missing or unevenly spaced: {gaps[where]:.2f} mm after slice {where + 1}, usually {middle:.2f} mm. "
                "Give the complete series."
            )
        lps[:3, 2] = (positions[-1] - positions[0]) / len(gaps)
        thickness = float(first.get("SliceThickness") or middle)
        if abs(thickness - middle) > _UNEVEN * middle:
            notes.append(
                f"SliceThickness says {thickness:g} mm, but slices lie {middle:g} mm apart; the distance is used."
            )
    else:
        thickness = float(first.get("SliceThickness") or 1.0)
        lps[:3, 2] = np.cross(directions[:3], directions[3:]) * thickness
        notes.append("A single slice: its thickness is taken from the header.")
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, tuple(notes)


def _pixels(data: Any) -> npt.NDArray[Any]:
    """Pixels as (x y), in the units of the rescale (HU for CT)."""
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            array = data.pixel_array
    except (AttributeError, KeyError, ValueError, RuntimeError, NotImplementedError, TypeError, OSError) as error:
        raise BadCall(
            f"The pixels of a DICOM slice cannot be decoded ({type(error).__name__}): the file is cut short, "
            "or its compression is not supported. Export it uncompressed."
        ) from error
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    if slope == 1 and intercept == int(intercept):
        whole: npt.NDArray[Any] = array.astype(np.int32) + int(intercept)
        fits = abs(int(whole.min())) < 2**15 and int(whole.max()) < 2**15
        narrow: npt.NDArray[Any] = whole.astype(np.int16 if fits else np.int32).T
        return narrow
    rescaled: npt.NDArray[Any] = (array.astype(np.float32) * slope + intercept).T
    return rescaled


def _multi_frame(data: Any) -> tuple[npt.NDArray[Any], Grid, tuple[str, ...]]:
    shared = data.get("SharedFunctionalGroupsSequence")
    frames = data.get("PerFrameFunctionalGroupsSequence")
    if not shared or not frames or "PlanePositionSequence" not in frames[0]:
        raise BadCall(
            "The multi-frame DICOM file tells no place per frame. A volume cannot be made from it. Export single slices."
        )

    def item(frame: Any, name: str) -> Any:
        holder = frame if name in frame else shared[0]
        if name not in holder:
            raise BadCall(f"The multi-frame DICOM file lacks {name}. Export single slices.")
        return holder[name].value[0]

    positions = np.array([[float(v) for v in item(f, "PlanePositionSequence").ImagePositionPatient] for f in frames])
    directions = [float(v) for v in item(frames[0], "PlaneOrientationSequence").ImageOrientationPatient]
    measures = item(frames[0], "PixelMeasuresSequence")
    stack = pydicom.Dataset()
    stack.PixelSpacing, stack.ImageOrientationPatient = measures.PixelSpacing, directions
    stack.SliceThickness = measures.get("SliceThickness", 1.0)
    heights = positions @ np.cross(directions[:3], directions[3:])
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    if len(gaps) and gaps.min() < 1e-3:
        raise BadCall(
            "Several frames lie at the same place (a time series). One frame per place is needed. Export one of them."
        )
    pixels = _pixels(data).T.astype(np.float32)[order]  # (frame row column)
    change = (
        item(frames[0], "PixelValueTransformationSequence")
        if "PixelValueTransformationSequence" in shared[0] or "PixelValueTransformationSequence" in frames[0]
        else None
    )
    if change is not None:
        pixels = pixels * float(change.RescaleSlope) + float(change.RescaleIntercept)
    array = pixels.transpose(2, 1, 0)
    affine, notes = _affine(stack, positions[order], gaps)
    return array, Grid(array.shape, affine), notes


def _flat(data: Any) -> tuple[npt.NDArray[Any], Grid, tuple[str, ...]]:
    """A projection image: pixel spacing at best, no place in the patient."""
    array = _pixels(data)[..., None]
    spacing = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    if spacing is None:
        return array, Grid(array.shape, np.diag([-1.0, -1.0, 1.0, 1.0]), spacing_known=False), ()
    affine = np.diag([-float(spacing[1]), -float(spacing[0]), 1.0, 1.0])
    return (
        array,
        Grid(array.shape, affine, spacing_known=False),
        ("A projection image: sizes depend on the distance, so none are given in mm.",),
    )


def _has_geometry(data: Any) -> bool:
    return all(data.get(key) is not None for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))


def _describe(data: Any) -> str:
    plane = ""
    if _has_geometry(data):
        normal = np.abs(np.cross(data.ImageOrientationPatient[:3], data.ImageOrientationPatient[3:]).astype(float))
        plane = ("sagittal", "coronal", "axial")[int(normal.argmax())]
    return f"{plane} {int(data.Rows)}x{int(data.Columns)}".strip()


def _header(file: BinaryIO) -> Any | None:
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            return pydicom.dcmread(file)
    except (InvalidDicomError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        return None


def _files(path: Path) -> Iterator[BinaryIO]:
    if path.is_dir():
        members = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.is_symlink()]
        if len(members) > _FILES_LIMIT:
            raise BadCall(
                f"'{path.name}' holds {len(members)} files. At most {_FILES_LIMIT} are searched. Give the folder of one study."
            )
        for member in members:
            yield io.BytesIO(member.read_bytes())
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > _ZIP_LIMIT_BYTES:
                raise BadCall(
                    f"'{path.name}' unpacks to more than {_ZIP_LIMIT_BYTES // 1024**3} GiB. Unpack it and give the folder of one series."
                )
            for info in archive.infolist():
                if not info.is_dir():
                    yield io.BytesIO(archive.read(info))
    else:
        yield io.BytesIO(path.read_bytes())
