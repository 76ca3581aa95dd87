"""Real scans of the shared data through the tools, with the bundled weights: from file to mask on the file's grid."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

pytestmark = pytest.mark.data
Use = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def toys() -> None:
    """The real catalogue here, not the toys."""


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Use]:
    folder = tmp_path_factory.mktemp("real")
    with Desk(Settings(store=folder / "store", roots=(folder, shared_data), threads=1)) as desk:
        yield lambda tool, **arguments: use(desk, tool, **arguments).result.model_dump()


def test_a_real_ct_from_nifti(real: Use, shared_data: Path) -> None:
    """Labels are TotalSegmentator's: the liver must overlap theirs, and lie on the file's own grid."""
    path = shared_data / "totalsegmentator_example" / "example_ct.nii.gz"
    image = real("open_image", path=str(path))
    assert image["modality"] == "ct"
    row = real("segment", image_id=image["image_id"], structures=["liver"], wait_s=300)["masks"][0]
    assert row["verdict"] in ("present", "unsure")
    written = real("export", mask_ids=[row["mask_id"]], folder=".")["files"][0]
    assert written["readback_dice"] == 1
    labels = np.asarray(nibabel.load(path.with_name("example_seg_fast_force_split.nii.gz")).dataobj)
    source = nibabel.load(path)
    assert row["geometry"]["shape"] == list(source.shape)
    assert np.allclose(row["geometry"]["affine"], source.affine, atol=1e-4)
    voxel_ml = float(np.prod(source.header.get_zooms())) / 1000
    assert row["volume_ml"] == pytest.approx(float((labels == 5).sum()) * voxel_ml, rel=0.5)


def test_a_real_ct_from_dicom(real: Use, shared_data: Path) -> None:
    """The series' slices lie 2 mm apart although its header says 3 mm thick."""
    image = real("open_image", path=str(shared_data / "totalsegmentator_example" / "example_ct_dicom"))
    assert image["shape"][2] == 20
    assert image["spacing_mm"][2] == pytest.approx(2.0, abs=1e-3)
    row = real("segment", image_id=image["image_id"], structures=["liver"], wait_s=300)["masks"][0]
    assert row["verdict"] in ("present", "unsure", "absent", "outside_view")
    if row["mask_id"]:
        assert row["geometry"]["shape"] == image["shape"]
        assert row["geometry"]["max_affine_difference"] == 0


def test_a_real_mr_is_segmented_as_an_expert_does(real: Use, shared_data: Path) -> None:
    """A held-out patient of the hippocampus data; expert labels 1 and 2 together."""
    from ostensor.training.data.hippocampus import DATASET

    case = DATASET.cases(shared_data, "test")[0]
    path = next((shared_data / "hippocampus_msd" / "images").glob(f"{case.name}*"))
    image = real("open_image", path=str(path), modality="mr")
    row = real("segment", image_id=image["image_id"], structures=["hippocampi"], wait_s=300)["masks"][0]
    assert row["verdict"] == "present"
    truth_ml = float((case.labels > 0).sum()) * case.grid.voxel_ml
    assert row["volume_ml"] == pytest.approx(truth_ml, rel=0.25)
    assert row["provenance"]["model"] == "sat-mini-hippocampus"


def test_the_axis_order_of_a_file_changes_no_volume(real: Use, shared_data: Path) -> None:
    """One head stored in four orders: the same structure with the same volume."""
    volumes = []
    for order in ("RAS", "LPS", "AIL", "SPL"):
        path = shared_data / "nifti_orientations" / f"{order}.nii.gz"
        image = real("open_image", path=str(path), modality="mr")
        assert image["orientation"] == order
        rows = real("segment", image_id=image["image_id"], structures=["cerebral white matter"], wait_s=300)["masks"]
        volumes.append(rows[0]["volume_ml"])
    assert volumes[0] > 100
    assert volumes == pytest.approx([volumes[0]] * 4, rel=0.01)
