"""The walk through the tools, as a client sees it: open, segment, measure, compare, edit, draw, export."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ostensor.imaging.plausibility.priors import Priors
from ostensor.models.backbones.table import BACKBONES
from ostensor.tools.desk.desk import Desk
from ostensor.tools.running import use

from ..toys.desks import AFFINE, Ask, call_once, save, toy_scan

VOXEL_ML = 0.8 * 0.9 * 3.0 / 1000
"""Analytic: the organs of the scan are blocks of known size."""


def test_from_a_file_to_a_number(ask: Ask, image_id: str) -> None:
    found = ask("segment", image_id=image_id, structures=["Liver", "spleen"])
    liver, spleen = found.result["masks"]
    assert (liver["structure"], liver["asked_as"], liver["verdict"]) == ("liver", "Liver", "present")
    assert liver["volume_ml"] == pytest.approx(17 * 20 * 12 * VOXEL_ML, abs=0.01)
    assert liver["volume_is"] == "complete"
    assert spleen["truncated_at"] == ["superior"]
    assert spleen["volume_is"] == "cut by the edge"
    assert "ml inside the scan, which cuts it" in found.text
    measured = ask("measure", mask_ids=[liver["mask_id"], spleen["mask_id"]])
    rows = measured.result["measurements"]
    assert rows[0]["volume_ml"] == pytest.approx(17 * 20 * 12 * VOXEL_ML, abs=1e-3)
    assert rows[0]["intensity"] == {
        "unit": "HU", "mean": 100.0, "sd": 0.0, "minimum": 100.0, "p5": 100.0, "median": 100.0, "p95": 100.0,
        "maximum": 100.0,
    }  # fmt: skip
    assert rows[1]["truncated_at"] == ["superior"]


def test_every_mask_carries_its_geometry_and_provenance(desk: Desk, ask: Ask, image_id: str) -> None:
    row = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]
    assert row["geometry"]["shape"] == [61, 53, 29]
    assert np.allclose(row["geometry"]["affine"], AFFINE)
    assert row["geometry"]["max_affine_difference"] == 0
    assert row["provenance"]["model"] == "toy-ct"
    assert desk.store.mask_record(row["mask_id"]).facts["provenance"]["inputs"] == [image_id]
    assert len(row["provenance"]["weights_sha256"]) == 64


def test_each_verdict(ask: Ask, image_id: str, root: Path) -> None:
    rows = ask(
        "segment", image_id=image_id, structures=["liver", "right kidney", "urinary bladder", "pancreas"]
    ).result["masks"]
    verdicts = {row["structure"]: row["verdict"] for row in rows}
    assert verdicts == {
        "liver": "present", "right kidney": "unsure", "urinary bladder": "absent", "pancreas": "unsupported",
    }  # fmt: skip
    by_name = {row["structure"]: row for row in rows}
    assert by_name["right kidney"]["mask_id"] is not None
    assert "0.50" in by_name["right kidney"]["reason"]
    assert by_name["urinary bladder"]["mask_id"] is None
    assert "liver" in by_name["urinary bladder"]["reason"]
    save(root / "leg.nii.gz", toy_scan())
    leg = ask("open_image", path="leg.nii.gz").result["image_id"]
    assert ask("segment", image_id=leg, structures=["liver"]).result["masks"][0]["verdict"] == "outside_view"


def test_a_pair_is_answered_by_its_sides_and_a_synonym_by_its_name(ask: Ask, image_id: str) -> None:
    rows = ask("segment", image_id=image_id, structures=["kidneys", "left kidney"]).result["masks"]
    assert [row["structure"] for row in rows] == ["left kidney", "right kidney"]
    assert {row["asked_as"] for row in rows} == {"kidneys"}


def test_an_implausible_volume_warns_and_is_no_veto(ask: Ask, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy's spleen is plausible up to 4 ml; this one has 6.9 ml. People's own range is set aside."""
    monkeypatch.setattr(Priors, "bundled", lambda: Priors({}, {}))
    save(root / "big.nii.gz", toy_scan(spleen=(slice(10, 30), slice(10, 30), slice(5, 13))))
    image = ask("open_image", path="big.nii.gz").result["image_id"]
    row = ask("segment", image_id=image, structures=["spleen"]).result["masks"][0]
    assert row["verdict"] == "present", "abnormal size is what people look for"
    assert "plausible 0.1 to 4 ml" in row["warnings"][0]


def test_the_same_call_gives_the_same_handles(ask: Ask, image_id: str) -> None:
    again = ask("open_image", path="ct.nii.gz").result["image_id"]
    assert again == image_id
    first, second = (ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0] for _ in range(2))
    assert first == second


def test_compare_and_edit(ask: Ask, image_id: str) -> None:
    liver, spleen = (
        row["mask_id"] for row in ask("segment", image_id=image_id, structures=["liver", "spleen"]).result["masks"]
    )
    grown = ask("edit_mask", operation="grow", mask_ids=[liver], amount_mm=3).result
    assert grown["voxels"] > 17 * 20 * 12
    assert grown["structure"] == "liver"
    both = ask("edit_mask", operation="union", mask_ids=[liver, spleen]).result
    assert both["voxels"] == 17 * 20 * 12 + 10 * 11 * 9
    same = ask("compare_masks", mask_a=liver, mask_b=liver).result
    assert (same["dice"], same["iou"], same["nsd"], same["hd95_mm"], same["assd_mm"]) == (1, 1, 1, 0, 0)
    apart = ask("compare_masks", mask_a=liver, mask_b=spleen).result
    assert apart["dice"] == 0
    assert apart["volume_difference_ml"] == pytest.approx((17 * 20 * 12 - 10 * 11 * 9) * VOXEL_ML, abs=1e-3)


def test_render_gives_one_picture_and_no_numbers_of_masks(ask: Ask, image_id: str) -> None:
    mask = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    drawn = ask("render", image_id=image_id, mask_ids=[mask], view="montage", window="soft_tissue")
    assert drawn.pictures == 1
    assert "liver" in drawn.text
    assert drawn.result["size"][0] > 300


@pytest.mark.parametrize(("format", "ending"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd")])
def test_exported_files_read_back_on_the_images_grid(
    ask: Ask, image_id: str, root: Path, format: str, ending: str
) -> None:
    mask = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    row = ask("export", mask_ids=[mask], folder=".", format=format).result["files"][0]
    assert row["readback_dice"] == 1
    path = root / Path(row["path"]).name
    assert path.name == f"liver_{mask}{ending}"
    if format == "nifti":
        back = nibabel.load(path)
        assert np.allclose(back.affine, AFFINE)
        assert int((np.asarray(back.dataobj) > 0).sum()) == 17 * 20 * 12


def test_find_and_list(ask: Ask, image_id: str) -> None:
    found = ask("find_structures", query="gall bladder").result["structures"]
    assert found[0]["structure"] == "gallbladder"
    bladder = ask("find_structures", query="kidneys", image_id=image_id).result["structures"]
    assert {"left kidney", "right kidney"} <= {row["structure"] for row in bladder}
    models = ask("list_models", structure="liver").result["models"]
    assert {row["model"] for row in models} == {"toy-ct", "toy-mr"}, (
        "nothing that paints it, and nothing without weights"
    )
    makers = ask("list_models", structure="liver", task="synthesize").result["models"]
    assert {row["model"] for row in makers} == {"paint-abdomen"}
    backbones = ask("list_models", task="backbone").result["models"]
    assert [row["model"] for row in backbones] == [row.name for row in BACKBONES]
    assert all(row["weights"] == "none" and row["fidelity"] for row in backbones)
    assert all(text in row["notes"] for row, one in zip(backbones, BACKBONES, strict=True) for text in one.deviations)
    assert ask("list_models", task="backbone", structure="liver").result["models"] == []


def test_synthetic_images_stay_synthetic(ask: Ask, root: Path, desk: Desk) -> None:
    from ostensor.imaging.files import write_volume
    from ostensor.imaging.volume import Grid

    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    write_volume(root / "made.nii.gz", array, Grid(array.shape, AFFINE), synthetic=True)
    image = ask("open_image", path="made.nii.gz").result
    assert image["synthetic"] is True
    row = ask("segment", image_id=image["image_id"], structures=["liver"]).result["masks"][0]
    assert row["volume_ml"] is None
    refused = ask("measure", mask_ids=[row["mask_id"]])
    assert refused.is_error
    assert "synthetic" in refused.text
    assert not ask("measure", mask_ids=[row["mask_id"]], allow_synthetic=True).is_error


def test_scripts_use_the_same_tools_without_mcp(desk: Desk, image_id: str) -> None:
    answer = use(desk, "segment", image_id=image_id, structures=["liver"])
    assert answer.result.model_dump()["masks"][0]["verdict"] == "present"


def test_both_protocol_eras_give_one_answer(desk: Desk, image_id: str) -> None:
    import anyio

    arguments = {"image_id": image_id, "structures": ["liver"]}
    new, old = (anyio.run(call_once, desk, "segment", arguments, mode) for mode in ("auto", "legacy"))
    assert new == old


def test_every_call_is_written_to_the_audit_log(ask: Ask, desk: Desk, image_id: str) -> None:
    ask("segment", image_id="img_none", structures=["liver"])
    lines = (desk.store.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    opened, segmented = (json.loads(line) for line in lines[-2:])
    assert (opened["tool"], opened["outcome"]) == ("open_image", "ok")
    assert (segmented["tool"], segmented["arguments"]["structures"]) == ("segment", ["liver"])
    assert "Unknown image" in segmented["outcome"]


def test_one_unknown_word_sinks_no_other(ask: Ask, image_id: str) -> None:
    """Each word has its row; what is not known is unsupported, with names to try and nothing said of it."""
    found = ask("segment", image_id=image_id, structures=["liver", "lever", "Leber", "xyzzy", "spleen"], wait_s=60)
    assert not found.is_error
    rows = {row["asked_as"]: row for row in found.result["masks"]}
    assert [rows[word]["verdict"] for word in ("liver", "lever", "xyzzy", "spleen")] == [
        "present", "unsupported", "unsupported", "present",
    ]  # fmt: skip
    assert rows["lever"]["nearest"][0] == "liver"
    assert rows["lever"]["confidence"] is None
    assert "lever (unknown word; closest: liver" in found.text


def test_nothing_is_absent_in_a_scan_of_unknown_kind(ask: Ask, root: Path) -> None:
    """A chest X-ray of unknown modality was told that its heart chambers are absent."""
    save(root / "kind.nii.gz", toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17))))
    image = ask("open_image", path="kind.nii.gz").result
    assert image["modality"] == "unknown"
    rows = ask("segment", image_id=image["image_id"], structures=["liver", "spleen"], wait_s=60).result["masks"]
    assert [row["verdict"] for row in rows] == ["present", "unsure"]
    assert any("kind of scan is not known" in warning for warning in rows[0]["warnings"])
    assert "Say modality ('ct'" in rows[1]["reason"]
    known = ask("open_image", path="kind.nii.gz", modality="ct").result["image_id"]
    rows = ask("segment", image_id=known, structures=["liver", "spleen"], wait_s=60).result["masks"]
    assert [row["verdict"] for row in rows] == ["present", "absent"]


def test_a_scan_that_is_not_in_hu_is_unsupported_row_by_row(ask: Ask, root: Path) -> None:
    """A CT scaled to 0..255: no model that reads HU is asked, and the call says so instead of failing."""
    scan = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    save(root / "scaled.nii.gz", ((scan + 1000) * (255 / 1200)).astype(np.uint8))
    image = ask("open_image", path="scaled.nii.gz", modality="ct").result["image_id"]
    found = ask("segment", image_id=image, structures=["liver", "xyzzy"], wait_s=60)
    assert not found.is_error
    liver, unknown = found.result["masks"]
    assert (liver["verdict"], unknown["verdict"]) == ("unsupported", "unsupported")
    assert "no Hounsfield units" in liver["reason"]
    assert ask("segment", image_id=image, structures=["liver"], model="toy-ct", wait_s=60).is_error
