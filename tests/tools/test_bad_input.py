"""Everything a caller can get wrong, through the MCP server: a clear error, and the server lives on."""

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from ostensor.tools.desk.desk import Desk

from ..toys.desks import AFFINE, Ask, save, toy_scan


def nan_scan() -> np.ndarray:
    array = toy_scan().astype(np.float32)
    array[5, 5, 5] = np.nan
    return array


def write(folder: Path, kind: str) -> str:
    """A file of this kind of wrongness; answers its name."""
    if kind == "missing":
        return "none.nii.gz"
    if kind == "no images":
        (folder / "empty").mkdir()
        (folder / "empty" / "notes.txt").write_text("nothing")
        return "empty"
    if kind == "truncated gzip":
        whole = (folder / "ct.nii.gz").read_bytes()
        (folder / "short.nii.gz").write_bytes(whole[: len(whole) // 2])
        return "short.nii.gz"
    if kind == "wrong magic":
        (folder / "magic.nii.gz").write_bytes(gzip.compress(b"\x01" * 500))
        return "magic.nii.gz"
    if kind == "empty file":
        (folder / "zero.nii.gz").write_bytes(b"")
        return "zero.nii.gz"
    if kind == "outside":
        save(folder.parent / "secret.nii.gz", toy_scan())
        return "../secret.nii.gz"
    if kind == "link outside":
        save(folder.parent / "secret.nii.gz", toy_scan())
        (folder / "link.nii.gz").symlink_to(folder.parent / "secret.nii.gz")
        return "link.nii.gz"
    if kind == "colour":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 11, 3), dtype=np.uint8)).save(folder / "c.png")
        return "c.png"
    arrays: dict[str, np.ndarray] = {
        "4-D": np.zeros((5, 7, 9, 3), np.int16),
        "complex": np.ones((5, 7, 9), np.complex64),
        "NaN": nan_scan(),
    }
    if kind in arrays:
        save(folder / "bad.nii.gz", arrays[kind])
        return "bad.nii.gz"
    image = nibabel.Nifti1Image(np.zeros((5, 7, 9), np.int16), np.eye(4))
    raw = bytearray(image.to_bytes())
    if kind == "zero size":
        raw[42:44] = (0).to_bytes(2, "little")  # dim[1]
    if kind == "singular affine":
        raw[280:296] = bytes(16)  # srow_x
        raw[252:256] = b"\x00\x00\x01\x00"  # qform_code 0, sform_code 1
    (folder / "bad.nii").write_bytes(bytes(raw))
    return "bad.nii"


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("missing", "does not exist"),
        ("no images", "no "),
        ("truncated gzip", "cut short or damaged"),
        ("wrong magic", "not a NIfTI file"),
        ("empty file", "empty"),
        ("zero size", "no voxels"),
        ("4-D", "One 3-D volume is needed"),
        ("complex", "complex"),
        ("singular affine", "affine"),
        ("NaN", "finite"),
        ("outside", "outside the allowed folders"),
        ("link outside", "outside the allowed folders"),
        ("colour", "colour"),
    ],
)
def test_files_that_cannot_be_opened(ask: Ask, root: Path, tmp_path: Path, kind: str, fact: str) -> None:
    reply = ask("open_image", path=write(root, kind))
    assert reply.is_error
    assert fact in reply.text
    assert str(tmp_path) not in reply.text, "no path leaks"
    assert not ask("open_image", path="ct.nii.gz").is_error, "the server is alive"


@pytest.mark.parametrize(
    ("tool", "arguments", "fact"),
    [
        ("segment", {"image_id": "img_ffffffffffff", "structures": ["liver"]}, "Unknown image"),
        ("segment", {"structures": []}, "empty"),
        ("segment", {"structures": ["liver"] * 500}, "500 structures"),
        ("segment", {"structures": ["liver"], "model": "nnu-net"}, "closest: "),
        ("segment", {"structures": ["liver"], "model": "toy-mr"}, "takes mr images"),
        ("segment", {"structures": ["liver"], "model": "toy-missing"}, "models import toy-missing"),
        ("segment", {"structures": ["liver"], "wait_s": -1}, "'wait_s'"),
        ("segment", {"structures": ["liver"], "organs": ["x"]}, "'organs' is not an argument"),
        ("segment", {}, "'structures' is missing"),
        ("render", {"mask_ids": ["msk_ffffffffffff"]}, "Unknown mask"),
        ("render", {"slice_index": 4000}, "slice"),
        ("render", {"view": "oblique"}, "'view'"),
    ],
)
def test_arguments_that_make_no_sense(ask: Ask, image_id: str, tool: str, arguments: dict[str, Any], fact: str) -> None:
    reply = ask(tool, **{"image_id": image_id, **arguments})
    assert reply.is_error
    assert fact in reply.text
    assert "pydantic" not in reply.text
    assert not ask("segment", image_id=image_id, structures=["liver"]).is_error


@pytest.mark.parametrize(
    ("tool", "arguments", "fact"),
    [
        ("measure", {"mask_ids": []}, "'mask_ids'"),
        ("measure", {"mask_ids": ["msk_ffffffffffff"]}, "Unknown mask"),
        ("compare_masks", {"mask_a": "msk_ffffffffffff", "mask_b": "msk_ffffffffffff"}, "Unknown mask"),
        ("export", {"mask_ids": ["msk_ffffffffffff"], "folder": "/etc"}, "outside the allowed folders"),
        ("get_job", {"job_id": "job_ffff"}, "Unknown job"),
        ("cancel_job", {"job_id": "job_ffff"}, "Unknown job"),
        ("list_models", {"structure": "flux capacitor"}, "Unknown structure"),
        ("no_such_tool", {}, "Unknown tool"),
    ],
)
def test_handles_and_names_that_do_not_exist(ask: Ask, tool: str, arguments: dict[str, Any], fact: str) -> None:
    reply = ask(tool, **arguments)
    assert reply.is_error
    assert fact in reply.text


def test_a_2d_image_for_a_3d_model(ask: Ask, root: Path) -> None:
    save(root / "slice.nii.gz", toy_scan()[:, :, :1])
    image = ask("open_image", path="slice.nii.gz", modality="ct").result["image_id"]
    reply = ask("segment", image_id=image, structures=["liver"], model="toy-ct")
    assert reply.is_error
    assert "is a 2-D image" in reply.text
    row = ask("segment", image_id=image, structures=["liver"]).result["masks"][0]
    assert row["verdict"] == "unsupported"
    assert "2-D ct image" in row["reason"]


def test_masks_of_different_images_are_not_mixed(ask: Ask, root: Path, image_id: str) -> None:
    shifted = AFFINE + np.array([[0, 0, 0, 5.0], *[[0.0] * 4] * 3])
    save(root / "other.nii.gz", toy_scan(liver=(slice(9, 20), slice(9, 20), slice(3, 9))), shifted)
    other = ask("open_image", path="other.nii.gz").result["image_id"]
    one, two = (
        ask("segment", image_id=image, structures=["liver"]).result["masks"][0]["mask_id"]
        for image in (image_id, other)
    )
    for tool, arguments in (
        ("edit_mask", {"operation": "union", "mask_ids": [one, two]}),
        ("compare_masks", {"mask_a": one, "mask_b": two}),
        ("render", {"image_id": image_id, "mask_ids": [two]}),
    ):
        reply = ask(tool, **arguments)
        assert reply.is_error
        assert "image" in reply.text or "grid" in reply.text


def test_research_weights_are_not_used_commercially(settings: Any, root: Path) -> None:
    import dataclasses

    from ostensor.imaging.errors import Unavailable
    from ostensor.tools.running import use

    save(root / "h.nii.gz", toy_scan(heart=(slice(9, 20), slice(9, 20), slice(3, 9))))
    for purpose, verdict in (("research", "present"), ("commercial", "unsupported")):
        with Desk(dataclasses.replace(settings, purpose=purpose)) as desk:
            image = use(desk, "open_image", path="h.nii.gz").result.model_dump()["image_id"]
            rows = use(desk, "segment", image_id=image, structures=["heart"]).result.model_dump()["masks"]
            assert rows[0]["verdict"] == verdict
            if purpose == "commercial":
                with pytest.raises(Unavailable, match="research only"):
                    use(desk, "segment", image_id=image, structures=["heart"], model="toy-heart")
