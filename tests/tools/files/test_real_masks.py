"""Segmentations of other programs on their own scans; highdicom, nibabel and a published statistics file are the oracles."""

import json
import shutil
import warnings
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pydicom.data
import pytest

from ostensor.tools.desk.desk import Desk

from ...toys.desks import Ask


def slices_of_77654033() -> list[Path]:
    """The three even slices of the CT that pydicom ships and the segmentations of highdicom's tests were made on."""
    folder = Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).parent / "dicomdirtests" / "77654033" / "CT2"
    return [folder / name for name in ("17136", "17166", "17196")]


@pytest.mark.parametrize("name", ["binary", "binary_overlap", "binary_fractional", "true_fractional"])
@pytest.mark.filterwarnings("ignore")  # pydicom's remarks on the scan
def test_highdicoms_own_segmentations_are_read_as_highdicom_reads_them(
    ask: Ask, desk: Desk, root: Path, shared_data: Path, name: str
) -> None:
    source = shared_data / "highdicom_dicom" / f"seg_image_ct_{name}.dcm"
    (root / "ct").mkdir()
    for path in slices_of_77654033():
        shutil.copy(path, root / "ct")
    shutil.copy(source, root / "seg.dcm")
    opened = ask("open_image", path="ct")
    image = str(opened.result["image_id"])
    reply = ask("import_mask", path="seg.dcm", image_id=image)
    if name == "binary_overlap":  # it also has frames on a fourth slice, 202 mm away
        assert "20 voxels of the masks lie outside the image" in reply.text
        reply = ask("import_mask", path="seg.dcm", image_id=image, resample=True)
        assert "lie outside the image and are lost" in reply.text
    assert not reply.is_error, reply.text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = highdicom.seg.segread(source)
        slices = [pydicom.dcmread(path) for path in slices_of_77654033()]
        slices.sort(key=lambda data: float(data.ImagePositionPatient[2]))
        pixels = seg.get_pixels_by_source_instance(
            [data.SOPInstanceUID for data in slices], ignore_spatial_locations=True, rescale_fractional=True,
            assert_missing_frames_are_empty=True,
        )  # fmt: skip
    grid = desk.store.image(image).grid
    for number, row in enumerate(reply.result["masks"]):
        expected = np.asarray(pixels[..., number]) >= 0.5
        if row["mask_id"] is None:
            assert not expected.any()
            continue
        found = desk.store.mask(row["mask_id"]).array
        ascending = grid.affine[2, 2] > 0
        assert np.array_equal(found.T[:: 1 if ascending else -1], expected)


def test_a_segmentation_of_totalsegmentator_on_its_dicom_scan(
    ask: Ask, desk: Desk, root: Path, shared_data: Path
) -> None:
    """Names are those of the label table in the file's header, voxels those of nibabel in the order of the scan."""
    folder = shared_data / "totalsegmentator_example"
    shutil.copytree(folder / "example_ct_dicom", root / "ct")
    shutil.copy(folder / "example_seg_dicom.nii.gz", root / "seg.nii.gz")
    image = str(ask("open_image", path="ct").result["image_id"])
    reply = ask("import_mask", path="seg.nii.gz", image_id=image)
    assert reply.result["exact"] is True
    known = json.loads((folder / "class_map.json").read_text(encoding="utf-8"))
    numbers = next(table for table in (known, known.get("total", {})) if "1" in table)
    oracle = nibabel.as_closest_canonical(nibabel.load(folder / "example_seg_dicom.nii.gz"))
    labels = np.asanyarray(oracle.dataobj)
    assert len(reply.result["masks"]) == len(np.unique(labels)) - 1
    for row in reply.result["masks"][:8]:
        words = set(numbers[row["label"]].replace("_", " ").split()) & {
            "liver",
            "spleen",
            "stomach",
            "pancreas",
            "colon",
            "left",
            "right",
        }
        assert all(word in row["structure"] for word in words)
        mask = desk.store.mask(row["mask_id"])
        canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(mask.array.astype(np.uint8), mask.grid.affine))
        assert np.array_equal(np.asanyarray(canonical.dataobj) > 0, labels == int(row["label"]))


def test_freesurfers_parcellation_on_its_own_head(ask: Ask, desk: Desk, root: Path, shared_data: Path) -> None:
    for name in ("norm.mgz", "aparc.a2009s+aseg.mgz"):
        shutil.copy(shared_data / "brain_t1" / name, root / name)
    image = str(ask("open_image", path="norm.mgz", modality="mr").result["image_id"])
    labels = np.asanyarray(nibabel.load(root / "aparc.a2009s+aseg.mgz").dataobj)
    reply = ask("import_mask", path="aparc.a2009s+aseg.mgz", image_id=image)
    found = {row["label"]: row for row in reply.result["masks"]}
    assert set(found) == {str(n) for n in np.unique(labels) if n}
    assert found["17"]["structure"] == "left hippocampus"
    assert found["17"]["volume_ml"] == np.count_nonzero(labels == 17) / 1000  # voxels of 1 mm
    assert np.array_equal(desk.store.mask(found["53"]["mask_id"]).array, labels == 53)
    side = ask("measure", mask_ids=[found["17"]["mask_id"]], what=["shape"]).result["measurements"][0]["shape"]["side"]
    assert side == "left"
