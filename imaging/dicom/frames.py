"""Enhanced multi-frame objects: every frame has its own place and its own rescale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from .files import Part
from .geometry import Placement, place
from .pixels import stored

_RESCALE = ("RescaleSlope", "RescaleIntercept")


@dataclass(frozen=True)
class Frames:
    """The frames of a file in the order of the volume.

    Attributes:
        array: (x y z), rescaled.
        order: frame number in the file (from 0) of each z.
        rescale_types: what the file calls the values of its frames after their rescale, each once; "" where a
            frame has a rescale without a type, and None where it has no rescale.
    """

    array: npt.NDArray[Any]
    order: npt.NDArray[np.intp]
    placement: Placement
    rescale_types: tuple[str | None, ...]


def read_frames(part: Part) -> Frames:
    """The volume of one multi-frame file.

    Raises:
        BadCall: frames without a place, of several directions or at one place, or pixels that cannot be decoded.
    """
    if part.head.samples != 1:
        raise BadCall("The DICOM images are in colour. Grey values are needed. Choose another series.")
    shared = (part.header.get("SharedFunctionalGroupsSequence") or [None])[0]
    frames = part.header.get("PerFrameFunctionalGroupsSequence") or []
    if not frames or frame_group(frames[0], shared, "PlanePositionSequence") is None:
        raise BadCall(
            f"The multi-frame DICOM file ({part.head.frames} frames) tells no place per frame, as a film of an "
            "ultrasound does. A volume cannot be made from it. Export single frames or slices."
        )
    if len(frames) != part.head.frames:
        raise BadCall(f"The file says {part.head.frames} frames but describes {len(frames)}. Export it again.")
    positions = [_values(f, shared, "PlanePositionSequence", "ImagePositionPatient", 3) for f in frames]
    directions = np.array(
        [_values(f, shared, "PlaneOrientationSequence", "ImageOrientationPatient", 6) for f in frames]
    )
    spacings = np.array([_values(f, shared, "PixelMeasuresSequence", "PixelSpacing", 2) for f in frames])
    if np.abs(directions - directions[0]).max() > 1e-3:
        raise BadCall(
            "The file mixes frames of different directions. All must be parallel. Export one stack by itself."
        )
    if np.abs(spacings - spacings[0]).max() > 1e-3 or spacings.min() <= 0:
        raise BadCall("The frames have different pixel spacings. All must agree. Export one stack by itself.")
    measures = frame_group(frames[0], shared, "PixelMeasuresSequence")
    thickness = None if measures is None else float(measures.get("SliceThickness") or 0) or None
    placement = place(positions, directions[0].tolist(), spacings[0].tolist(), thickness_mm=thickness, what="frames")
    pixels = stored(part).reshape(len(frames), part.head.rows, part.head.columns)
    changes = [_change(frame, shared, part.header) for frame in frames]
    array = _rescaled(pixels, changes)[placement.order]
    kinds = [None if change is None else str(change.get("RescaleType", "") or "") for change in changes]
    return Frames(array.transpose(2, 1, 0), placement.order, placement, tuple(dict.fromkeys(kinds)))


def _change(frame: Any, shared: Any, header: Any) -> Any | None:
    """What holds the rescale of a frame: its functional group, or the top level, where some programs leave it.

    Raises:
        BadCall: a slope without intercept, or the other way round.
    """
    for holder in (frame_group(frame, shared, "PixelValueTransformationSequence"), header):
        there = [holder is not None and holder.get(key) not in (None, "") for key in _RESCALE]
        if all(there):
            return holder
        if any(there):
            raise BadCall("A frame has half a rescale (slope or intercept). Nothing is guessed. Export it again.")
    return None


def _rescaled(pixels: npt.NDArray[Any], changes: Sequence[Any | None]) -> npt.NDArray[Any]:
    """(frame row column): each frame by its own slope and intercept."""
    try:
        steps = [(1.0, 0.0) if c is None else (float(c.RescaleSlope), float(c.RescaleIntercept)) for c in changes]
    except (TypeError, ValueError) as error:
        raise BadCall("A frame's rescale is no number. Nothing is guessed. Export it again.") from error
    if not np.isfinite(steps).all() or any(slope == 0 for slope, _ in steps):
        raise BadCall("A frame's rescale is not finite or zero. Nothing is guessed. Export it again.")
    if all(slope == 1 and intercept == int(intercept) for slope, intercept in steps):
        shifts = np.array([int(intercept) for _, intercept in steps], dtype=np.int32)[:, None, None]
        whole: npt.NDArray[Any] = pixels.astype(np.int32) + shifts
        fits = int(whole.min()) >= -(2**15) and int(whole.max()) < 2**15
        return whole.astype(np.int16) if fits else whole
    slopes, intercepts = (np.array(column, dtype=np.float32)[:, None, None] for column in zip(*steps, strict=True))
    scaled: npt.NDArray[Any] = pixels.astype(np.float32) * slopes + intercepts
    return scaled


def frame_group(frame: Any, shared: Any, name: str) -> Any | None:
    """The functional group of a frame: its own, or the one all share."""
    for holder in (frame, shared):
        items = holder.get(name) if holder is not None else None
        if items:
            return items[0]
    return None


def _values(frame: Any, shared: Any, group: str, keyword: str, count: int) -> list[float]:
    item = frame_group(frame, shared, group)
    value = None if item is None else item.get(keyword)
    found = [] if value is None else [float(v) for v in value]
    if len(found) != count or not np.isfinite(found).all():
        raise BadCall(
            f"The multi-frame DICOM file lacks {keyword} of a frame. Nothing is guessed. Export single slices."
        )
    return found
