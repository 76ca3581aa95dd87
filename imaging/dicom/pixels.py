"""Stored pixels to values: decoding, rescaling, and which pictures are grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import UID

from ..errors import BadCall
from .files import UNREADABLE, Part

_GREY_SPREAD = 2  # grey stored as colour with loss comes back at most this unequal


def stored(part: Part) -> npt.NDArray[Any]:
    """The pixels as the file stores them: (row column), or (frame row column).

    Raises:
        BadCall: true colour, or pixels that cannot be decoded.
    """
    photometric = str(part.header.get("PhotometricInterpretation", "") or "")
    if photometric == "PALETTE COLOR" or (part.head.samples != 1 and part.head.frames > 1):
        raise BadCall("The DICOM images are in colour. Grey values are needed. Choose another series.")
    try:
        plain = _plain(part)
        if plain is not None:
            return plain
        array: npt.NDArray[Any] = part.load().pixel_array
    except UNREADABLE as error:
        raise BadCall(
            f"The pixels of a DICOM slice cannot be decoded ({type(error).__name__}): the file is cut short, or its "
            f"compression ({_syntax(part)}) is not supported. Export it uncompressed."
        ) from error
    if part.head.samples == 1:
        return array
    colours = array.astype(np.int32)
    if (colours.max(axis=-1) - colours.min(axis=-1)).max() > _GREY_SPREAD:
        raise BadCall("The DICOM images are in colour. Grey values are needed. Choose another series.")
    return array[..., 1]


def _plain(part: Part) -> npt.NDArray[Any] | None:
    """Uncompressed grey pixels of 8 or 16 bits; None for anything else, which pydicom then decodes or refuses."""
    head, header = part.head, part.header
    bits, stored_bits = int(header.get("BitsAllocated", 0)), int(header.get("BitsStored", 0))
    if head.samples != 1 or bits not in (8, 16) or "FloatPixelData" in header:
        return None
    content = part.plain()
    count = head.rows * head.columns * head.frames
    if content is None or len(content) < count * bits // 8:
        return None
    signed = int(header.get("PixelRepresentation", 0)) == 1
    pixels = np.frombuffer(content, dtype=f"<{'i' if signed else 'u'}{bits // 8}", count=count)
    low, high = (-(2 ** (stored_bits - 1)), 2 ** (stored_bits - 1)) if signed else (0, 2**stored_bits)
    if stored_bits < bits and (int(pixels.min()) < low or int(pixels.max()) >= high):
        return None  # something else lies in the unused bits
    shape = (head.rows, head.columns) if head.frames == 1 else (head.frames, head.rows, head.columns)
    return pixels.reshape(shape)


def _syntax(part: Part) -> str:
    meta = getattr(part.header, "file_meta", None)
    uid = str(getattr(meta, "TransferSyntaxUID", "") or "")
    return UID(uid).name if uid else "not named"


def rescaled(parts: Sequence[Part]) -> npt.NDArray[Any]:
    """Slices of one stack in their order, in the units of the rescale (HU for CT): (x y z), z slowest in memory."""
    steps = [_rescale(part.header) for part in parts]
    whole = all(step is not None and step[0] == 1 and step[1] == int(step[1]) for step in steps)
    volume: npt.NDArray[Any] | None = None
    for number, (part, step) in enumerate(zip(parts, steps, strict=True)):
        pixels = stored(part)
        if pixels.ndim != 2:
            raise BadCall(f"A slice has pixels of shape {pixels.shape}. Rows and columns are needed. Export it again.")
        if step is None:
            values = np.asarray(apply_modality_lut(pixels, part.header))
        elif whole and step[1] == 0 and pixels.dtype == np.int16:
            values = pixels
        elif whole:
            values = pixels.astype(np.int32) + int(step[1])
        else:
            values = pixels.astype(np.float32) * np.float32(step[0]) + np.float32(step[1])
        if volume is None:
            volume = np.empty((len(parts), *values.shape), dtype=_narrow(values) if whole else np.float32)
        if whole and volume.dtype == np.int16 and _narrow(values) != np.int16:
            volume = volume.astype(np.int32)
        volume[number] = values
    assert volume is not None
    return volume.transpose(2, 1, 0)


def _narrow(values: npt.NDArray[Any]) -> npt.DTypeLike:
    return np.int16 if int(values.min()) >= -(2**15) and int(values.max()) < 2**15 else np.int32


def _rescale(header: Any) -> tuple[float, float] | None:
    """Slope and intercept, or None when a lookup table takes their place."""
    if header.get("ModalityLUTSequence"):
        return None
    try:
        slope, intercept = (
            fallback if header.get(key) in (None, "") else float(header.get(key))
            for key, fallback in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
        )
    except (TypeError, ValueError) as error:
        raise BadCall("RescaleSlope or RescaleIntercept is no number. Nothing is guessed. Export it again.") from error
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise BadCall(f"A rescale of {slope:g} x + {intercept:g} means nothing. Nothing is guessed. Export it again.")
    return slope, intercept


def is_inverted(header: Any) -> bool:
    """True when low values are shown bright (MONOCHROME1), as in many radiographs."""
    return str(header.get("PhotometricInterpretation", "") or "") == "MONOCHROME1"
