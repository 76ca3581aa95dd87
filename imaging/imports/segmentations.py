"""DICOM Segmentation objects of anybody: binary, fractional and label maps, with the names and codes of their segments.

Source: DICOM PS3.3 C.8.20 (segmentation), A.51 and A.51.5 (label map), C.8.20.2.3 (fractional values).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dicom.frames import frame_group
from ..errors import BadCall
from ..formats.segments import LPS_FROM_RAS
from ..formats.structure_codes import structures_of
from ..guards.limits import check_size
from ..volume import Grid
from .labels import FRACTIONS, LabelFile, Labels, Piece
from .objects import frame_values
from .placing import NEAR_VOXELS

_THRESHOLD = 0.5


def read_segmentation(data: Any, name: str, target: Grid, sha256: str) -> LabelFile:
    """What a segmentation holds, on a grid of its own that uses the image's steps where its frames fit them.

    Raises:
        BadCall: of no known type, without places, with frames of several directions, or damaged.
    """
    kind = str(data.get("SegmentationType", "") or "")
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise BadCall(f"'{name}' is a DICOM-SEG of no known type. Binary, fractional and label maps are read.")
    try:
        grid, levels = _grid(data, name, target)
        segments = [(int(s.SegmentNumber), s) for s in data.SegmentSequence]
        owners = None if kind == "LABELMAP" else _owners(data)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, BadCall):
            raise
        raise BadCall(f"The header of '{name}' is damaged ({type(error).__name__}). Export it again.") from error
    if owners is None:
        return _of_label_map(data, segments, grid, levels, sha256)
    if kind == "BINARY":
        read, before = _bits(data), {}
    else:
        values, most = frame_values(data), float(data.get("MaximumFractionalValue", 255) or 255)
        read = partial(_reaches, values, _THRESHOLD * most)
        sums = values.sum(axis=(1, 2), dtype=np.float64) / most * grid.voxel_ml
        before = {number: float(sums[owners == number].sum()) for number, _ in segments}
    notes = (FRACTIONS,) if before else ()
    pieces = [
        Piece(str(number), _names(item), layer, exact=not before, before_ml=before.get(number), notes=notes)
        for layer, (number, item) in enumerate(segments)
    ]

    def layer(number: int) -> Labels:
        wanted = segments[number][0]
        found = np.zeros(grid.shape[::-1], dtype=np.bool_)
        for frame in np.flatnonzero(owners == wanted):
            if found[levels[frame]].any():
                raise BadCall(
                    f"'{name}' has two frames of one segment at one place. Nothing is guessed. Export it again."
                )
            found[levels[frame]] = read(int(frame))
        return found.T

    return LabelFile("dicom_seg", grid, tuple(pieces), layer, sha256, is_crop=True, header=data)


def _of_label_map(
    data: Any, segments: Sequence[tuple[int, Any]], grid: Grid, levels: npt.NDArray[np.int64], sha256: str
) -> LabelFile:
    bits = int(data.BitsAllocated)
    if bits not in (8, 16) or int(data.get("PixelRepresentation", 0) or 0):
        raise BadCall(
            f"The DICOM-SEG is a label map of {bits} bits. 8 and 16 bits without a sign are read. Export it again so."
        )
    values = frame_values(data)
    labels = np.zeros(grid.shape[::-1], dtype=values.dtype)
    labels[levels] = values
    labels = labels.T
    pieces = [Piece(str(number), _names(item), 0, (number,)) for number, item in segments if number]
    return LabelFile("dicom_seg", grid, tuple(pieces), lambda number: labels, sha256, is_crop=True, header=data)


def _group(frame: Any, shared: Any, name: str) -> Any:
    return frame_group(frame, shared, name)


def _owners(data: Any) -> npt.NDArray[np.int64]:
    """Segment number of every frame."""
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    return np.array([
        int(_group(f, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        for f in data.PerFrameFunctionalGroupsSequence
    ])  # fmt: skip


def _bits(data: Any) -> Callable[[int], npt.NDArray[np.bool_]]:
    """A reader of one frame of a binary segmentation: packed bits are unpacked frame by frame."""
    size = int(data.Rows) * int(data.Columns)
    if data.file_meta.TransferSyntaxUID.is_compressed or int(data.BitsAllocated) != 1:
        values = frame_values(data)
        return lambda frame: values[frame] > 0
    packed = np.frombuffer(data.PixelData, dtype=np.uint8)
    if packed.size * 8 < size * int(data.NumberOfFrames):
        raise BadCall("The DICOM-SEG is cut short: fewer pixels than its header says. Copy it again.")

    def read(frame: int) -> npt.NDArray[np.bool_]:
        start = frame * size
        bits = np.unpackbits(packed[start // 8 : -(-(start + size) // 8)], bitorder="little")
        return bits[start % 8 :][:size].reshape(int(data.Rows), int(data.Columns)).view(np.bool_)

    return read


def _reaches(values: npt.NDArray[Any], least: float, frame: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = values[frame] >= least
    return found


def _names(item: Any) -> tuple[str, ...]:
    """What a segment is called: its label, then what its code stands for, then the code's own words."""
    kind = (item.get("SegmentedPropertyTypeCodeSequence") or [None])[0]
    found = [str(item.get("SegmentLabel", "") or "")]
    if kind is not None:
        side = ""
        for where in (
            kind.get("SegmentedPropertyTypeModifierCodeSequence"),
            item.get("AnatomicRegionModifierSequence"),
        ):
            side = side or str((where or [{}])[0].get("CodeMeaning", "") or "").lower()
        meaning = str(kind.get("CodeMeaning", "") or "")
        sided = f"{side} {meaning}" if side in ("left", "right") else meaning
        scheme, value = str(kind.get("CodingSchemeDesignator", "")), str(kind.get("CodeValue", ""))
        found += [*structures_of(scheme, value, side), sided]
    return tuple(dict.fromkeys(name for name in found if name))


def _grid(data: Any, name: str, target: Grid) -> tuple[Grid, npt.NDArray[np.int64]]:
    """The grid that holds every frame, and the slice of it each frame lies in."""
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    frames = data.get("PerFrameFunctionalGroupsSequence") or []
    if not frames or len(frames) != int(data.get("NumberOfFrames", 0) or 0):
        raise BadCall(f"'{name}' does not describe each of its frames. Export it again.")
    groups = [
        (_group(f, shared, "PlanePositionSequence"), _group(f, shared, "PlaneOrientationSequence"), _group(f, shared, "PixelMeasuresSequence"))
        for f in frames
    ]  # fmt: skip
    if any(part is None for one in groups for part in one):
        raise BadCall(
            f"'{name}' tells no place in the patient for its frames, as of a microscope slide. It lies on no scan."
        )
    places = np.array([[float(v) for v in one[0].ImagePositionPatient] for one in groups])
    turned = np.array([[float(v) for v in one[1].ImageOrientationPatient] for one in groups])
    sizes = np.array([[float(v) for v in one[2].PixelSpacing] for one in groups])
    if not all(np.isfinite(values).all() for values in (places, turned, sizes)):
        raise BadCall(f"'{name}' has frames whose place is no number. Nothing is guessed. Export it again.")
    if np.abs(turned - turned[0]).max() > 1e-3 or np.abs(sizes - sizes[0]).max() > 1e-3 or sizes.min() <= 0:
        raise BadCall(f"'{name}' mixes frames of several directions or pixel sizes. Export one stack by itself.")
    row, column = turned[0, :3], turned[0, 3:]
    step, levels = _steps(places, np.cross(row, column), target, name, groups[0][2])
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2] = row * sizes[0, 1], column * sizes[0, 0], step
    lps[:3, 3] = places[levels.argmin()]
    levels = levels - levels.min()
    shape = (int(data.Columns), int(data.Rows), int(levels.max()) + 1)
    check_size(name, shape, 1)  # two frames a kilometre apart would be a thousand slices a metre
    return Grid(shape, LPS_FROM_RAS @ lps), levels


def _steps(
    places: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], target: Grid, name: str, measures: Any
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """From slice to slice (mm, LPS+), and how many steps each frame is from the first.

    The image's own step, where every frame lies on a whole number of them; else the smallest gap between frames.
    """
    axes = (LPS_FROM_RAS @ target.affine)[:3, :3].T
    along = max(axes, key=lambda axis: abs(float(axis @ normal)) / float(np.linalg.norm(axis)))
    along = along * np.sign(along @ normal)
    heights = places @ normal
    gaps = np.diff(np.unique(np.round(heights, 4)))
    gaps = gaps[gaps > 1e-3]
    smallest = float(gaps.min()) if len(gaps) else float(measures.get("SliceThickness") or 1.0)
    for step in (along, normal * smallest):
        counts = (heights - heights[0]) / float(step @ normal)
        off = np.linalg.norm(places - (places[0] + np.rint(counts)[:, None] * step), axis=1) / np.linalg.norm(step)
        if off.max() <= NEAR_VOXELS:
            return step, np.rint(counts).astype(np.int64)
    raise BadCall(f"The frames of '{name}' are no evenly spaced stack of slices. Nothing is guessed. Export it again.")
