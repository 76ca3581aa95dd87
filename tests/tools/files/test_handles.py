"""What list_handles shows of a store, and the names for people beside the handles."""

import json
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk

from ...imaging import made_dicom
from ...toys.desks import Ask, save, toy_scan


@pytest.fixture
def worked(ask: Ask, image_id: str, root: Path) -> dict[str, str]:
    """Two images, a model's mask, an edited and an imported one, and a job."""
    save(root / "follow up.nii.gz", toy_scan(spleen=(slice(40, 50), slice(30, 41), slice(20, 29))))
    second = ask("open_image", path="follow up.nii.gz").result["image_id"]
    liver = ask("segment", image_id=image_id, structures=["liver"], wait_s=120).result["masks"][0]["mask_id"]
    grown = ask("edit_mask", operation="grow", mask_ids=[liver], amount_mm=3).result["mask_id"]
    array = np.zeros((61, 53, 29), np.uint8)
    array[5:9, 5:9, 5:9] = 1
    save(root / "spleen.nii.gz", array)
    spleen = ask("import_mask", path="spleen.nii.gz", image_id=second).result["masks"][0]["mask_id"]
    return {"first": image_id, "second": second, "liver": liver, "grown": grown, "spleen": spleen}


def handles(ask: Ask, **options: object) -> list[str]:
    reply = ask("list_handles", **options)
    assert not reply.is_error, reply.text
    return [row["handle"] for row in reply.result["handles"]]


def test_everything_newest_first_with_an_alias(ask: Ask, worked: dict[str, str]) -> None:
    reply = ask("list_handles")
    rows = {row["handle"]: row for row in reply.result["handles"]}
    created = [row["created"] for row in reply.result["handles"]]
    assert created == sorted(created, reverse=True)
    assert {row["kind"] for row in rows.values()} == {"image", "mask", "job"}
    assert rows[worked["first"]]["alias"] == "ct"
    assert rows[worked["second"]]["alias"] == "follow up"
    assert (rows[worked["first"]]["masks"], rows[worked["second"]]["masks"]) == (2, 1)
    assert rows[worked["liver"]]["alias"] == "liver"
    assert rows[worked["grown"]]["alias"] == "liver (grow)"
    assert rows[worked["spleen"]]["alias"] == "spleen (imported)"
    assert rows[worked["spleen"]]["verdict"] == "imported"
    assert any(row["alias"].startswith("segment liver") for row in rows.values())


def test_filters(ask: Ask, worked: dict[str, str]) -> None:
    assert handles(ask, kind="images") == [worked["second"], worked["first"]]
    assert handles(ask, structure="hepar") == [worked["grown"], worked["liver"]]
    assert handles(ask, kind="masks", image_id=worked["second"]) == [worked["spleen"]]
    assert handles(ask, pattern="follow*") == [worked["second"]]
    assert handles(ask, pattern="IMPORTED") == [worked["spleen"]]
    assert handles(ask, kind="masks", image_id=worked["first"], structure="spleen") == []
    assert all(handle.startswith("job_") for handle in handles(ask, kind="jobs"))
    reply = ask("list_handles", kind="masks", limit=1)
    assert (len(reply.result["handles"]), reply.result["more"]) == (1, 2)
    assert "Unknown image" in ask("list_handles", image_id="img_000000000000").text


@pytest.mark.parametrize("name", ["Meier_1956-02-03", "4711123", "MEIER^HANS", "Meier, Hans"])
def test_names_that_may_be_a_patients_are_no_alias(ask: Ask, root: Path, name: str) -> None:
    save(root / f"{name}.nii.gz", toy_scan())
    reply = ask("open_image", path=f"{name}.nii.gz", modality="ct")
    assert reply.result["alias"] == "ct 61x53x29"
    assert name not in json.dumps(ask("list_handles").result)


def test_a_dicom_scan_is_never_called_after_its_patient(ask: Ask, root: Path) -> None:
    for folder, header, alias in (
        ("Secret_abdomen", {}, "ct 5x6x4"),
        ("abdomen", {}, "abdomen"),
        ("meier hans", {"PatientName": "MEIER_HANS"}, "ct 5x6x4"),
        (
            "nobody",
            {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "ReferringPhysicianName": None},
            "ct 5x6x4",
        ),
    ):
        made_dicom.save(root / folder, [made_dicom.ct_slice(2.5 * z, value=len(folder), **header) for z in range(4)])
        assert ask("open_image", path=folder).result["alias"] == alias


def test_the_viewer_and_the_resource_show_the_alias(ask: Ask, desk: Desk, worked: dict[str, str]) -> None:
    assert ask("viewer_open", image_id=worked["second"]).result["alias"] == "follow up"


def test_an_image_of_an_earlier_version_is_called_by_kind_and_size(ask: Ask, desk: Desk, image_id: str) -> None:
    volume = desk.store.volume(image_id)
    other = desk.store.add_image(type(volume)(volume.array + 1, volume.grid, "ct"), source_name="secret name.nii")
    row = next(r for r in ask("list_handles").result["handles"] if r["handle"] == other.image_id)
    assert row["alias"] == "ct 61x53x29"
    mask = Mask(np.ones(volume.grid.shape, bool), volume.grid)
    assert desk.store.add_mask(mask, image_id=other.image_id).mask_id in handles(ask, pattern="mask")
