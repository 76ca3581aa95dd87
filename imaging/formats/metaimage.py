"""NRRD and MHA/MHD through SimpleITK, whose LPS becomes our RAS."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import BadCall
from ..guards.atomic import write_atomically
from ..guards.limits import check_size
from ..volume import Affine, Grid
from .header_text import said_of_place
from .table import NO_ORIENTATION, Raw

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_HEAD_BYTES = 1 << 20
# Source: the MetaIO and NRRD formats: "ElementDataFile = NAME" and "data file: NAME" (also "datafile:").
_DATA_FILE = re.compile(rb"^[ \t]*(?:ElementDataFile[ \t]*=|data ?file:)[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PLACE_LINES = (b"space:", b"space directions:", b"space origin:", b"kinds:")  # SimpleITK writes 1 mm in them
SYNTHETIC_KEY = "ostensor_synthetic"


def read_itk(path: Path) -> Raw:
    """What the file holds.

    Raises:
        BadCall: damaged, colour or vector voxels, or not 2-D or 3-D.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    _refuse_files_elsewhere(path, head)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        dimension, size = reader.GetDimension(), reader.GetSize()
        check_size(path.name, size, _bytes_of(reader.GetPixelID()) * reader.GetNumberOfComponents())
        if dimension > 3 and any(n > 1 for n in size[3:]):
            raise BadCall(
                f"'{path.name}' is a {dimension}-D series of shape {tuple(size)}. One 3-D volume is needed. Save a single time point."
            )
        if reader.GetNumberOfComponents() > 1:
            raise BadCall(
                f"'{path.name}' holds colour or vector voxels. One grey value per voxel is needed. Convert it first."
            )
        keys = reader.GetMetaDataKeys()
        image = reader.Execute()
    except RuntimeError as error:
        raise BadCall(
            f"'{path.name}' cannot be read: it is damaged, cut short, or not what its ending says. Export it again."
        ) from error
    if "complex" in image.GetPixelIDTypeAsString():
        raise BadCall(f"'{path.name}' holds complex voxels. Real values are needed. Store the magnitude.")
    if dimension > 3:
        image = sitk.Extract(image, [*size[:3], *([0] * (dimension - 3))])
    array = sitk.GetArrayFromImage(image).T
    said = said_of_place(head)
    if image.GetDimension() == 2:
        affine = np.eye(4)
        affine[:2, :2] = np.array(image.GetDirection()).reshape(2, 2) * np.array(image.GetSpacing())
        affine[:2, 3] = image.GetOrigin()
        grid = Grid((*array.shape, 1), _LPS_TO_RAS @ affine, spacing_known=False)
        note = "A 2-D file: its slice thickness is not known, so no volume can be given."
        return Raw(array[..., None], grid, (note, NO_ORIENTATION), SYNTHETIC_KEY in keys)
    affine = itk_affine(image)
    if said.scale_mm != 1:
        affine[:3] *= said.scale_mm
    grid = Grid(array.shape, affine, spacing_known=said.spacing)
    return Raw(array, grid, () if said.orientation else (NO_ORIENTATION,), SYNTHETIC_KEY in keys)


def _refuse_files_elsewhere(path: Path, head: bytes) -> None:
    """A header may name the file its voxels are in; only a neighbour of its own is read, never one elsewhere.

    Raises:
        BadCall: it names a path, a list or a pattern, or a link that leads out of the folder.
    """
    named = [match.group(1).decode("utf-8", "replace").strip() for match in _DATA_FILE.finditer(head)]
    for name in named:
        if name.upper() == "LOCAL":
            continue
        plain = name not in ("", ".", "..") and not any(part in name for part in ("/", "\\", "%", ":", "\0"))
        if (
            not plain
            or name.upper().startswith("LIST")
            or (path.parent / name).resolve().parent != path.parent.resolve()
        ):
            raise BadCall(
                f"'{path.name}' keeps its voxels in files elsewhere. Only one file beside it is read. "
                "Save it as one file (.mha, .nrrd, .nii.gz)."
            )


def _bytes_of(pixel_id: int) -> int:
    kind = sitk.GetPixelIDValueAsString(pixel_id)
    return next((bits // 8 for bits in (64, 32, 16) if f"{bits}-bit" in kind), 1) * (2 if "complex" in kind else 1)


def itk_affine(image: sitk.Image) -> Affine:
    """Voxel index to RAS+ mm of a 3-D SimpleITK image."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return _LPS_TO_RAS @ affine


def write_nrrd(path: Path, array: npt.NDArray[Any], grid: Grid, *, synthetic: bool = False) -> None:
    """Write `.nrrd` in one piece, compressed; booleans become 0 and 1. A size nobody knows is not written.

    Raises:
        BadCall: the grid is sheared; SimpleITK can only write rotated ones.
    """
    affine = _LPS_TO_RAS @ grid.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4):
        raise BadCall("The grid is sheared, which NRRD as written here cannot hold. Export as nifti.")
    values = array.astype(np.uint8) if array.dtype == np.bool_ else np.asarray(array)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection(directions.ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    if synthetic:
        image.SetMetaData(SYNTHETIC_KEY, "true")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        sitk.WriteImage(image, str(temporary), useCompression=True)
        content = temporary.read_bytes()
    if not grid.spacing_known:
        head, body = content.split(b"\n\n", maxsplit=1)
        content = b"\n".join(line for line in head.splitlines() if not line.startswith(_PLACE_LINES)) + b"\n\n" + body
    write_atomically(path, lambda file: file.write(content))
