"""DICOM to a volume: the slices of one stack in order, in their units, with one affine.

Nothing is guessed: what cannot be placed or decoded is refused with its reason.
"""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadCall
from ..formats.elements import unsound_elements
from ..guards.doors import Door
from ..guards.limits import BUDGET, check_ratio, check_size
from ..hounsfield import may_be_hu
from ..volume import Grid, Modality
from .files import Part
from .frames import read_frames
from .geometry import place
from .opening.members import members_of
from .pet import uptake
from .pixels import is_inverted, rescaled, stored
from .series import SAME_PLACE_MM, SeriesSummary, Stack, choose, discover, refuse_mosaic, summaries
from .source import DicomSource, Instance, check_one_patient, source_of

# Elements that written DICOM copies from the scan and that have a form of their own.
_COPIED = ("PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight", "StudyDate", "StudyTime")
_SLICES_BYTES, _FRAMES_BYTES = 8, 12  # a pixel while it becomes a voxel: int16 beside int32 or float32; see `pixels`
_MOST_KVP = 500.0  # more is no tube for patients
_NO_AGENT = ("none", "no", "n", "no contrast", "without", "without contrast", "native")  # what is written for it
_CM = 3  # PhysicalUnitsXDirection of an ultrasound region (PS3.3 C.8.5.5.1.15)


@dataclass(frozen=True)
class DicomVolume:
    """What a stack gives.

    Attributes:
        unit: of the voxel values: "HU", "SUV", another one of the header, or "".
        synthetic: the header says a program made it.
        acquisition: see `acquisition_of`.
    """

    array: npt.NDArray[Any]
    grid: Grid
    notes: tuple[str, ...]
    modality: Modality
    unit: str
    source: DicomSource
    synthetic: bool = False
    acquisition: Mapping[str, float | bool] = field(default_factory=dict)


def read_dicom(path: Path, series: str | None, door: Door) -> tuple[DicomVolume | None, tuple[SeriesSummary, ...]]:
    """The chosen volume, or None when there are several series and none is named; and what there is.

    Raises:
        BadCall: no image, an unknown or mixed series, or one that makes no volume.
    """
    with python_warnings.catch_warnings(), members_of(path, door) as members:
        python_warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is refused here
        study = discover(members)
        listed = summaries(study)
        stack = choose(study, series)
        if stack is None:
            return None, listed
        with BUDGET.reserved(path.name, bytes_needed(stack, path.name)):
            assembled = assemble(stack)
        header = stack.parts[0].header
        volume = replace(assembled, synthetic=is_synthetic(header), acquisition=acquisition_of(header))
        wrong = unsound_elements(header, _COPIED)
        if wrong:
            note = f"The header's {', '.join(wrong)} hold no valid value: written DICOM leaves them out."
            volume = replace(volume, notes=(*volume.notes, note))
        return replace(volume, notes=(*volume.notes, *study.left_out)), listed


def bytes_needed(stack: Stack, name: str) -> int:
    """Bytes that assembling will hold at most: pixels as stored, whole numbers beside them, and the values.

    Raises:
        BadCall: more than a scan may have, or far more than its files have room for.
    """
    pixels = sum(part.head.rows * part.head.columns * part.head.frames * part.head.samples for part in stack.parts)
    check_size(name, (pixels,), 2)
    check_ratio(name, sum(part.packed for part in stack.parts), pixels * 2)
    return pixels * (_FRAMES_BYTES if stack.parts[0].head.frames > 1 else _SLICES_BYTES)


def is_synthetic(header: Any) -> bool:
    """Whether an object says it was made by a program: attribute Synthetic Data, or SYNTHETIC among its image types.

    Source: PS3.3 C.12.1.1, Synthetic Data (0008,001C).
    """
    kinds = header.get("ImageType") or []
    return str(header.get("SyntheticData", "")) == "YES" or "SYNTHETIC" in [str(kind) for kind in kinds]


def acquisition_of(header: Any) -> dict[str, float | bool]:
    """Tube voltage (`kvp`) and whether contrast was given (`contrast`), each where the header says it; none of its text.

    An agent that is left out says nothing: many scanners never write it.
    """
    said: dict[str, float | bool] = {}
    try:
        voltage = float(header.get("KVP"))
    except (TypeError, ValueError):
        voltage = 0.0
    if 0 < voltage < _MOST_KVP:
        said["kvp"] = voltage
    agent = str(header.get("ContrastBolusAgent", "") or "").strip().casefold()
    if agent:
        said["contrast"] = agent not in _NO_AGENT
    return said


def assemble(stack: Stack) -> DicomVolume:
    """One volume of a stack.

    Raises:
        BadCall: several patients, several slices at one place, no geometry, uneven gaps, colour, or pixels that cannot be decoded.
    """
    check_one_patient([part.header for part in stack.parts])
    first = stack.parts[0]
    refuse_mosaic(first.header)
    if first.head.frames > 1:
        return _from_frames(stack)
    if not first.head.is_placed:
        if len(stack.parts) > 1:
            raise BadCall(
                "Slices of the series lack position, orientation or pixel spacing, so they cannot be put in order. Export them again."
            )
        return _flat(first, stack.modality)
    parts, notes = _without_copies(stack.parts)
    positions = np.array([part.head.position for part in parts], dtype=np.float64)
    assert first.head.orientation is not None
    assert first.head.spacing is not None
    placement = place(positions, first.head.orientation, first.head.spacing, thickness_mm=first.head.thickness)
    ordered = [parts[i] for i in placement.order]
    array, unit, remarks = _in_units(rescaled(ordered), ordered, stack.modality)
    instances = [Instance(part.head.sop_class, part.head.sop_uid) for part in ordered]
    grid = Grid(array.shape, placement.affine, placement.thickness_known)
    notes = (*notes, *placement.notes, *remarks, *_incomplete(ordered))
    return DicomVolume(array, grid, notes, stack.modality, unit, source_of(ordered[0].header, instances))


def _without_copies(parts: Sequence[Part]) -> tuple[list[Part], tuple[str, ...]]:
    """Files with the same UID, place and pixels count once.

    Raises:
        BadCall: two files claim one UID but differ.
    """
    kept: dict[str, Part] = {}
    copies = 0
    for part in parts:
        known = kept.setdefault(part.head.sop_uid or str(id(part)), part)
        if known is part:
            continue
        moved = np.abs(np.subtract(known.head.position, part.head.position)).max()  # type: ignore[arg-type]  # both placed
        if moved >= SAME_PLACE_MM or not np.array_equal(stored(known), stored(part)):
            raise BadCall("Two files claim to be the same slice but differ. Nothing is guessed. Remove the wrong one.")
        copies += 1
    note = (f"{copies} duplicated slices (same slice, same pixels) were left out.",) if copies else ()
    return list(kept.values()), note


def _in_units(
    array: npt.NDArray[Any], parts: Sequence[Part], modality: Modality
) -> tuple[npt.NDArray[Any], str, tuple[str, ...]]:
    if modality == "ct":
        headers = [part.header for part in parts]
        kinds = {str(h.get("RescaleType", "") or "") if "RescaleIntercept" in h else None for h in headers}
        return array, *_ct_unit(array, kinds)
    if modality != "pet":
        return array, "", ()
    return _pet_units(array, parts)


def _pet_units(array: npt.NDArray[Any], parts: Sequence[Part]) -> tuple[npt.NDArray[Any], str, tuple[str, ...]]:
    found = uptake([part.header for part in parts])
    notes = (found.note,) if found.note else ()
    return array if found.factor == 1 else array.astype(np.float32) * np.float32(found.factor), found.unit, notes


def _ct_unit(array: npt.NDArray[Any], kinds: Collection[str | None]) -> tuple[str, tuple[str, ...]]:
    """The unit of a CT's values, and what to say about it.

    Args:
        kinds: RescaleType of the slices; "" where it is left out, which stands for HU when the values agree
            (PS3.3 C.8.2.1.1.4); None where there is no rescale at all.
    """
    if not set(kinds) <= {"HU", "", "US"}:
        return "", ("The header does not say that the values are HU.",)
    return ("HU" if may_be_hu(array) else ""), ()


def _incomplete(parts: Sequence[Part]) -> tuple[str, ...]:
    """A warning when the header promises more slices than came."""
    promised = parts[0].header.get("NumberOfSlices")
    try:
        count = int(promised or 0)
    except (TypeError, ValueError):
        return ()
    if len(parts) < count:
        return (f"The header promises {count} slices, {len(parts)} are there: an end of the series may be missing.",)
    return ()


def _from_frames(stack: Stack) -> DicomVolume:
    part = stack.parts[0]
    frames = read_frames(part)
    instances = [Instance(part.head.sop_class, part.head.sop_uid, int(f) + 1) for f in frames.order]
    grid = Grid(frames.array.shape, frames.placement.affine, frames.placement.thickness_known)
    array, unit = frames.array, ""
    remarks: tuple[str, ...] = ()
    if stack.modality == "ct":
        unit, remarks = _ct_unit(array, frames.rescale_types)
    elif stack.modality == "pet":
        array, unit, remarks = _pet_units(array, [part])
    notes = (*frames.placement.notes, *remarks)
    return DicomVolume(array, grid, notes, stack.modality, unit, source_of(part.header, instances))


def _flat(part: Part, modality: Modality) -> DicomVolume:
    """A single picture without a place in the patient: pixel spacing at best."""
    notes: list[str] = []
    array = rescaled([part])
    if is_inverted(part.header):
        array = (int(array.max()) + int(array.min()) - array).astype(array.dtype)
        notes.append("Stored with low values bright (MONOCHROME1); values are inverted so that bright is high.")
    spacing = _flat_spacing(part)
    if spacing is not None:
        notes.append(f"In-plane pixels measure {spacing[1]:g} x {spacing[0]:g} mm, but the third direction is unknown.")
    if modality == "xr":
        notes.append("A projection image: sizes depend on the distance to the detector, so none are given in mm.")
    row, column = spacing or (1.0, 1.0)
    grid = Grid(array.shape, np.diag([-column, -row, 1.0, 1.0]), spacing_known=False)
    instance = Instance(part.head.sop_class, part.head.sop_uid)
    return DicomVolume(array, grid, tuple(notes), modality, "", source_of(part.header, [instance]))


def _flat_spacing(part: Part) -> tuple[float, float] | None:
    """Between rows and columns, mm: of the detector, or of the one calibrated region of an ultrasound picture."""
    regions = part.header.get("SequenceOfUltrasoundRegions") or []
    if len(regions) == 1 and all(regions[0].get(f"PhysicalUnits{a}Direction") == _CM for a in "XY"):
        deltas = [abs(float(regions[0].get(f"PhysicalDelta{a}") or 0)) * 10 for a in "YX"]
        return (deltas[0], deltas[1]) if min(deltas) > 0 else None
    if part.head.spacing is not None:
        return part.head.spacing[0], part.head.spacing[1]
    detector = part.header.get("ImagerPixelSpacing")
    found = [] if detector is None else [float(v) for v in detector]
    return (found[0], found[1]) if len(found) == 2 and min(found) > 0 else None
