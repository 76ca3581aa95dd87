"""Every file format, one row each; a row names functions, and their libraries load when they are used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ..volume import Grid

UNSURE_SIDES = "sides are not certain"  # every warning of an assumed orientation says so
NO_ORIENTATION = f"The file tells no orientation: which side is the patient's left is assumed, so {UNSURE_SIDES}."


@dataclass(frozen=True)
class Raw:
    """What a file holds, before anybody interprets it.

    Attributes:
        array: (x y z).
        warnings: what a careful reader should know, one sentence each.
        synthetic: whether the file says that it shows no patient.
    """

    array: npt.NDArray[Any]
    grid: Grid
    warnings: tuple[str, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: as callers say it.
        endings: of file names, lower case; the first is given to new files.
        read: `(path, door) -> Raw`, as module:function below `ostensor.imaging`; "" where it holds no image.
        write: `(path, array, grid, *, synthetic)`; "" where images are not written.
        masks: module with `write_masks(path, segments, grid, *, source, synthetic)`, which answers warnings by mask
            handle, and `read_masks(path, segments, grid)`, which answers a reader for each; "" where it holds no masks.
        exact: masks come back to the voxel.
        together: the masks of a scan go into one file.
        overlap: masks of one file may share voxels whatever their number and size.
        flat: a file holds a mask of a single slice only.
    """

    name: str
    endings: tuple[str, ...]
    read: str = ""
    write: str = ""
    masks: str = ""
    exact: bool = True
    together: bool = False
    overlap: bool = True
    flat: bool = False


FORMATS: tuple[Format, ...] = (
    Format("nifti", (".nii.gz", ".nii"), "formats.nifti:read_nifti", "formats.nifti:write_nifti", "formats.voxels"),
    Format(
        "nrrd", (".nrrd",), "formats.headed.reading:read_headed", "formats.headed.nrrd:write_nrrd", "formats.voxels"
    ),
    Format("nhdr", (".nhdr",), "formats.headed.reading:read_headed"),
    Format("metaimage", (".mha", ".mhd"), "formats.headed.reading:read_headed"),
    Format("mgh", (".mgz", ".mgh"), "formats.mgh:read_mgh"),
    Format("png", (".png",), "formats.raster:read_raster", masks="formats.raster", flat=True),
    Format("jpeg", (".jpg", ".jpeg"), "formats.raster:read_raster"),
    Format("tiff", (".tif", ".tiff"), "formats.raster:read_raster"),
    Format("dicom_seg", (".dcm",), masks="dicom.seg", together=True, overlap=False),
    Format("rtstruct", (".dcm",), masks="dicom.rtstruct", exact=False, together=True),
    Format("stl", (".stl",), masks="formats.stl", exact=False),
)
IMAGE_ENDINGS: tuple[str, ...] = tuple(end for row in FORMATS if row.read for end in row.endings)
WRITTEN_ENDINGS: tuple[str, ...] = tuple(end for row in FORMATS if row.write for end in row.endings)
MASK_FORMATS: tuple[str, ...] = tuple(row.name for row in FORMATS if row.masks)
VOLUME_MASK_FORMATS: tuple[str, ...] = tuple(row.name for row in FORMATS if row.masks and not row.flat)


def format_of(name: str) -> Format | None:
    """The format of an image file by the end of its name; None when there is none."""
    low = name.lower()
    return next((row for row in FORMATS if row.read and low.endswith(row.endings)), None)


def mask_format(name: str) -> Format:
    """The format masks are to be written in.

    Raises:
        StopIteration: none of `MASK_FORMATS`.
    """
    return next(row for row in FORMATS if row.masks and row.name == name)


def loaded(place: str) -> Any:
    """The module, or module:function, that a row names."""
    module, _, function = place.partition(":")
    found = importlib.import_module(f"ostensor.imaging.{module}")
    return getattr(found, function) if function else found
