"""What opening left in doubt stands in every later answer, also for who comes with nothing but a handle."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.results import ImageAnswer
from ostensor.tools.registry import TOOLS
from ostensor.tools.running import use

from ...toys.desks import Ask, toy_scan

SIDES = "sides are not certain"
# Tools whose answers rest on no opened image, or that say their own warnings as they open or read one.
WITHOUT = {
    "open_image", "find_structures", "list_models", "list_files", "list_handles", "run_batch", "write_prompts",
    "viewer_slices", "viewer_point",
}  # fmt: skip


@pytest.fixture
def doubtful(ask: Ask, root: Path) -> str:
    """A scan with voxel sizes and no orientation."""
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    image = nibabel.Nifti1Image(array, np.diag([0.8, 0.9, 3.0, 1.0]))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    image.header.set_zooms((0.8, 0.9, 3.0))
    nibabel.save(image, root / "doubtful.nii.gz")
    opened = ask("open_image", path="doubtful.nii.gz")
    assert SIDES in opened.text
    return str(opened.result["image_id"])


def test_every_answer_that_rests_on_an_image_has_room_for_its_doubts() -> None:
    rest = {tool.name for tool in TOOLS if not issubclass(tool.result, ImageAnswer)}
    assert rest == WITHOUT


def test_a_doubt_stands_in_every_later_answer_in_words_and_in_data(ask: Ask, doubtful: str) -> None:
    found = ask("segment", image_id=doubtful, structures=["liver"], wait_s=120)
    mask = found.result["masks"][0]["mask_id"]
    replies = [
        found,
        ask("measure", mask_ids=[mask]),
        ask("compare_masks", mask_a=mask, mask_b=mask),
        ask("edit_mask", operation="largest_part", mask_ids=[mask]),
        ask("render", image_id=doubtful, mask_ids=[mask]),
        ask("export", mask_ids=[mask]),
    ]
    for reply in replies:
        assert not reply.is_error, reply.text
        assert SIDES in reply.text
        assert any(SIDES in warning for warning in reply.result["image_warnings"])


def test_a_doubt_stands_in_the_answer_to_a_job(ask: Ask, doubtful: str) -> None:
    job = ask("segment", image_id=doubtful, structures=["liver"], wait_s=0).result["job_id"]
    reply = ask("get_job", job_id=job, wait_s=120)
    assert SIDES in reply.text
    assert any(SIDES in warning for warning in reply.result["image_warnings"])


def test_a_doubt_outlives_the_process(ask: Ask, doubtful: str, desk: Desk) -> None:
    mask = ask("segment", image_id=doubtful, structures=["liver"], wait_s=120).result["masks"][0]["mask_id"]
    with Desk(desk.settings) as later:
        answer = use(later, "measure", mask_ids=[mask])
    assert SIDES in answer.text
    assert isinstance(answer.result, ImageAnswer)
    assert any(SIDES in warning for warning in answer.result.image_warnings)


def test_two_images_are_told_apart(ask: Ask, desk: Desk, root: Path, doubtful: str) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (19, 23)).astype(np.uint8)).save(root / "p.png")
    picture = ask("open_image", path="p.png", modality="ct").result["image_id"]
    masks = []
    for image in (doubtful, picture):
        grid = desk.store.image(image).grid
        array = np.zeros(grid.shape, bool)
        array[3:9, 2:5] = True
        masks.append(desk.store.add_mask(Mask(array, grid), image_id=image, structure="liver", made_by="t").mask_id)
    reply = ask("measure", mask_ids=masks)
    said = reply.result["image_warnings"]
    assert any(w.startswith(doubtful) and SIDES in w for w in said)
    assert any(w.startswith(picture) and "not in HU" in w for w in said)
    assert reply.result["measurements"][1]["intensity"]["unit"] == "image units", "a picture has no HU"


@pytest.mark.parametrize("scale", [1 / 4096, 255 / 4096])
def test_a_scaled_ct_is_refused_by_a_model_that_needs_hu(ask: Ask, root: Path, scale: float) -> None:
    array = (toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17))).astype(np.float32) + 1024) * scale
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.9, 3.0, 1.0])), root / "scaled.nii.gz")
    image = ask("open_image", path="scaled.nii.gz", modality="ct").result["image_id"]
    (row,) = ask("segment", image_id=image, structures=["liver"], wait_s=120).result["masks"]
    assert row["verdict"] == "unsupported"
    assert "no Hounsfield units" in row["reason"]
    reply = ask("segment", image_id=image, structures=["liver"], model="toy-ct", wait_s=120)
    assert reply.is_error, "asked by name the model refuses"
    assert "no Hounsfield units" in reply.text


def test_an_answer_about_a_sound_scan_says_nothing_more(desk: Desk, ask: Ask, root: Path) -> None:
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.9, 1.0, 1.0])), root / "sound.nii.gz")
    image = ask("open_image", path="sound.nii.gz", modality="ct").result["image_id"]
    reply = ask("render", image_id=image)
    assert reply.result["image_warnings"] == []
    assert "Of the image" not in reply.text
