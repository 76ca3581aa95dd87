"""PNG, JPEG and TIFF: one grey slice without a place in the patient; masks of a slice as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..errors import BadCall, Failed
from ..guards.atomic import write_atomically
from ..volume import BoolArray, Grid
from .segments import Segment
from .table import Raw

Grey = npt.NDArray[np.uint8 | np.uint16 | np.int32 | np.float32]
# Rows of a picture run down, columns to the right: the usual display of an axial slice, in which the
# patient's right is on the left and the front is up.
_DISPLAY_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])

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


def read_raster(path: Path) -> Raw:
    """The picture as (x y 1), on a grid without spacing.

    Raises:
        BadCall: damaged, several pages, or true colour.
    """
    try:
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise BadCall(f"'{path.name}' has {picture.n_frames} pages. One slice is needed. Save a single page.")  # type: ignore[attr-defined]  # only multi-page formats have it
            picture.load()
            mode, array = picture.mode, np.asarray(picture)
            synthetic = SYNTHETIC_KEY in picture.info
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadCall(
            f"'{path.name}' cannot be read as a picture ({type(error).__name__}). Save it again as PNG."
        ) from error
    if mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "1"):
        raise BadCall(f"'{path.name}' is stored in mode {mode}. Grey values are needed. Convert it to greyscale.")
    if array.ndim == 3:
        colours = array[..., :3] if array.shape[2] >= 3 else array[..., :1]
        if not (colours == colours[..., :1]).all():
            raise BadCall(
                f"'{path.name}' is a colour picture. Grey values are needed. Convert it to greyscale if colour carries nothing."
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
