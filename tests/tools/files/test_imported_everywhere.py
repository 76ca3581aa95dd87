"""An imported mask is a mask like any other: every tool that takes one takes it, or says why not."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk

from ...toys.desks import AFFINE, Ask, save, toy_scan

ORGANS = {
    "liver": (slice(8, 25), slice(10, 30), slice(5, 17)),
    "kidney tumour": (slice(40, 50), slice(12, 21), slice(10, 14)),
}
VOXEL_ML = 0.8 * 0.9 * 3 / 1000


def drawn(name: str, shift: int = 0) -> np.ndarray:
    array = np.zeros((61, 53, 29), np.uint8)
    array[ORGANS[name]] = 1
    return np.roll(array, shift, axis=0)


@pytest.fixture
def masks(ask: Ask, image_id: str, root: Path) -> dict[str, str]:
    """A liver and a kidney tumour as a label file with nnU-Net's names."""
    save(root / "seg.nii.gz", drawn("liver") + 2 * drawn("kidney tumour"))
    (root / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1, "kidney tumor": 2}}')
    rows = ask("import_mask", path="seg.nii.gz", image_id=image_id).result["masks"]
    return {row["structure"]: row["mask_id"] for row in rows}


def test_measure_counts_its_voxels(ask: Ask, masks: dict[str, str]) -> None:
    row = ask("measure", mask_ids=[masks["kidney tumour"]]).result["measurements"][0]
    assert row["structure"] == "kidney tumour"
    assert row["volume_ml"] == pytest.approx(10 * 9 * 4 * VOXEL_ML, abs=1e-3)
    assert row["diameters"]["longest_axial_mm"] == pytest.approx(np.hypot(9 * 0.8, 8 * 0.9), abs=1.3)


def test_compare_masks_with_what_a_model_found(ask: Ask, image_id: str, masks: dict[str, str]) -> None:
    ask("segment", image_id=image_id, structures=["liver"], wait_s=120)
    found = ask("segment", image_id=image_id, structures=["liver"], wait_s=120).result["masks"][0]["mask_id"]
    assert ask("compare_masks", mask_a=found, mask_b=masks["liver"]).result["dice"] > 0.9


def test_compare_studies_follows_an_imported_lesion(ask: Ask, root: Path, masks: dict[str, str]) -> None:
    later = toy_scan(liver=ORGANS["liver"], spleen=ORGANS["kidney tumour"])
    save(root / "later.nii.gz", later)
    image = ask("open_image", path="later.nii.gz").result["image_id"]
    save(root / "later_seg.nii.gz", drawn("kidney tumour")[:, :, :])
    after = ask("import_mask", path="later_seg.nii.gz", image_id=image, labels={"1": "kidney tumour"}).result["masks"][
        0
    ]
    reply = ask("compare_studies", before_mask_ids=[masks["kidney tumour"]], after_mask_ids=[after["mask_id"]])
    assert not reply.is_error, reply.text
    assert [row["before_ml"] for row in reply.result["lesions"]] == [pytest.approx(360 * VOXEL_ML, abs=1e-3)]


def test_predict_prognosis_takes_an_imported_tumour(ask: Ask, masks: dict[str, str], image_id: str) -> None:
    ehr = {"disease": "kidney tumour", "age_years": 61, "sex": "male", "t_stage": "T1b", "n_stage": "N0", "m_stage": "M0",
           "overall_stage": "I", "histology": "clear cell", "grade": 2, "tumour_size_cm": 4.1}  # fmt: skip
    reply = ask("predict_prognosis", ehr=ehr, image_id=image_id, mask_ids=[masks["kidney tumour"]])
    assert not reply.is_error, reply.text
    assert reply.result["reason"] != "no_evidence"
    refusal = ask("predict_prognosis", ehr=ehr, image_id=image_id, mask_ids=[masks["liver"]])
    assert refusal.is_error
    assert "neither a tumour" in refusal.text


def test_assess_mask_looks_at_it_without_a_model_and_says_what_needs_one(ask: Ask, masks: dict[str, str]) -> None:
    reply = ask("assess_mask", mask_id=masks["liver"], methods=["plausibility"])
    assert not reply.is_error, reply.text
    assert {row["method"] for row in reply.result["checks"]} == {"plausibility"}
    assert any(row["passed"] is not None for row in reply.result["checks"])
    refusal = ask("assess_mask", mask_id=masks["liver"], methods=["agreement"])
    assert refusal.is_error
    assert "was not made by segment, so no model can be asked again" in refusal.text


def test_edit_mask_and_its_structure(ask: Ask, desk: Desk, masks: dict[str, str]) -> None:
    reply = ask("edit_mask", operation="subtract", mask_ids=[masks["liver"], masks["kidney tumour"]])
    assert np.array_equal(desk.store.mask(reply.result["mask_id"]).array, drawn("liver") > 0)
    grown = ask("edit_mask", operation="grow", mask_ids=[masks["liver"]], amount_mm=2).result
    assert grown["structure"] == "liver"
    assert grown["voxels"] > int(drawn("liver").sum())


@pytest.mark.parametrize("format", ["nifti", "nrrd", "stl", "dicom_seg", "rtstruct"])
def test_export_writes_it_and_claims_no_model(ask: Ask, root: Path, masks: dict[str, str], format: str) -> None:
    reply = ask("export", mask_ids=[masks["liver"]], format=format)
    assert not reply.is_error, reply.text
    if format == "dicom_seg":
        made = pydicom.dcmread(root / reply.result["files"][0]["path"])
        told = made.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName
        assert told == "not known: imported from a file"


def test_render_and_the_viewer_show_it(ask: Ask, image_id: str, masks: dict[str, str]) -> None:
    assert ask("render", image_id=image_id, mask_ids=list(masks.values())).pictures == 1
    shown = ask("viewer_open", image_id=image_id).result["masks"]
    assert {(row["name"], row["verdict"]) for row in shown} == {("liver", "imported"), ("kidney tumour", "imported")}


def test_an_imported_mask_and_the_same_drawn_here_are_two(desk: Desk, image_id: str, masks: dict[str, str]) -> None:
    """Who made a mask is part of its handle: what a model finds is never mistaken for what somebody drew."""
    grid = desk.store.image(image_id).grid
    same = desk.store.add_mask(Mask(drawn("liver") > 0, grid), image_id=image_id, structure="liver")
    assert same.mask_id != masks["liver"]
    assert np.allclose(grid.affine, AFFINE)
