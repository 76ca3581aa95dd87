"""DICOM SEG written by highdicom and RTSTRUCT written by hand, onto their scan; those of other scans are refused by element."""

import json
import re
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ostensor.tools.desk.desk import Desk

from ...imaging import made_dicom
from ...toys.desks import Ask, Reply

ROWS, COLUMNS, SLICES = 31, 37, 13
FRAME = "1.2.840.999.7"
SECRETS = (*made_dicom.SECRETS, "Secret", FRAME)


def scan_slices(**changes: Any) -> list[Any]:
    """An axial CT of 0.8 x 0.6 x 2.5 mm."""
    slices = []
    for z in range(SLICES):
        data = made_dicom.ct_slice(2.5 * z - 30, FrameOfReferenceUID=FRAME, **changes)
        data.Rows, data.Columns = ROWS, COLUMNS
        data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = data.AccessionNumber = ""
        data.PixelData = (np.arange(ROWS * COLUMNS) % 900 + z).astype(np.uint16).tobytes()
        slices.append(data)
    return slices


@pytest.fixture
def slices(root: Path) -> list[Any]:
    made = scan_slices()
    made_dicom.save(root / "study", made)
    return made


@pytest.fixture
def scan(ask: Ask, slices: list[Any]) -> str:
    return str(ask("open_image", path="study").result["image_id"])


def bodies() -> np.ndarray:
    """(slice row column segment): an L and a bar that overlap, both in some slices only."""
    array = np.zeros((SLICES, ROWS, COLUMNS, 2), np.uint8)
    array[3:6, 4:20, 5:11, 0] = array[3:6, 15:20, 11:25, 0] = array[9, 7, 7, 0] = 1
    array[4:8, 10:28, 9:14, 1] = 1
    return array


def written(path: Path, slices: list[Any], pixels: np.ndarray, kind: str, **options: Any) -> Path:
    described = [
        SegmentDescription(
            segment_number=n,
            segment_label=label,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=code,
            algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
        )
        for n, label, code in ((1, "Segment_1", codes.SCT.Liver), (2, "lt kidney", codes.SCT.Kidney))
    ]
    made = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues[kind],
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=7,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    made.save_as(path)
    return path


def found(desk: Desk, reply: Reply) -> dict[str, np.ndarray]:
    """Masks as (slice row column), by structure."""
    assert not reply.is_error, reply.text
    return {row["structure"]: desk.store.mask(row["mask_id"]).array.T for row in reply.result["masks"]}


@pytest.mark.parametrize("omit", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_binary_segments_with_and_without_their_empty_frames(
    ask: Ask, desk: Desk, scan: str, slices: list[Any], root: Path, omit: bool, order: int
) -> None:
    written(root / "a.dcm", slices[::order], bodies()[::order], "BINARY", omit_empty_frames=omit)
    reply = ask("import_mask", path="a.dcm", image_id=scan)
    masks = found(desk, reply)
    assert np.array_equal(masks["liver"], bodies()[..., 0] > 0), "named by its code, as its label says nothing"
    assert np.array_equal(masks["left kidney"], bodies()[..., 1] > 0)
    assert reply.result["exact"] is True
    said = json.dumps(reply.result) + reply.text
    assert not [word for word in SECRETS if re.search(rf"\b{re.escape(word)}\b", said)]


def test_every_other_slice_alone_is_enough_to_place_a_segment(
    ask: Ask, desk: Desk, scan: str, slices: list[Any], root: Path
) -> None:
    pixels = bodies()
    pixels[[0, 1, 2, 4, 5, 7, 9, 10, 11, 12]] = 0
    written(root / "a.dcm", slices, pixels, "BINARY", omit_empty_frames=True)
    masks = found(desk, ask("import_mask", path="a.dcm", image_id=scan))
    assert np.array_equal(masks["left kidney"], pixels[..., 1] > 0)


def test_fractions_are_cut_at_half_of_their_maximum(
    ask: Ask, desk: Desk, scan: str, slices: list[Any], root: Path
) -> None:
    pixels = np.zeros((SLICES, ROWS, COLUMNS, 2), np.float32)
    pixels[2:4, 3:9, 4:15, 0], pixels[4, 3:9, 4:15, 0], pixels[5, 3:9, 4:15, 0] = 1.0, 0.6, 0.3
    pixels[7, 1:4, 1:9, 1] = 1.0
    pixels[8, 1:4, 1:9, 1] = 0.5  # 100 of 200 exactly
    written(root / "a.dcm", slices, pixels, "FRACTIONAL", fractional_type="PROBABILITY", max_fractional_value=200)
    reply = ask("import_mask", path="a.dcm", image_id=scan)
    assert np.array_equal(found(desk, reply)["liver"], pixels[..., 0] >= 0.5)
    assert np.array_equal(found(desk, reply)["left kidney"], pixels[..., 1] >= 0.5)
    row = reply.result["masks"][0]
    assert row["file_ml"] == pytest.approx(float(pixels[..., 0].sum()) * 0.8 * 0.6 * 2.5 / 1000, rel=1e-2)
    assert "cut at 0.5" in json.dumps(reply.result)


def test_label_maps_of_the_new_kind(ask: Ask, desk: Desk, scan: str, slices: list[Any], root: Path) -> None:
    values = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    values[3:6, 4:20, 5:11], values[5:8, 10:28, 19:24] = 1, 2
    written(root / "a.dcm", slices, values, "LABELMAP")
    masks = found(desk, ask("import_mask", path="a.dcm", image_id=scan))
    assert np.array_equal(masks["liver"], values == 1)
    assert np.array_equal(masks["left kidney"], values == 2)


@pytest.mark.parametrize(
    ("changes", "element"),
    [
        ({"FrameOfReferenceUID": "1.2.840.999.8"}, "FrameOfReferenceUID"),
        ({"StudyInstanceUID": "1.2.840.999.9"}, "StudyInstanceUID"),
        ({"PatientID": "4712"}, "PatientID"),
        ({"PatientBirthDate": "19560204"}, "PatientBirthDate"),
    ],
)
def test_objects_of_another_scan_are_refused_by_element(
    ask: Ask, scan: str, root: Path, slices: list[Any], changes: dict[str, str], element: str
) -> None:
    made = scan_slices()
    for data in made:
        for keyword, value in changes.items():
            setattr(data, keyword, value)
    written(root / "a.dcm", made, bodies(), "BINARY")
    reply = ask("import_mask", path="a.dcm", image_id=scan)
    assert reply.is_error
    assert f"differs from the image in {element}." in reply.text
    assert not [word for word in (*SECRETS, *changes.values()) if re.search(rf"\b{re.escape(word)}\b", reply.text)]
    path = structure_set(root / "b.dcm", {"liver": [box(3)]}, **changes)
    if element == "FrameOfReferenceUID":
        data = pydicom.dcmread(path)
        data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = changes[element]
        data.save_as(path)
    assert element in ask("import_mask", path="b.dcm", image_id=scan).text


def box(z: float, low: tuple[float, float] = (4.5, 6.5), high: tuple[float, float] = (14.5, 20.5)) -> list[float]:
    """Corners, mm, LPS, of columns 5 to 14 and rows 7 to 20 in a slice: 10 x 14 voxels."""
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    return [v for c, r in corners for v in (10 + 0.6 * c, 20 + 0.8 * r, 2.5 * z - 30)]


def structure_set(
    path: Path, regions: dict[str, list[list[float]]], kind: str = "CLOSED_PLANAR", **changes: str
) -> Path:
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.PatientBirthDate = made_dicom.SECRETS[:3]
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2.840.999.1", generate_uid(), "RTSTRUCT"
    data.StructureSetROISequence = [
        made_dicom.item(ROINumber=n, ROIName=name, ReferencedFrameOfReferenceUID=FRAME)
        for n, name in enumerate(regions, start=1)
    ]
    data.ROIContourSequence = [
        made_dicom.item(
            ReferencedROINumber=n,
            ContourSequence=[
                made_dicom.item(ContourGeometricType=kind, NumberOfContourPoints=len(c) // 3, ContourData=c)
                for c in contours
            ],
        )
        for n, contours in enumerate(regions.values(), start=1)
    ]
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return path


def test_outlines_fill_what_they_enclose(ask: Ask, desk: Desk, scan: str, root: Path) -> None:
    hole = box(4, (7.5, 9.5), (11.5, 15.5))
    structure_set(root / "a.dcm", {"Kidney_L": [box(3), box(4), hole], "SpinalCord": [box(9)]})
    reply = ask("import_mask", path="a.dcm", image_id=scan)
    expected = np.zeros((SLICES, ROWS, COLUMNS), bool)
    expected[3:5, 7:21, 5:15] = True
    expected[4, 10:16, 8:12] = False
    masks = found(desk, reply)
    assert np.array_equal(masks["left kidney"], expected)
    assert masks["spinal cord"].sum() == 140
    row = reply.result["masks"][0]
    assert "not voxel by voxel" in reply.text
    assert "in the file" not in reply.text, "volumes are said twice only where they differ"
    assert row["file_ml"] == row["volume_ml"] == pytest.approx((140 + 140 - 24) * 0.6 * 0.8 * 2.5 / 1000, abs=1e-3)


def test_outlines_between_slices_need_to_be_asked_for(ask: Ask, desk: Desk, scan: str, root: Path) -> None:
    """Planes at 3.5, 5.5, 7.5 slices: each fills the two it lies between, and the volume stays."""
    structure_set(root / "a.dcm", {"liver": [box(3.5), box(5.5), box(7.5)]})
    refusal = ask("import_mask", path="a.dcm", image_id=scan)
    assert refusal.is_error
    assert "Of 3 contours of 'a.dcm' 3 lie between the slices" in refusal.text
    reply = ask("import_mask", path="a.dcm", image_id=scan, resample=True)
    filled = found(desk, reply)["liver"].any(axis=(1, 2))
    assert list(np.flatnonzero(filled)) == [3, 4, 5, 6, 7, 8]
    row = reply.result["masks"][0]
    assert row["file_ml"] == pytest.approx(row["volume_ml"], abs=2e-3)


def test_points_and_contours_outside_are_dropped_and_counted(ask: Ask, scan: str, root: Path) -> None:
    structure_set(root / "a.dcm", {"liver": [box(3)[:3]]}, "POINT")
    row = ask("import_mask", path="a.dcm", image_id=scan).result["masks"][0]
    assert row["mask_id"] is None
    assert row["warnings"][0] == "1 contours that are points or open lines were left out."
    structure_set(root / "b.dcm", {"liver": [box(3), box(20), box(3)[:6] * 2]})
    assert ask("import_mask", path="b.dcm", image_id=scan).is_error
    row = ask("import_mask", path="b.dcm", image_id=scan, resample=True).result["masks"][0]
    assert "1 contours that enclose nothing were left out." in row["warnings"]
    assert "1 contours outside the image were left out." in row["warnings"]
    assert row["voxels"] == 140


def test_a_region_named_after_the_patient_is_not_shown(ask: Ask, scan: str, root: Path) -> None:
    structure_set(root / "a.dcm", {"GTV Secret 4711": [box(3)], "PTV\x1b[31m": [box(4)], "GTV_Secret_1": [box(5)]})
    reply = ask("import_mask", path="a.dcm", image_id=scan)
    assert [row["structure"] for row in reply.result["masks"]] == ["label 1", "PTV [31m", "label 3"]
    assert "Secret" not in json.dumps(reply.result) + reply.text


def test_objects_on_a_scan_that_is_no_dicom_are_placed_by_geometry_and_that_is_said(
    ask: Ask, desk: Desk, image_id: str, root: Path, slices: list[Any]
) -> None:
    written(root / "a.dcm", slices, bodies(), "BINARY")
    reply = ask("import_mask", path="a.dcm", image_id=image_id)
    assert reply.is_error
    assert "another grid" in reply.text
    reply = ask("import_mask", path="a.dcm", image_id=image_id, resample=True)
    assert "judged by its geometry alone" in " ".join(reply.result["warnings"])


def test_a_scan_whose_identity_is_not_kept_takes_no_dicom_object(ask: Ask, desk: Desk, scan: str, root: Path) -> None:
    structure_set(root / "a.dcm", {"liver": [box(3)]})
    desk.store.sources.forget(scan)
    assert "is not kept in this store" in ask("import_mask", path="a.dcm", image_id=scan).text


def test_a_folder_with_two_objects_and_one_that_is_damaged(ask: Ask, scan: str, root: Path, slices: list[Any]) -> None:
    (root / "objects").mkdir()
    written(root / "objects" / "a.dcm", slices, bodies(), "BINARY")
    assert not ask("import_mask", path="objects", image_id=scan).is_error
    structure_set(root / "objects" / "b.dcm", {"liver": [box(3)]})
    assert (
        "holds 2 DICOM segmentations or structure sets (RTSTRUCT, SEG)"
        in ask("import_mask", path="objects", image_id=scan).text
    )
    content = (root / "objects" / "a.dcm").read_bytes()
    (root / "cut.dcm").write_bytes(content[:-2000])
    assert ask("import_mask", path="cut.dcm", image_id=scan).is_error
    assert "import_mask" in ask("open_image", path="objects/b.dcm").text
    assert "holds 0 DICOM segmentations" in ask("import_mask", path="study", image_id=scan).text
