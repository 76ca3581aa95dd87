"""DICOM Segmentation: written with highdicom, read back with our own reader.

Binary segments, one frame per slice and segment, empty ones included, so that any reader sees
the whole grid. Written: PS3.3 A.51; read back: functional groups and packed bits, least bit first.
"""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from ..errors import BadCall, Failed
from ..formats.elements import mended_header
from ..formats.segments import Segment, array_on, colour, lps_affine
from ..formats.structure_codes import Code
from ..guards.atomic import write_atomically
from ..volume import BoolArray, Grid
from .source import DicomSource

_STAND_IN = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture Image Storage
STATED_NOTE = "Voxel size stated by the user, not by the scan's file"
STRANGE_CLASS = "The scan's SOP class is none in force for images; the file refers to it by that class all the same."
_PLACE_VOXELS = 0.01  # how far, in voxels, a frame may be off its slice when read back
_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip


def write_masks(
    path: Path, segments: Sequence[Segment], grid: Grid, *, source: DicomSource, synthetic: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Write the masks; see `write_dicom_seg`."""
    notes = write_dicom_seg(path, segments, grid, source=source, synthetic=synthetic)
    return {segment.mask_id: notes for segment in segments}


def read_masks(path: Path, segments: Sequence[Segment], grid: Grid) -> list[Callable[[], BoolArray]]:
    """A reader for each mask, in their order.

    Raises:
        Failed: the file names its segments otherwise than they were written.
    """
    found = read_dicom_seg(path)
    if [found.labels[number] for number in sorted(found.labels)] != [s.label[:64] for s in segments]:
        raise Failed("names its segments otherwise than they were written")
    return [partial(found.segment, number, grid) for number in sorted(found.labels)]


def write_dicom_seg(
    path: Path,
    segments: Sequence[Segment],
    grid: Grid,
    *,
    source: DicomSource,
    omit_empty_frames: bool = False,
    synthetic: bool = False,
) -> tuple[str, ...]:
    """Write one file with all segments; answers what of the scan's header could not be kept.

    Args:
        source: what the scan shares with the file; one instance per slice of `grid`.
        omit_empty_frames: leave out slices without the segment: smaller, but not every reader copes.

    Raises:
        BadCall: the voxel size is not known, rows and columns are not perpendicular, or a mask is not on `grid`.
    """
    import highdicom

    check_placeable(grid, "DICOM-SEG")
    if len(source.instances) != grid.shape[2]:
        raise Failed(f"The scan has {len(source.instances)} source slices but {grid.shape[2]} in its grid.")
    seed = [path.name, *(instance.sop_uid for instance in source.instances[:1])]
    pixels = _pixels(segments, grid)
    shown, notes = _sound(source)
    images, order = _source_images(shown, grid)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # highdicom warns of one-part names, which we must copy
        made = highdicom.seg.Segmentation(
            source_images=images,
            pixel_array=pixels if order is None else pixels[order],
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(n, s, seed) for n, s in enumerate(segments, start=1)],
            series_instance_uid=generate_uid(entropy_srcs=["series", *seed]),
            series_number=900,
            sop_instance_uid=generate_uid(entropy_srcs=["instance", *seed]),
            instance_number=1,
            manufacturer="ostensor",
            manufacturer_model_name="ostensor",
            software_versions=segments[0].version,
            content_description=STATED_NOTE if grid.stated else None,
            device_serial_number="0",
            content_label="SEGMENTATION",
            series_description="Synthetic image (ostensor), segmentation" if synthetic else "Segmentation (ostensor)",
            omit_empty_frames=omit_empty_frames,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        del pixels, images
        _name_classes_(made, source, shown)
        write_atomically(path, lambda file: pydicom.dcmwrite(file, made, enforce_file_format=True))
    return notes


def _sound(source: DicomSource) -> tuple[DicomSource, tuple[str, ...]]:
    """The source as highdicom takes it, and what had to be mended for that.

    It refuses values that are none, and images of a class it does not know: those stand as secondary captures until
    the file is made, when `_name_classes_` gives them their own class back.
    """
    header, notes = mended_header(source)
    strange = strange_classes(source)
    notes = (*notes, *([STRANGE_CLASS] if strange else []))
    instances = [replace(i, sop_class=_STAND_IN) if i.sop_class in strange else i for i in source.instances]
    return replace(source, study=header.to_json_dict(), instances=tuple(instances)), notes


def strange_classes(source: DicomSource) -> set[str]:
    """SOP classes of the source that are none in force for images, as private ones and those an anonymiser made up."""
    return {uid for uid in {instance.sop_class for instance in source.instances} if not _is_image_class(uid)}


def _is_image_class(sop_class: str) -> bool:
    uid = UID(sop_class)
    listed = not uid.is_private and uid.type == "SOP Class" and not uid.is_retired
    return listed and "Image Storage" in uid.name and not uid.name.startswith(("DICOS", "Eddy"))  # of luggage, of metal


def _name_classes_(made: Any, source: DicomSource, shown: DicomSource) -> None:
    """Refer to the source's images by the class their files have, where another stood in for it."""
    if shown.instances == source.instances:
        return
    own = {instance.sop_uid: instance.sop_class for instance in source.instances}

    def rename(data: Any, element: Any) -> None:
        if element.keyword == "ReferencedSOPClassUID" and data.get("ReferencedSOPInstanceUID") in own:
            element.value = own[data.ReferencedSOPInstanceUID]

    made.walk(rename)


def check_placeable(grid: Grid, kind: str) -> None:
    """Refuse grids that DICOM's planes cannot hold.

    Raises:
        BadCall: mm are not known, or rows and columns are not perpendicular.
    """
    if not grid.volume_known:
        raise BadCall(
            f"The scan's voxel size is not known, and {kind} needs places in mm. None is invented. Export as nifti."
        )
    x, y = (grid.affine[:3, axis] / np.linalg.norm(grid.affine[:3, axis]) for axis in (0, 1))
    if abs(float(x @ y)) > 1e-4:
        raise BadCall(f"The grid is sheared within its slices, which {kind} cannot hold. Export as nifti.")


def _pixels(segments: Sequence[Segment], grid: Grid) -> npt.NDArray[np.uint8]:
    """Labels (frame row column), or stacked segments (frame row column segment) when they overlap."""
    labels = np.zeros(grid.shape[::-1], dtype=np.uint8)
    for number, segment in enumerate(segments, start=1):
        array = array_on(segment, grid).T
        if number > 255 or labels[array].any():
            return np.stack([array_on(s, grid).T.astype(np.uint8) for s in segments], axis=-1)
        labels[array] = number
    return labels


def _description(number: int, segment: Segment, seed: list[str]) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    def concept(code: Code) -> Any:
        return highdicom.sr.CodedConcept(code.value, code.scheme, code.meaning)

    described = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:64],
        segmented_property_category=concept(segment.code.category),
        segmented_property_type=concept(segment.code.type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=segment.algorithm[:64], family=codes.DCM.ArtificialIntelligence, version=segment.version[:64]
        ),
        tracking_uid=generate_uid(entropy_srcs=["segment", segment.mask_id, *seed]),
        tracking_id=segment.mask_id,
        display_color=highdicom.color.CIELabColor.from_rgb(*colour(number)),
    )
    if segment.code.side is not None:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            concept(segment.code.side)
        ]
    return described


def _source_images(source: DicomSource, grid: Grid) -> tuple[list[Any], npt.NDArray[np.intp] | None]:
    """Headers that stand for the scan's slices, and the order of z they come in (None: as in the grid)."""
    affine = lps_affine(grid)
    positions = [affine[:3, :3] @ (0, 0, z) + affine[:3, 3] for z in range(grid.shape[2])]
    if source.instances[0].frame == 0:
        images = []
        for instance, position in zip(source.instances, positions, strict=True):
            image = _header(source, instance.sop_class, instance.sop_uid, grid)
            image.ImagePositionPatient, image.ImageOrientationPatient = _decimals(position), orientation(grid)
            _measure(image, grid)
            images.append(image)
        return images, None
    order = np.argsort([instance.frame for instance in source.instances])
    image = _header(source, source.instances[0].sop_class, source.instances[0].sop_uid, grid)
    plane, measures, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    plane.ImageOrientationPatient = orientation(grid)
    _measure(measures, grid)
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    frames = []
    for z in order:
        place, frame = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = _decimals(positions[z])
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    image.NumberOfFrames = len(frames)
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [shared], frames
    return [image], order


def _header(source: DicomSource, sop_class: str, sop_uid: str, grid: Grid) -> Any:
    header = source.header
    for keyword in _EMPTY:
        if keyword not in header:
            setattr(header, keyword, None if keyword == "PatientName" else "")
    if not header.get("FrameOfReferenceUID"):
        header.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference", header.SeriesInstanceUID])
    header.SOPClassUID, header.SOPInstanceUID = sop_class, sop_uid
    header.Rows, header.Columns = grid.shape[1], grid.shape[0]
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def _measure(item: Any, grid: Grid) -> None:
    item.PixelSpacing = _decimals((grid.spacing_mm[1], grid.spacing_mm[0]))
    normal = np.cross(grid.affine[:3, 0], grid.affine[:3, 1])
    item.SliceThickness = _decimals([abs(float(grid.affine[:3, 2] @ normal)) / float(np.linalg.norm(normal))])[0]


def orientation(grid: Grid) -> list[str]:
    """ImageOrientationPatient of the grid's slices."""
    affine = lps_affine(grid)
    return _decimals([*(affine[:3, 0] / grid.spacing_mm[0]), *(affine[:3, 1] / grid.spacing_mm[1])])


def _decimals(values: Sequence[float] | npt.NDArray[np.float64]) -> list[str]:
    return [format_number_as_ds(float(value)) for value in values]


@dataclass(frozen=True)
class SegFile:
    """A binary DICOM-SEG as it lies on disk; pixels are read one segment at a time.

    Attributes:
        frames: segment number and place of the first pixel (mm, LPS+) of every frame.
        labels: segment label by number.
    """

    path: Path
    header: Any
    offset: int
    frames: tuple[tuple[int, tuple[float, ...]], ...]
    labels: dict[int, str]

    def segment(self, number: int, grid: Grid) -> BoolArray:
        """One segment (x y z) on a grid; slices without a frame are empty.

        Raises:
            Failed: a frame lies on no slice of the grid, or two on one.
        """
        rows, columns = int(self.header.Rows), int(self.header.Columns)
        if (columns, rows) != grid.shape[:2]:
            raise Failed(f"The file has frames of {columns} x {rows} pixels, the grid {grid.shape[:2]}.")
        self._check_plane(grid)
        inverse = np.linalg.inv(lps_affine(grid))
        stored = np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.offset)
        found = np.zeros(grid.shape[::-1], dtype=np.bool_)
        seen = set()
        for index, (owner, position) in enumerate(self.frames):
            if owner != number:
                continue
            x, y, height = inverse[:3, :3] @ position + inverse[:3, 3]
            z = round(height)
            if max(abs(x), abs(y), abs(height - z)) > _PLACE_VOXELS or not 0 <= z < grid.shape[2] or z in seen:
                raise Failed("A frame of the written DICOM-SEG does not lie on its slice of the scan.")
            seen.add(z)
            start = index * rows * columns
            bits = np.unpackbits(stored[start // 8 : -(-(start + rows * columns) // 8)], bitorder="little")
            found[z] = bits[start % 8 :][: rows * columns].reshape(rows, columns)
        return found.T

    def _check_plane(self, grid: Grid) -> None:
        shared = self.header.SharedFunctionalGroupsSequence[0]
        cosines = [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
        between = [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]
        wanted = [float(v) for v in orientation(grid)]
        reach = max(grid.shape) * max(grid.spacing_mm)  # mm that a wrong cosine moves the far corner
        if np.abs(np.subtract(cosines, wanted)).max() * reach > 0.01 * min(grid.spacing_mm) or not np.allclose(
            between, (grid.spacing_mm[1], grid.spacing_mm[0]), rtol=1e-5
        ):
            raise Failed("The written DICOM-SEG has other directions or spacings than the scan.")


def read_dicom_seg(path: Path) -> SegFile:
    """The segments of a binary, uncompressed DICOM-SEG.

    Raises:
        BadCall: no DICOM-SEG, or of another kind than we write.
    """
    with python_warnings.catch_warnings(), path.open("rb") as file:
        python_warnings.simplefilter("ignore")
        header = pydicom.dcmread(file, stop_before_pixels=True)
        if header.get("Modality") != "SEG" or header.get("SegmentationType") != "BINARY":
            raise BadCall(f"'{path.name}' is no binary DICOM-SEG.")
        syntax = header.file_meta.TransferSyntaxUID
        if syntax.is_compressed or not syntax.is_little_endian:
            raise BadCall(f"'{path.name}' is compressed ({syntax.name}).")
        offset = file.tell() + (8 if syntax.is_implicit_VR else 12)
        shared = header.SharedFunctionalGroupsSequence[0]
        frames = tuple(
            (
                int(_group(item, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber),
                tuple(float(v) for v in _group(item, shared, "PlanePositionSequence").ImagePositionPatient),
            )
            for item in header.PerFrameFunctionalGroupsSequence
        )
        labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in header.SegmentSequence}
    return SegFile(path, header, offset, frames, labels)


def _group(frame: Any, shared: Any, name: str) -> Any:
    """A functional group of a frame: its own, or the one all frames share."""
    return (frame if name in frame else shared)[name][0]
