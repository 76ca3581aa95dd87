"""Export and DICOM through the tools, as a client sees them: receipts, files, and no identifier in any answer."""

import json
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...toys.desks import Ask, save, toy_scan

SECRETS = ("Secret^Name", "Secret", "4711", "1.2.840.999", "Hospital")


def series(
    folder: Path,
    array: np.ndarray,
    *,
    uid: str = "1.2.840.999.2",
    who: tuple[str, str, str] = ("Secret^Name", "4711", "1.2.840.999.1"),
) -> Path:
    """The scan as a DICOM series of a named patient; the slices have the same UIDs in every copy.

    Args:
        who: PatientName, PatientID and StudyInstanceUID.
    """
    folder.mkdir()
    for z in range(array.shape[2]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[uid, str(z)])
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        data.PatientName, data.PatientID, data.StudyInstanceUID = who
        data.InstitutionName = "Hospital of Secrets"
        data.SeriesDescription = "Secret^Name abdomen"
        data.SeriesInstanceUID = uid
        data.Rows, data.Columns, data.SamplesPerPixel = array.shape[1], array.shape[0], 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelSpacing, data.SliceThickness = [0.9, 0.8], 3
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-20, -30, -50 + 3 * z]
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = np.ascontiguousarray(array[:, :, z].T).astype("<i2").tobytes()
        data.save_as(folder / f"{(z * 7) % 29:03d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def liver(ask: Ask, root: Path) -> str:
    series(root / "study", toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17))))
    image = ask("open_image", path="study").result["image_id"]
    return str(ask("segment", image_id=image, structures=["liver"], wait_s=120).result["masks"][0]["mask_id"])


@pytest.mark.parametrize("format", ["dicom_seg", "rtstruct", "stl", "nifti", "nrrd"])
def test_every_format_answers_with_its_receipt(ask: Ask, liver: str, format: str) -> None:
    reply = ask("export", mask_ids=[liver], folder=".", format=format)
    assert not reply.is_error, reply.text
    row = reply.result["files"][0]
    assert (row["readback_dice"], row["centroid_offset_mm"], row["format"]) == (1.0, 0.0, format)
    assert (reply.result["smallest_dice"], reply.result["largest_offset_mm"]) == (1.0, 0.0)
    assert "Dice at least 1.0000, centroids at most 0.000 mm apart" in reply.text
    assert row["warnings"] == []


def test_the_patient_is_in_the_file_and_in_no_answer(ask: Ask, desk: Desk, root: Path, liver: str) -> None:
    said = [ask("export", mask_ids=[liver], folder=".", format=kind) for kind in ("dicom_seg", "rtstruct")]
    files = [root / reply.result["files"][0]["path"] for reply in said]
    for path in files:
        data = pydicom.dcmread(path)
        assert (str(data.PatientName), data.PatientID, data.StudyInstanceUID) == (
            "Secret^Name",
            "4711",
            "1.2.840.999.1",
        )
    series(root / "again", toy_scan(), uid="1.2.840.999.3")
    said += [
        ask("open_image", path="study"),
        ask("open_image", path="."),
        ask("open_image", path="again", series="ser_no"),
        ask("open_image", path=str(files[0].name)),
        ask("measure", mask_ids=[liver]),
    ]
    records = [vars(record) for record in desk.store.images()]
    answered = json.dumps([vars(reply) for reply in said]) + repr([record["facts"] for record in records])
    assert not [secret for secret in SECRETS if secret in answered], answered


ANONYMOUS = ("ANON^1", "ANON-1", "1.2.840.998.1")
NAMED = ("Secret^Name", "4711", "1.2.840.999.1")


def identity_of(ask: Ask, root: Path, image_id: str, format: str) -> tuple[str, str, str]:
    """PatientName, PatientID and StudyInstanceUID of a mask of the image, written and read by pydicom."""
    mask = ask("segment", image_id=image_id, structures=["liver"], wait_s=120).result["masks"][0]["mask_id"]
    data = pydicom.dcmread(root / ask("export", mask_ids=[mask], format=format).result["files"][0]["path"])
    return str(data.PatientName), data.PatientID, data.StudyInstanceUID


@pytest.mark.parametrize("format", ["dicom_seg", "rtstruct"])
@pytest.mark.parametrize("last", [ANONYMOUS, NAMED])
def test_an_export_carries_the_identity_of_its_own_opening(
    ask: Ask, root: Path, format: str, last: tuple[str, str, str]
) -> None:
    """An anonymised scan, its original and a NIfTI of the same voxels, each opened before and after the others."""
    scan = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    for name, who in (("anonymous", ANONYMOUS), ("named", NAMED)):
        series(root / name, scan, who=who)
    affine = np.diag([-0.8, -0.9, 3.0, 1.0])
    affine[:3, 3] = (20.0, 30.0, -50.0)
    save(root / "plain.nii.gz", scan, affine)
    order = ["plain.nii.gz", "anonymous", "named", "plain.nii.gz"]
    if last == ANONYMOUS:
        order.reverse()
    opened = [(path, ask("open_image", path=path, modality="ct").result["image_id"]) for path in order]
    images = dict(opened)
    assert len(set(images.values())) == 3
    assert opened[0] == opened[-1], "the same file again has the same handle"
    assert identity_of(ask, root, images["anonymous"], format) == ANONYMOUS
    assert identity_of(ask, root, images["named"], format) == NAMED
    name, number, study = identity_of(ask, root, images["plain.nii.gz"], format)
    assert (name, number) == ("Anonymous^", f"ostensor-{images['plain.nii.gz']}")
    assert study not in {ANONYMOUS[2], NAMED[2]}


def test_the_same_files_have_the_same_handle_in_another_store(ask: Ask, root: Path, tmp_path: Path) -> None:
    series(root / "study", toy_scan())
    first = ask("open_image", path="study").result["image_id"]
    assert ask("open_image", path="study").result["image_id"] == first
    with Desk(Settings(store=tmp_path / "other", roots=(root,))) as other:
        assert use(other, "open_image", path="study").result.image_id == first  # type: ignore[attr-defined]


def test_a_scan_whose_identity_is_not_kept_is_not_written_as_somebodys(ask: Ask, desk: Desk, liver: str) -> None:
    """Stores of earlier versions named sources by voxels: such a file must not be taken for this image's."""
    image = desk.store.image(desk.store.mask_record(liver).image_id)
    old = desk.store.sources.folder / image.content_hash[:2] / f"{image.content_hash}.json.gz"
    old.parent.mkdir(exist_ok=True)
    desk.store.sources.path(image.image_id).rename(old)
    for format in ("dicom_seg", "rtstruct"):
        reply = ask("export", mask_ids=[liver], format=format)
        assert reply.is_error
        assert "Open the scan again" in reply.text
    assert not ask("export", mask_ids=[liver], format="nifti").is_error
    desk.store.gc(older_than_s=0)
    assert not old.exists()


def test_the_segmentation_names_model_and_structure(ask: Ask, root: Path, liver: str) -> None:
    path = root / ask("export", mask_ids=[liver], format="dicom_seg").result["files"][0]["path"]
    segment = highdicom.seg.segread(path).SegmentSequence[0]
    assert segment.SegmentLabel == "liver"
    assert segment.SegmentAlgorithmName == "toy-ct"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"


def test_a_scan_that_was_no_dicom_says_so(ask: Ask, image_id: str) -> None:
    rows = ask("segment", image_id=image_id, structures=["liver", "spleen"], wait_s=120).result["masks"]
    reply = ask("export", mask_ids=[row["mask_id"] for row in rows], format="dicom_seg")
    assert len({row["path"] for row in reply.result["files"]}) == 1
    assert "made up for it" in reply.text


def test_formats_and_folders_that_do_not_exist_are_refused(ask: Ask, liver: str) -> None:
    for arguments, fact in (
        ({"format": "dicom"}, "'format'"),
        ({"folder": "study/000.dcm"}, "is a file"),
        ({"mask_ids": []}, "'mask_ids'"),
    ):
        reply = ask("export", **{"mask_ids": [liver], **arguments})
        assert reply.is_error
        assert fact in reply.text


def test_a_stored_source_goes_with_its_image(ask: Ask, desk: Desk, liver: str) -> None:
    folder = desk.store.folder / "sources"
    assert len(list(folder.glob("??/*.json.gz"))) == 1
    desk.store.gc(older_than_s=0)
    assert len(list(folder.glob("??/*.json.gz"))) == 1
    desk.store.remove_image(desk.store.mask_record(liver).image_id)
    assert desk.store.gc(older_than_s=0) > 0
    assert not list(folder.glob("??/*.json.gz"))


def test_a_mask_drawn_on_a_picture_is_exported_as_png_and_as_nifti(ask: Ask, desk: Desk, root: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (19, 23)).astype(np.uint8)
    Image.fromarray(grey).save(root / "slice.png")
    image = ask("open_image", path="slice.png", modality="xr").result["image_id"]
    array = np.zeros((23, 19, 1), bool)
    array[3:9, 2:5] = True
    mask = Mask(array, desk.store.image(image).grid)
    handle = desk.store.add_mask(mask, image_id=image, structure="liver", made_by="test").mask_id
    for format in ("png", "nifti", "nrrd"):
        reply = ask("export", mask_ids=[handle], folder=".", format=format)
        assert not reply.is_error, reply.text
        assert reply.result["smallest_dice"] == 1.0
    png = root / next(root.glob("liver_*.png")).name
    np.testing.assert_array_equal(np.asarray(Image.open(png)) > 0, array[:, :, 0].T)
