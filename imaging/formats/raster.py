"""PNG, JPEG and TIFF: one grey slice without a place in the patient; masks of a slice as PNG."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..errors import BadCall, Failed
from ..guards.atomic import write_atomically
from ..guards.doors import ANYWHERE, Door
from ..guards.limits import BUDGET, check_ratio, check_size
from ..volume import BoolArray, Grid
from .segments import Segment
from .table import Raw

Grey = npt.NDArray[np.uint8 | np.uint16 | np.int32 | np.float32]
# Rows of a picture run down, columns to the right: the usual display of an axial slice, in which the
# patient's right is on the left and the front is up.
_DISPLAY_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])

_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}  # as Pillow calls them
_BYTES_PER_PIXEL = 16  # the picture, the same as an array, and a copy: four bytes each, and rows on their way
SYNTHETIC_KEY = "Synthetic"  # keyword of the text chunk of a PNG


def synthetic_text() -> PngImagePlugin.PngInfo:
    """The text chunk of a PNG that shows a synthetic image."""
    text = PngImagePlugin.PngInfo()
    text.add_text(SYNTHETIC_KEY, "yes; made by ostensor, shows no patient")
    return text


def write_png(path: Path, grey: npt.NDArray[np.uint8]) -> None:
    """One synthetic slice (x y) as a grey PNG whose text says so, rows running down."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey.T)).save(buffer, "PNG", pnginfo=synthetic_text())
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def write_masks(
    path: Path, segments: Sequence[Segment], grid: Grid, *, source: object, synthetic: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Write the one mask of a slice as 0 and 255, rows running down as in the picture it was drawn on.

    Raises:
        BadCall: the mask has several slices.
    """
    (segment,) = segments
    if not grid.is_2d:
        raise BadCall(f"The mask has {grid.shape[2]} slices, and a PNG holds one. Export as nifti, nrrd or dicom_seg.")
    inside = np.ascontiguousarray(segment.load().array[:, :, 0].T)
    buffer = io.BytesIO()
    picture = Image.fromarray(inside.astype(np.uint8) * 255)
    picture.save(buffer, "PNG", **({"pnginfo": synthetic_text()} if synthetic else {}))
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
    note = ("A PNG holds neither voxel size nor orientation.",) if grid.spacing_known else ()
    return {segment.mask_id: note}


def read_masks(path: Path, segments: Sequence[Segment], grid: Grid) -> list[Callable[[], BoolArray]]:
    """A reader of the mask.

    Raises:
        Failed: it has another size than it was written with.
    """
    found = read_raster(path)
    if found.grid.shape != grid.shape:
        raise Failed("reads back with another size than it was written with")
    return [lambda: found.array > 0]


def read_raster(path: Path, door: Door = ANYWHERE, *, indices: bool = False) -> Raw:
    """The picture as (x y 1), on a grid without spacing.

    Args:
        indices: of a picture with a palette, or of black and white, the numbers of its colours: labels.

    Raises:
        BadCall: damaged, another format than its ending says, several pages, true colour, or far more pixels than bytes.
    """
    kind = _KINDS[path.suffix.lower()]
    try:
        with door.open(path) as file, Image.open(file, formats=[kind]) as picture:
            needed = picture.width * picture.height * _BYTES_PER_PIXEL
            check_size(path.name, picture.size, 4)
            check_ratio(path.name, os.fstat(file.fileno()).st_size, needed)
            _refuse_pages(picture, path.name)
            with BUDGET.reserved(path.name, needed):
                picture.load()
                mode, array = picture.mode, np.asarray(picture)
            synthetic = SYNTHETIC_KEY in picture.info
    except BadCall:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadCall(
            f"'{path.name}' cannot be read as a picture ({type(error).__name__}). Save it again as PNG."
        ) from error
    if indices and mode in ("P", "1"):
        array = array.astype(np.uint8)
    elif mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "1"):
        raise BadCall(f"'{path.name}' is stored in mode {mode}. Grey values are needed. Convert it to greyscale.")
    if array.ndim == 3:
        colours = array[..., :3] if array.shape[2] >= 3 else array[..., :1]
        if not (colours == colours[..., :1]).all():
            raise BadCall(
                f"'{path.name}' is a colour picture. Grey values are needed. Convert it to greyscale if colour carries nothing."
                + (" Labels are read from a palette or grey values." if indices else "")
            )
        array = colours[..., 0]
    warnings = (
        "A picture has no voxel size and no orientation; sides follow the usual display (patient's right on the left).",
    )
    return Raw(
        array.T[..., None],
        Grid((array.shape[1], array.shape[0], 1), _DISPLAY_AFFINE, spacing_known=False),
        warnings,
        synthetic,
    )


def _refuse_pages(picture: Image.Image, name: str) -> None:
    """Refuse a picture that has a second page; the others are not counted, for there may be a million."""
    try:
        picture.seek(1)
    except EOFError:
        picture.seek(0)
        return
    raise BadCall(f"'{name}' has several pages. One slice is needed. Save a single page.")
