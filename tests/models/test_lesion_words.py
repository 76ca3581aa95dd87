"""Tumours, lesions and masses go to the lesion model that takes the scan, and are never absent where none looked."""

from pathlib import Path

import pytest

from ostensor.imaging.files import read_image
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

WORDS = ["tumour", "the lesion", "mass", "soft tissue sarcoma"]


@pytest.mark.data
def test_a_tumour_in_pet_is_the_sarcoma_that_the_lesion_model_finds(shared_data: Path, tmp_path: Path) -> None:
    """Patient STS_004 of the sarcoma data, held out; the expert's outline is the truth."""
    folder = shared_data / "sts_ibsi" / "nifti" / "STS_004"
    truth = read_image(folder / "PET_mask.nii.gz").volume
    assert truth is not None
    with Desk(Settings(store=tmp_path, roots=(shared_data,), threads=1)) as desk:
        image = use(desk, "open_image", path=str(folder / "PET_image.nii.gz"), modality="pet").result
        for word in WORDS:
            (row,) = use(desk, "segment", image_id=image.image_id, structures=[word], wait_s=200).result.masks
            assert row.structure == "soft tissue sarcoma"
            assert row.verdict in ("present", "unsure")
            assert (desk.store.mask(row.mask_id).array & (truth.array > 0)).sum() > 0.5 * (truth.array > 0).sum()
            assert any("marks organs that take up FDG" in warning for warning in row.warnings)
        found = use(desk, "segment_described", image_id=image.image_id, description="the tumour", wait_s=200).result
        assert found.candidates[0].structure == "soft tissue sarcoma"


@pytest.mark.data
def test_where_no_lesion_model_takes_the_scan_none_is_absent(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "totalsegmentator_example" / "example_ct_sm.nii.gz"
    with Desk(Settings(store=tmp_path, roots=(shared_data,), threads=1)) as desk:
        image = use(desk, "open_image", path=str(path)).result
        (row,) = use(desk, "segment", image_id=image.image_id, structures=["tumour"], wait_s=200).result.masks
        assert (row.verdict, row.nearest) == ("unsupported", ["soft tissue sarcoma"])
        assert "No model here looks for lesions" in row.reason
        for text in ("a mass in the spleen", "aortic plaque"):
            found = use(desk, "segment_described", image_id=image.image_id, description=text, wait_s=250).result
            verdicts = [one.verdict for one in found.candidates] or [found.verdict]
            assert set(verdicts) <= {"unsure", "unsupported"}, text
