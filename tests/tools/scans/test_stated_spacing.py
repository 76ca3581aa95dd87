"""A voxel size that the user states: only where the file has none, marked in every number, and another image."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK

from ostensor.imaging.formats.nifti import STATED_NOTE
from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk

from ...imaging import made_dicom
from ...toys.desks import Ask, Reply, save, toy_scan

SAID = "is stated by the user, not by the file"
LIVER = (slice(8, 25), slice(10, 30), slice(5, 17))


@pytest.fixture
def sizeless(root: Path) -> str:
    """A NIfTI that tells no voxel size: neither form, and sizes of zero."""
    image = nibabel.Nifti1Image(toy_scan(liver=LIVER), np.eye(4))
    image.set_sform(np.eye(4), 0)
    image.set_qform(np.eye(4), 0)
    content = bytearray(image.to_bytes())
    content[80:92] = bytes(12)  # pixdim[1..3]; nifti1.h
    (root / "sizeless.nii").write_bytes(content)
    return "sizeless.nii"


def opened(ask: Ask, path: str, **options: object) -> Reply:
    reply = ask("open_image", path=path, modality="ct", **options)
    assert not reply.is_error, reply.text
    return reply


def test_it_makes_another_image_whose_every_number_says_so(ask: Ask, sizeless: str) -> None:
    bare, stated, other = (
        opened(ask, sizeless, **options)
        for options in ({}, {"spacing_mm": [0.7, 0.9, 3]}, {"spacing_mm": [0.7, 0.9, 2]})
    )
    assert len({one.result["image_id"] for one in (bare, stated, other)}) == 3
    assert stated.result["spacing_mm"] == [0.7, 0.9, 3.0]
    assert "0.7 x 0.9 x 3 mm is stated by the user" in stated.text
    image = stated.result["image_id"]
    answer = ask("segment", image_id=image, structures=["liver"], wait_s=120)
    row = answer.result["masks"][0]
    assert row["volume_ml"] == pytest.approx(17 * 20 * 12 * 0.7 * 0.9 * 3 / 1000, rel=0.05)
    mask = row["mask_id"]
    for reply in (
        answer,
        ask("measure", mask_ids=[mask]),
        ask("compare_masks", mask_a=mask, mask_b=mask),
        ask("edit_mask", operation="grow", mask_ids=[mask], amount_mm=3),
        ask("assess_mask", mask_id=mask, methods=["plausibility"]),
        ask("export", mask_ids=[mask]),
    ):
        assert not reply.is_error, reply.text
        assert SAID in reply.text
        assert any(SAID in warning for warning in reply.result["image_warnings"])


def test_a_file_that_says_the_same_is_yet_another_image(ask: Ask, root: Path, sizeless: str) -> None:
    save(root / "known.nii.gz", toy_scan(liver=LIVER), np.diag([0.7, 0.9, 3, 1]))
    known = opened(ask, "known.nii.gz")
    stated = opened(ask, sizeless, spacing_mm=[0.7, 0.9, 3])
    assert known.result["spacing_mm"] == stated.result["spacing_mm"]
    assert known.result["image_id"] != stated.result["image_id"]
    again = opened(ask, "known.nii.gz", spacing_mm=[0.7, 0.9, 3])
    assert again.result["image_id"] == known.result["image_id"], "the file's own size, said again, is the file's"
    assert SAID not in again.text


def test_a_size_of_the_file_is_never_replaced(ask: Ask) -> None:
    reply = ask("open_image", path="ct.nii.gz", spacing_mm=[0.8, 0.9, 2.5])
    assert reply.is_error
    assert "tells a voxel size of 0.8 x 0.9 x 3 mm, and spacing_mm says 0.8 x 0.9 x 2.5 mm" in reply.text


@pytest.mark.parametrize(
    ("spacing", "fact"),
    [
        ([0.7, 0.9], "needs three numbers"),
        ([0.7], "at least 2"),
        ([0.7, 0.9, 0], "greater than 0"),
        ([1, 1, 1, 1], "at most 3"),
    ],
)
def test_sizes_that_are_none_are_refused(ask: Ask, sizeless: str, spacing: list[float], fact: str) -> None:
    reply = ask("open_image", path=sizeless, spacing_mm=spacing)
    assert reply.is_error
    assert fact in reply.text


@pytest.fixture
def picture(root: Path) -> str:
    grey = (np.arange(41 * 37).reshape(37, 41) % 200).astype(np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(grey), str(root / "us.png"))
    return "us.png"


def test_two_numbers_of_a_slice_give_lengths_and_no_volume(ask: Ask, desk: Desk, picture: str) -> None:
    reply = ask("open_image", path=picture, modality="us", spacing_mm=[0.5, 0.25])
    assert reply.result["spacing_mm"] == [0.5, 0.25]
    image = reply.result["image_id"]
    grid = desk.store.image(image).grid
    array = np.zeros(grid.shape, bool)
    array[5:25, 7:9, 0] = True
    mask = desk.store.add_mask(Mask(array, grid), image_id=image, structure="liver").mask_id
    found = ask("measure", mask_ids=[mask])
    row = found.result["measurements"][0]
    assert row["volume_ml"] is None
    assert row["volume_is"] == "not given"
    assert "The slice's thickness is not known, so no volume can be given." in row["reasons"]
    assert row["diameters"]["longest_axial_mm"] == pytest.approx(np.hypot(20 * 0.5, 2 * 0.25), abs=0.6)
    assert " ml" not in found.text.split("Of the image")[0].replace("in mm or ml", "")
    assert SAID in found.text
    for format in ("dicom_seg", "rtstruct", "stl"):
        assert "not known" in ask("export", mask_ids=[mask], format=format).text
    assert not ask("export", mask_ids=[mask], format="nifti").is_error
    whole = ask("open_image", path=picture, modality="us", spacing_mm=[0.5, 0.25, 2])
    assert whole.result["image_id"] != image
    assert not any("no volume" in warning for warning in whole.result["warnings"])


def test_a_picture_of_dicom_whose_header_tells_its_pixels_is_held_to_them(ask: Ask, root: Path) -> None:
    """Columns 0.6 mm apart, rows 0.8, no place and no third direction: a projection."""
    picture = made_dicom.ct_slice(
        0, Modality="DX", ImagePositionPatient=None, ImageOrientationPatient=None, SliceThickness=None
    )
    made_dicom.save(root / "dx", [picture])
    refused = ask("open_image", path="dx", spacing_mm=[0.5, 0.5])
    assert refused.is_error
    assert "tells a voxel size of 0.6 x 0.8 mm, and spacing_mm says 0.5 x 0.5 mm" in refused.text
    reply = ask("open_image", path="dx", spacing_mm=[0.6, 0.8])
    assert reply.result["spacing_mm"] == [0.6, 0.8]
    assert "sizes depend on the distance to the detector." in reply.text
    assert SAID in reply.text


def test_the_grid_survives_a_restart_of_the_store(ask: Ask, desk: Desk, picture: str, settings: object) -> None:
    image = ask("open_image", path=picture, modality="us", spacing_mm=[0.5, 0.25]).result["image_id"]
    with Desk(desk.settings) as later:
        grid = later.store.image(image).grid
    assert (grid.spacing_known, grid.thickness_known, grid.stated) == (True, False, True)


def test_written_headers_say_who_stated_the_size(ask: Ask, root: Path, sizeless: str) -> None:
    image = opened(ask, sizeless, spacing_mm=[0.7, 0.9, 3]).result["image_id"]
    mask = ask("segment", image_id=image, structures=["liver"], wait_s=120).result["masks"][0]["mask_id"]
    paths = {
        format: root / ask("export", mask_ids=[mask], format=format).result["files"][0]["path"]
        for format in ("nifti", "nrrd", "stl", "dicom_seg", "rtstruct")
    }
    assert bytes(nibabel.load(paths["nifti"]).header["descrip"]).rstrip(b"\0") == STATED_NOTE
    assert b"ostensor_voxel_size:=stated by the user" in paths["nrrd"].read_bytes()[:2000]
    assert b"voxel size by user" in paths["stl"].read_bytes()[:80]
    assert "stated by the user" in pydicom.dcmread(paths["dicom_seg"]).ContentDescription
    assert "stated by the user" in pydicom.dcmread(paths["rtstruct"]).StructureSetDescription
    assert "stated" not in json.dumps(ask("list_models").result)
