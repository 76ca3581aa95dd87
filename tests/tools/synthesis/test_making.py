"""The three synthesis tools through an MCP client: what they make, how it is marked, what is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.models.synthesizers import synthesis_networks
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

Ask = Callable[..., Any]
SHAPE = (31, 29, 11)
AFFINE = np.array([[-1.5, 0, 0, 20.0], [0, -1.7, 0, 30.0], [0, 0, 3.0, -50.0], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)
LIVER = (slice(4, 17), slice(5, 19), slice(2, 9))
LUNG = (slice(20, 29), slice(8, 23), slice(1, 8))
CORE = {
    "liver": (slice(7, 14), slice(8, 16), slice(5, 6)),
    "lung": (slice(23, 26), slice(11, 20), slice(4, 5)),
}  # no edge


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scans")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Desk]:
    """One desk for all tests, as starting its worker takes longest."""
    toolsets = ("core", "clinical", "synthesis")
    settings = Settings(store=tmp_path_factory.mktemp("store"), roots=(root,), toolsets=toolsets)
    with Desk(settings) as made:
        yield made


@pytest.fixture
def masks(desk: Desk) -> list[str]:
    """A liver and a left lung on a grid with unequal prime sides, upside down as DICOM."""
    image = desk.store.add_image(Volume(np.zeros(SHAPE, np.int16), GRID, "ct"), source_name="scan")
    return [
        desk.store.add_mask(block(where), image_id=image.image_id, structure=name).mask_id
        for name, where in (("liver", LIVER), ("left lung", LUNG))
    ]


def block(where: tuple[slice, slice, slice], grid: Grid = GRID) -> Mask:
    array = np.zeros(grid.shape, np.bool_)
    array[where] = True
    return Mask(array, grid)


def made(desk: Desk, reply: Any) -> np.ndarray:
    assert not reply.is_error, reply.text
    return np.asarray(desk.store.volume(reply.result["image_id"]).array)


def test_masks_become_a_ct_with_their_tissues_values(ask: Ask, desk: Desk, masks: list[str]) -> None:
    """Values from `tissues.tsv`: liver 60 HU, lung -830 HU; medians of the core, where no neighbour blurs in, within three standard errors."""
    reply = ask("synthesize_image", modality="ct", mask_ids=masks, engine="classical", background="body", wait_s=60)
    array = made(desk, reply)
    assert reply.result["engine"] == "classical"
    assert np.median(array[CORE["liver"]]) == pytest.approx(60, abs=8)
    assert np.median(array[CORE["lung"]]) == pytest.approx(-830, abs=35)
    assert array[0, 0, 0] < -900, "outside of the body is air"
    assert desk.store.image(reply.result["image_id"]).grid.same_as(GRID)
    assert [row["structure"] for row in reply.result["masks"]] == ["liver", "left lung"]


def test_swapping_two_labels_swaps_their_values(ask: Ask, desk: Desk, masks: list[str]) -> None:
    """Conditioning really conditions."""
    names = ["left lung", "liver"]
    reply = ask("synthesize_image", modality="ct", mask_ids=masks, structures=names, engine="classical", wait_s=60)
    array = made(desk, reply)
    assert np.median(array[CORE["liver"]]) == pytest.approx(-830, abs=25)
    assert np.median(array[CORE["lung"]]) == pytest.approx(60, abs=12)


def test_a_seed_gives_the_same_image_and_another_seed_another(ask: Ask, masks: list[str]) -> None:
    """The handle is the hash of the voxels."""
    ids = [
        ask("synthesize_image", modality="mr", mask_ids=masks, engine="classical", seed=seed, wait_s=60).result[
            "image_id"
        ]
        for seed in (3, 3, 4)
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_label_map_with_names_works_as_masks_do(ask: Ask, desk: Desk, root: Path, masks: list[str]) -> None:
    """The same anatomy both ways gives the same image."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[LIVER], labels[LUNG] = 7, 9
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), root / "labels.nii.gz")
    opened = ask("open_image", path="labels.nii.gz").result["image_id"]
    by_label = ask(
        "synthesize_image", modality="ct", label_image_id=opened, label_names=["7=liver", "9=left lung"],
        engine="classical", wait_s=60,
    )  # fmt: skip
    by_mask = ask("synthesize_image", modality="ct", mask_ids=masks, engine="classical", wait_s=60)
    assert by_label.result["image_id"] == by_mask.result["image_id"]


def test_measuring_a_synthetic_image_is_refused_unless_allowed(ask: Ask, masks: list[str]) -> None:
    """Marked for life, in the store."""
    reply = ask("synthesize_image", modality="ct", mask_ids=masks, engine="classical", wait_s=60)
    liver = reply.result["masks"][0]["mask_id"]
    refused = ask("measure", mask_ids=[liver])
    assert refused.is_error
    assert "synthetic" in refused.text
    assert not ask("measure", mask_ids=[liver], allow_synthetic=True).is_error
    report = ask("check_report", image_id=reply.result["image_id"], report="The liver is normal.")
    assert {row["judgement"] for row in report.result["findings"]} == {"cannot_tell"}
    assert "synthetic" in str(report.result["findings"])
    risk = ask("predict_prognosis", image_id=reply.result["image_id"], ehr={"age": 60})
    assert "synthetic" in risk.text


@pytest.mark.parametrize("name", ["made.nii.gz", "made.nrrd", "made.dicom", "made.png"])
def test_files_keep_the_mark_when_opened_again(ask: Ask, root: Path, masks: list[str], name: str) -> None:
    """Every format says it in its own way, and `open_image` reads it."""
    reply = ask("synthesize_image", modality="ct", mask_ids=masks, engine="classical", save_as=name, wait_s=60)
    assert not reply.is_error, reply.text
    opened = ask("open_image", path=name)
    assert opened.result["synthetic"] is True
    if name != "made.png":
        assert opened.result["shape"] == list(SHAPE) or name == "made.dicom"


def test_the_nifti_header_extension_says_synthetic_to_another_reader(ask: Ask, root: Path, masks: list[str]) -> None:
    """Read with nibabel; also after a program has overwritten the description."""
    ask("synthesize_image", modality="ct", mask_ids=masks, engine="classical", save_as="header.nii.gz", wait_s=60)
    image = nibabel.load(root / "header.nii.gz")
    assert any(b"synthetic" in bytes(one.get_content()) for one in image.header.extensions)
    image.header["descrip"] = b"edited"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), root / "edited.nii.gz")
    assert ask("open_image", path="edited.nii.gz").result["synthetic"] is True


def test_dicom_says_derived_and_synthetic_and_lies_where_the_masks_lay(
    ask: Ask, desk: Desk, root: Path, masks: list[str]
) -> None:
    """Read with pydicom; the place by opening the series again."""
    reply = ask(
        "synthesize_image", modality="ct", mask_ids=masks, engine="classical", save_as="series.dicom", wait_s=60
    )
    header = pydicom.dcmread(next((root / "series.dicom").iterdir()))
    assert header.ImageType[0] == "DERIVED"
    assert "SYNTHETIC" in header.ImageType
    assert header.SyntheticData == "YES"
    again = ask("open_image", path="series.dicom")
    volume = desk.store.volume(again.result["image_id"])
    where = np.array([5, 7, 3, 1])
    point = AFFINE @ where
    index = np.rint(np.linalg.inv(volume.grid.affine) @ point).astype(int)
    original = desk.store.volume(reply.result["image_id"]).array
    assert volume.array[tuple(index[:3])] == original[tuple(where[:3])]


def test_the_png_text_says_synthetic(ask: Ask, root: Path, masks: list[str]) -> None:
    """Read with Pillow."""
    ask("synthesize_image", modality="ct", mask_ids=masks, engine="classical", save_as="made.png", wait_s=60)
    with Image.open(root / "made.png") as picture:
        assert "shows no patient" in picture.info["Synthetic"]


def test_inpainting_keeps_the_foreground_bit_by_bit(ask: Ask, desk: Desk) -> None:
    """And the opposite keeps the background; the rest changes."""
    rng = np.random.default_rng(0)
    array = rng.integers(-900, 1400, SHAPE).astype(np.int16)
    image = desk.store.add_image(Volume(array, GRID, "ct"), source_name="scan").image_id
    liver = desk.store.add_mask(block(LIVER), image_id=image, structure="liver").mask_id
    for keep in ("labelled", "background"):
        reply = ask(
            "inpaint_image", image_id=image, mask_ids=[liver], keep=keep, margin_voxels=0, engine="classical", wait_s=60
        )
        inside = block(LIVER).array
        kept = inside if keep == "labelled" else ~inside
        synthesized = made(desk, reply)
        assert np.array_equal(synthesized[kept], array[kept])
        assert (synthesized[~kept] != array[~kept]).mean() > 0.95
        assert reply.result["seam_ratio"] is not None


def _refused(reply: Any, *facts: str) -> None:
    assert reply.is_error
    for fact in facts:
        assert fact in reply.text


def test_masks_on_different_grids_are_refused(ask: Ask, desk: Desk, masks: list[str]) -> None:
    other = Grid((7, 11, 5), AFFINE)
    image = desk.store.add_image(Volume(np.zeros(other.shape, np.int16), other, "ct"), source_name="other")
    mask = desk.store.add_mask(block((slice(1, 3),) * 3, other), image_id=image.image_id, structure="spleen")
    _refused(ask("synthesize_image", modality="ct", mask_ids=[*masks, mask.mask_id]), "different grids", "(7, 11, 5)")


def test_empty_masks_are_refused(ask: Ask, desk: Desk, masks: list[str]) -> None:
    image = desk.store.mask_record(masks[0]).image_id
    empty = desk.store.add_mask(Mask(np.zeros(SHAPE, np.bool_), GRID), image_id=image, structure="spleen")
    _refused(ask("synthesize_image", modality="ct", mask_ids=[masks[0], empty.mask_id]), "empty", empty.mask_id)


def test_an_unknown_structure_is_refused_with_the_nearest(ask: Ask, masks: list[str]) -> None:
    _refused(
        ask("synthesize_image", modality="ct", mask_ids=masks, structures=["lever", "left lung"]), "lever", "liver"
    )


def test_a_modality_no_engine_makes_is_refused(ask: Ask, desk: Desk, masks: list[str]) -> None:
    _refused(ask("synthesize_image", modality="pet", mask_ids=masks), "'ct' or 'mr'")
    pet = desk.store.add_image(Volume(np.zeros(SHAPE, np.int16), GRID, "pet"), source_name="pet").image_id
    _refused(ask("inpaint_image", image_id=pet, mask_ids=masks), "'pet'", "ct, mr")
    _refused(ask("translate_image", image_id=pet, modality="ct"), "'pet'", "ct, mr")


def test_unknown_engines_and_endings_and_missing_names_are_refused(ask: Ask, desk: Desk, masks: list[str]) -> None:
    _refused(ask("synthesize_image", modality="ct", mask_ids=masks, engine="magic"), "magic", "classical")
    _refused(ask("synthesize_image", modality="ct", mask_ids=masks, save_as="x.bmp"), "x.bmp", ".nii.gz")
    _refused(ask("synthesize_image", modality="ct"), "mask_ids or label_image_id")
    _refused(ask("synthesize_image", modality="ct", mask_ids=masks, structures=["liver"]), "1 names for 2 masks")
    image = desk.store.mask_record(masks[0]).image_id
    nameless = desk.store.add_mask(block(LUNG), image_id=image, made_by="hand").mask_id
    _refused(ask("synthesize_image", modality="ct", mask_ids=[nameless]), nameless, "no structure")


def test_translating_to_what_it_is_already_is_refused(ask: Ask, desk: Desk, masks: list[str]) -> None:
    image = desk.store.mask_record(masks[0]).image_id
    _refused(ask("translate_image", image_id=image, modality="ct"), "is ct already")


BRAIN_GRID = Grid((37, 41, 3), np.array([[-1, 0, 0, 20.0], [0, -1, 0, 30.0], [0, 0, 1, -5.0], [0, 0, 0, 1]]))


def test_auto_takes_the_network_that_was_taught_the_structures(ask: Ask, desk: Desk) -> None:
    """Through the real worker: the network, its hash and its steps stand in the provenance."""
    image = desk.store.add_image(Volume(np.zeros(BRAIN_GRID.shape, np.int16), BRAIN_GRID, "mr"), source_name="scan")
    parts = {
        "anterior hippocampus": (slice(9, 18), slice(12, 20), slice(0, 3)),
        "posterior hippocampus": (slice(20, 30), slice(22, 31), slice(0, 3)),
    }
    masks = [
        desk.store.add_mask(block(where, BRAIN_GRID), image_id=image.image_id, structure=name).mask_id
        for name, where in parts.items()
    ]
    reply = ask("synthesize_image", modality="mr", mask_ids=masks, quality="draft", seed=5, wait_s=120)
    array = made(desk, reply)
    assert reply.result["engine"] == "paint-hippocampus"
    assert [row["painted_by"] for row in reply.result["masks"]] == ["network", "network"]
    assert reply.result["provenance"]["weights_sha256"] == synthesis_networks()["paint-hippocampus"].sha256
    assert reply.result["steps"] == 4
    assert len(np.unique(array)) > 50, "a picture, not a flat fill"


def test_a_translated_image_lies_where_its_source_lies_and_is_synthetic(ask: Ask, desk: Desk) -> None:
    array = np.full(BRAIN_GRID.shape, -1000, np.int16)
    array[5:30, 5:35] = 40
    image = desk.store.add_image(Volume(array, BRAIN_GRID, "ct"), source_name="scan").image_id
    reply = ask("translate_image", image_id=image, modality="mr", quality="draft", wait_s=120)
    array = made(desk, reply)
    record = desk.store.image(reply.result["image_id"])
    assert record.synthetic
    assert record.modality == "mr"
    assert record.grid.same_as(BRAIN_GRID)
    assert array[8:27, 8:32].mean() > array[:3, :3].mean() + 50, "tissue is brighter than air"


def test_synthesis_networks_are_listed_with_what_they_make(ask: Ask) -> None:
    listed = ask("list_models", task="translate").result["models"]
    assert {row["model"] for row in listed} == {n for n, one in synthesis_networks().items() if one.task == "translate"}
    assert listed[0]["modalities"] == ["ct", "mr"]
    assert "paint-hippocampus" in {row["model"] for row in ask("list_models", task="synthesize").result["models"]}
    refused = ask("list_models", task="dream")
    assert refused.is_error
    assert "synthesize" in refused.text
