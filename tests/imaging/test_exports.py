"""Masks out: what other libraries find in the files, what the receipt says, and what is refused."""

import dataclasses
import os
import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from ostensor.imaging import exports
from ostensor.imaging.dicom.rtstruct import read_rtstruct
from ostensor.imaging.dicom.seg import read_dicom_seg, write_dicom_seg
from ostensor.imaging.dicom.source import DicomSource, made_up_source
from ostensor.imaging.errors import BadCall, Failed
from ostensor.imaging.exports import write_masks
from ostensor.imaging.files import read_image
from ostensor.imaging.formats.segments import Segment, receipt, split_overlapping
from ostensor.imaging.formats.structure_codes import structure_code
from ostensor.imaging.formats.table import VOLUME_MASK_FORMATS
from ostensor.imaging.volume import Grid, Mask

from .made_dicom import COLUMNS, ROWS, ct_slice, enhanced_mr, save

SHAPE = (11, 13, 7)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("zyx", (97, 14, -26), degrees=True).as_matrix() @ np.diag([0.7, -0.9, 3.0])
AFFINE[:3, 3] = (-31.3, 17.9, 5.5)
GRID = Grid(SHAPE, AFFINE)
SOURCE = made_up_source("img_1", SHAPE[2], "ct")


def ring() -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.bool_)
    array[2:9, 3:12, 1:6] = True
    array[4:6, 5:9, 2:5] = False
    array[9, 1, 2] = True
    return array


def segment(array: np.ndarray, name: str = "left kidney", grid: Grid = GRID) -> Segment:
    mask = Mask(array, grid)
    handle = f"msk_{name.replace(' ', '')[:12]}"
    return Segment(handle, name, structure_code(name), lambda: mask, algorithm="toy-net", version="1.2")


def written(folder: Path, format: str, segments: list[Segment], source: DicomSource = SOURCE) -> list[exports.Written]:
    grid = segments[0].load().grid
    return write_masks(folder, segments, grid, format=format, source=source)


@pytest.mark.parametrize("format", VOLUME_MASK_FORMATS)
def test_the_receipt_says_that_the_mask_came_back(tmp_path: Path, format: str) -> None:
    rows = written(tmp_path, format, [segment(ring()), segment(np.roll(ring(), 1, axis=0), "spleen")])
    assert [row.receipt.dice for row in rows] == [1.0, 1.0]
    assert [row.receipt.centroid_offset_mm for row in rows] == [0.0, 0.0]
    assert len({row.path for row in rows}) == (1 if format in ("dicom_seg", "rtstruct") else 2)
    assert all(row.path.exists() for row in rows)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_the_receipt_measures_disagreement() -> None:
    """Analytic: a block of 6 voxels moved by one voxel of 3 mm shares 4 of them: Dice 8/12."""
    one, other = np.zeros(SHAPE, np.bool_), np.zeros(SHAPE, np.bool_)
    one[4:6, 5, 1:4], other[4:6, 5, 2:5] = True, True
    found = receipt(Mask(one, GRID), other)
    assert found.dice == pytest.approx(8 / 12)
    assert found.centroid_offset_mm == pytest.approx(3.0)
    same = receipt(Mask(one, GRID), np.ascontiguousarray(one.T).T)
    assert (same.dice, same.centroid_offset_mm) == (1.0, 0.0), "memory order does not matter"
    assert receipt(Mask(one, GRID), np.zeros_like(one)).dice == 0


@pytest.mark.parametrize("format", ["nifti", "nrrd", "dicom_seg", "rtstruct", "stl"])
def test_a_file_that_does_not_come_back_is_removed(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write goes wrong on the way to disk: the mask is mirrored."""
    good, flipped = segment(ring()), segment(ring()[:, ::-1])
    loads = iter([good.load(), good.load(), flipped.load()])  # for the grid, for the file, to compare with
    if format in ("dicom_seg", "rtstruct"):
        lying = dataclasses.replace(good, load=lambda: next(loads))
    else:
        lying = good
        real = exports.receipt
        monkeypatch.setattr(exports, "receipt", lambda mask, back, **more: real(flipped.load(), back, **more))
    with pytest.raises(Failed, match=r"reads back with Dice 0\.\d+"):
        written(tmp_path, format, [lying])
    assert not list(tmp_path.iterdir())


def test_highdicom_reads_the_segmentation_with_codes_and_every_frame(tmp_path: Path) -> None:
    path = written(tmp_path, "dicom_seg", [segment(ring()), segment(~ring(), "liver")])[0].path
    found = highdicom.seg.segread(path)
    assert found.number_of_segments == 2
    assert len(found.PerFrameFunctionalGroupsSequence) == 2 * SHAPE[2], "empty frames are written"
    kidney, liver = found.SegmentSequence
    assert kidney.SegmentLabel == "left kidney"
    assert kidney.SegmentedPropertyTypeCodeSequence[0].CodeValue == "64033007"
    modifier = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert modifier.CodeMeaning == "Left"
    assert kidney.SegmentAlgorithmName == "toy-net"
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Liver"
    volume = found.get_volume()
    both = volume.match_geometry(
        highdicom.VolumeGeometry(
            np.diag([-1, -1, 1, 1]) @ AFFINE[:, [2, 1, 0, 3]], SHAPE[::-1], coordinate_system="PATIENT"
        )
    ).array
    np.testing.assert_array_equal(both[..., 0].T > 0, ring())
    np.testing.assert_array_equal(both[..., 1].T > 0, ~ring())


@pytest.mark.parametrize("format", ["dicom_seg", "rtstruct"])
def test_words_in_the_place_of_dates_and_numbers_are_left_out_and_said(tmp_path: Path, format: str) -> None:
    study = {
        "00080020": {"vr": "DA", "Value": ["Olive"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Secret^Name"}]},
        "00100030": {"vr": "DA", "Value": ["20200230"]},
        "00100040": {"vr": "CS", "Value": ["Olive"]},
        "00101010": {"vr": "AS", "Value": ["57 years"]},
        "0020000D": {"vr": "UI", "Value": ["no-uid"]},
    }
    source = dataclasses.replace(SOURCE, study={**SOURCE.study, **study})
    (row,) = written(tmp_path, format, [segment(ring())], source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns of every value that is none
        data = pydicom.dcmread(row.path)
        assert [data.get(k) or "" for k in ("StudyDate", "PatientBirthDate", "PatientSex", "PatientAge")] == [""] * 4
        assert data.StudyInstanceUID.is_valid
    assert str(data.PatientName) == "Secret^Name", "what is sound is kept"
    (note,) = row.receipt.warnings[:1]
    for word in ("StudyDate", "PatientBirthDate", "PatientSex", "PatientAge", "StudyInstanceUID"):
        assert word in note
    assert "Olive" not in note


@pytest.mark.parametrize("format", ["dicom_seg", "rtstruct"])
def test_a_scan_of_a_class_of_its_own_is_referred_to_by_that_class(tmp_path: Path, format: str) -> None:
    private = "1.2.826.0.1.3680043.2.1125.77.12"
    source = dataclasses.replace(
        SOURCE, instances=tuple(dataclasses.replace(i, sop_class=private) for i in SOURCE.instances)
    )
    (row,) = written(tmp_path, format, [segment(ring())], source)
    own = {instance.sop_uid for instance in source.instances}
    named = [
        str(data.ReferencedSOPClassUID)
        for data in _every_item(pydicom.dcmread(row.path))
        if data.get("ReferencedSOPInstanceUID") in own
    ]
    assert named
    assert set(named) == {private}
    assert any("SOP class" in warning for warning in row.receipt.warnings)


def _every_item(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    below = [one for element in data if element.VR == "SQ" for part in element.value for one in _every_item(part)]
    return [data, *below]


def test_frames_without_the_structure_are_left_out_only_when_asked(tmp_path: Path) -> None:
    write_dicom_seg(tmp_path / "a.dcm", [segment(ring())], GRID, source=SOURCE, omit_empty_frames=True)
    found = read_dicom_seg(tmp_path / "a.dcm")
    assert len(found.frames) == 5
    np.testing.assert_array_equal(found.segment(1, GRID), ring())


def test_overlapping_masks_share_a_file_or_are_split_when_they_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = [segment(ring()), segment(np.roll(ring(), 1, axis=1), "liver"), segment(~ring(), "spleen")]
    rows = written(tmp_path, "dicom_seg", three)
    assert len({row.path for row in rows}) == 1
    assert str(pydicom.dcmread(rows[0].path).SegmentsOverlap) == "YES"
    monkeypatch.setattr("ostensor.imaging.formats.segments._STACK_LIMIT_BYTES", 1000)
    groups = split_overlapping(three, GRID)
    assert [[s.label for s in group] for group in groups] == [["left kidney", "spleen"], ["liver"]]


def test_our_reader_agrees_with_highdicom_on_its_own_files(shared_data: Path) -> None:
    """Files of highdicom's test suite, with overlapping segments, written years ago."""
    path = shared_data / "highdicom_dicom" / "seg_image_ct_binary_overlap.dcm"
    theirs = highdicom.seg.segread(path).get_volume()
    affine = (np.diag([-1, -1, 1, 1]) @ theirs.affine)[:, [2, 1, 0, 3]]
    grid = Grid(theirs.spatial_shape[::-1], affine)
    ours = read_dicom_seg(path)
    for number in ours.labels:
        np.testing.assert_array_equal(ours.segment(number, grid).T, theirs.array[..., number - 1] > 0)


def test_real_structure_sets_fill_to_the_masks_of_the_same_patient(shared_data: Path) -> None:
    """The sarcoma data set: RTSTRUCT and NIfTI mask of one contour; their own rasterisation, so not every edge voxel."""
    folder = shared_data / "sts_ibsi"
    for kind in ("CT", "MR_T1"):
        mask = read_image(folder / "nifti" / "STS_019" / f"{kind}_mask.nii.gz", modality="unknown").volume
        assert mask is not None
        region = read_rtstruct(folder / "dicom" / "STS_019" / kind / "mask" / "RS.dcm")[0]
        found = receipt(Mask(mask.array > 0, mask.grid), region.on(mask.grid))
        assert found.dice > 0.95, kind
        assert found.centroid_offset_mm is not None
        assert found.centroid_offset_mm < 1.0


def test_written_dicom_belongs_to_the_study_of_its_scan(tmp_path: Path) -> None:
    opened = read_image(save(tmp_path / "ct", [ct_slice(h) for h in (0.0, 2.5, 5.0)]))
    assert opened.volume is not None
    assert opened.source is not None
    grid = opened.volume.grid
    array = np.zeros(grid.shape, np.bool_)
    array[1:4, 2:5, 1] = True
    uids = [instance.sop_uid for instance in opened.source.instances]
    for format in ("dicom_seg", "rtstruct"):
        data = pydicom.dcmread(written(tmp_path, format, [segment(array, grid=grid)], opened.source)[0].path)
        assert (str(data.PatientName), data.PatientID) == ("Secret^Name", "4711")
        assert data.StudyInstanceUID == "1.2.840.999.1"
        assert data.SeriesInstanceUID != "1.2.840.999.2"
        if format == "rtstruct":
            images = [
                c.ContourImageSequence[0].ReferencedSOPInstanceUID for c in data.ROIContourSequence[0].ContourSequence
            ]
            assert images == [uids[1]]
            assert data.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0].CodeValue == "64033007"
        else:
            frames = {
                float(f.PlanePositionSequence[0].ImagePositionPatient[2]): str(
                    f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
                )
                for f in data.PerFrameFunctionalGroupsSequence
            }
            assert frames == dict(zip((0.0, 2.5, 5.0), uids, strict=True))


def test_a_mask_of_an_enhanced_scan_refers_to_its_frames(tmp_path: Path) -> None:
    opened = read_image(save(tmp_path / "mr", [enhanced_mr([6.0, 0.0, 3.0])]))
    assert opened.volume is not None
    assert opened.source is not None
    array = np.zeros((COLUMNS, ROWS, 3), np.bool_)
    array[1:4, 2:5, 1:] = True
    for format in ("dicom_seg", "rtstruct"):
        row = written(tmp_path, format, [segment(array, grid=opened.volume.grid)], opened.source)[0]
        assert row.receipt.dice == 1.0
    data = pydicom.dcmread(row.path)
    numbers = [
        c.ContourImageSequence[0].ReferencedFrameNumber for c in data.ROIContourSequence[0].ContourSequence
    ]  # fmt: skip
    assert numbers == [3, 1], "heights 3 and 6 are the third and the first frame"


def test_a_tilted_gantry_survives_dicom_and_is_refused_by_nrrd(tmp_path: Path) -> None:
    slices = [ct_slice(h, ImagePositionPatient=[10.0, 20.0 + 0.3 * h, h]) for h in (0.0, 2.5, 5.0)]
    opened = read_image(save(tmp_path / "ct", slices))
    assert opened.volume is not None
    assert opened.source is not None
    array = np.zeros(opened.volume.grid.shape, np.bool_)
    array[1:4, 2:5, 1:] = True
    for format in ("nifti", "dicom_seg", "rtstruct", "stl"):
        assert written(tmp_path, format, [segment(array, grid=opened.volume.grid)], opened.source)[0].receipt.dice == 1
    with pytest.raises(BadCall, match="sheared"):
        written(tmp_path, "nrrd", [segment(array, grid=opened.volume.grid)], opened.source)


@pytest.mark.parametrize("format", VOLUME_MASK_FORMATS)
def test_a_mask_from_another_grid_of_the_same_shape_is_refused(tmp_path: Path, format: str) -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += (0, 0, 2.0)
    for other in (moved, AFFINE @ np.diag([-1, 1, 1, 1]), AFFINE @ np.diag([1.01, 1, 1, 1])):
        stranger = segment(ring(), "spleen", Grid(SHAPE, other))
        with pytest.raises((BadCall, Failed), match="grid"):
            write_masks(tmp_path, [segment(ring()), stranger], GRID, format=format, source=SOURCE)


@pytest.mark.parametrize("format", ["dicom_seg", "rtstruct", "stl"])
def test_formats_in_mm_refuse_scans_without_voxel_size(tmp_path: Path, format: str) -> None:
    with pytest.raises(BadCall, match="voxel size is not known"):
        written(tmp_path, format, [segment(ring(), grid=Grid(SHAPE, AFFINE, spacing_known=False))])
    sheared = AFFINE @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    if format != "stl":
        with pytest.raises(BadCall, match="sheared within its slices"):
            written(tmp_path, format, [segment(ring(), grid=Grid(SHAPE, sheared))])


FLAT = ring()[:, :, 3:4]
PLACELESS = Grid(FLAT.shape, np.diag([-1.0, -1.0, 1.0, 1.0]), spacing_known=False)


@pytest.mark.parametrize("format", ["nifti", "nrrd", "png"])
def test_a_mask_on_a_picture_leaves_exactly_and_claims_no_size(tmp_path: Path, format: str) -> None:
    (row,) = written(tmp_path, format, [segment(FLAT, grid=PLACELESS)])
    assert row.receipt.dice == 1.0
    assert row.receipt.centroid_offset_mm is None
    back = read_image(row.path)
    assert back.volume is not None
    assert not back.volume.grid.spacing_known
    np.testing.assert_array_equal(back.volume.array > 0, FLAT)
    if format == "png":
        picture = np.asarray(Image.open(row.path))
        np.testing.assert_array_equal(picture, FLAT[:, :, 0].T * 255, err_msg="rows run down, as in the picture")


@pytest.mark.parametrize("format", ["nifti", "nrrd"])
def test_a_mask_on_a_scan_without_voxel_size_leaves_exactly(tmp_path: Path, format: str) -> None:
    (row,) = written(tmp_path, format, [segment(ring(), grid=Grid(SHAPE, np.eye(4), spacing_known=False))])
    back = read_image(row.path).volume
    assert back is not None
    assert (row.receipt.dice, back.grid.spacing_known) == (1.0, False)
    np.testing.assert_array_equal(back.array > 0, ring())


@pytest.mark.parametrize("format", ["nifti", "nrrd", "png"])
def test_a_mask_of_one_placed_slice_leaves_exactly(tmp_path: Path, format: str) -> None:
    (row,) = written(tmp_path, format, [segment(FLAT, grid=Grid(FLAT.shape, AFFINE))])
    assert row.receipt.dice == 1.0
    assert bool(row.receipt.warnings) == (format == "png"), "what a PNG cannot hold is said"


def test_a_png_holds_one_slice_and_marks_what_is_synthetic(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="7 slices"):
        written(tmp_path, "png", [segment(ring())])
    assert not list(tmp_path.iterdir())
    made = segment(FLAT, grid=PLACELESS)
    row = write_masks(tmp_path, [made], PLACELESS, format="png", source=SOURCE, synthetic=True)[0]
    back = read_image(row.path).volume
    assert back is not None
    assert back.synthetic


def test_the_mark_of_synthetic_scans_is_in_every_format(tmp_path: Path) -> None:
    for format in VOLUME_MASK_FORMATS:
        row = write_masks(tmp_path, [segment(ring())], GRID, format=format, source=SOURCE, synthetic=True)[0]
        if format in ("nifti", "nrrd"):
            back = read_image(row.path).volume
            assert back is not None
            assert back.synthetic
        else:
            assert b"ynthetic image" in row.path.read_bytes()[:4000]


def test_the_same_masks_give_the_same_uids_and_replace_their_file(tmp_path: Path) -> None:
    first, second = (pydicom.dcmread(written(tmp_path, "dicom_seg", [segment(ring())])[0].path) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert len(list(tmp_path.iterdir())) == 1
    assert os.listdir(tmp_path)[0].startswith("dicom_seg_left_kidney_msk_")  # noqa: PTH208  # names only
