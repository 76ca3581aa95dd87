"""What export writes, import_mask reads back: to the voxel, and outlines within the tolerance that export itself keeps."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from ostensor.imaging.volume import Mask
from ostensor.tools.desk.desk import Desk

from ...imaging import made_dicom
from ...toys.desks import Ask


def blob(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """An odd body with a hole and a speck apart, without symmetry."""
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    rough = np.random.default_rng(seed).random(shape) < 0.98
    body = ((x - shape[0] / 3) / (shape[0] / 4)) ** 2 + ((y - shape[1] / 2) / (shape[1] / 3)) ** 2 < 1 + 0 * z
    body = body & (z >= shape[2] // 5) & (z < shape[2] - 3)
    hole = (abs(x - shape[0] // 3) < 3) & (abs(y - shape[1] // 2) < 4)
    return (body & ~hole & rough) | ((x == shape[0] - 4) & (y == 3) & (z == shape[2] // 2))


def drawn(desk: Desk, image_id: str, structure: str, seed: int) -> str:
    grid = desk.store.image(image_id).grid
    return desk.store.add_mask(Mask(blob(grid.shape, seed), grid), image_id=image_id, structure=structure).mask_id


@pytest.fixture(params=["nifti", "dicom"])
def scan(request: pytest.FixtureRequest, ask: Ask, root: Path) -> str:
    """An anisotropic NIfTI, or an oblique DICOM series with identity."""
    if request.param == "nifti":
        return str(ask("open_image", path="ct.nii.gz").result["image_id"])
    turned = [0.8, 0.6, 0, -0.48, 0.64, 0.6]
    normal = np.cross(turned[:3], turned[3:])
    rows, columns = 31, 37
    slices = []
    for z in range(13):
        data = made_dicom.ct_slice(
            0, ImageOrientationPatient=turned, ImagePositionPatient=list(normal * 2.5 * z + [10, 20, -30])
        )
        data.Rows, data.Columns = rows, columns
        data.PixelData = (np.arange(rows * columns) % 900 + z).astype(np.uint16).tobytes()
        data.FrameOfReferenceUID = "1.2.840.999.7"
        slices.append(data)
    made_dicom.save(root / "series", slices)
    return str(ask("open_image", path="series").result["image_id"])


@pytest.mark.parametrize("format", ["nifti", "nrrd", "dicom_seg"])
def test_masks_come_back_to_the_voxel_under_their_names(
    ask: Ask, desk: Desk, scan: str, root: Path, format: str
) -> None:
    masks = {name: drawn(desk, scan, name, n) for n, name in enumerate(("liver", "left kidney"))}
    files = ask("export", mask_ids=list(masks.values()), format=format).result["files"]
    for path in dict.fromkeys(row["path"] for row in files):
        reply = ask("import_mask", path=path, image_id=scan)
        assert not reply.is_error, reply.text
        assert reply.result["exact"] is True
        for row in reply.result["masks"]:
            assert row["file_ml"] is None
            assert np.array_equal(desk.store.mask(row["mask_id"]).array, desk.store.mask(masks[row["structure"]]).array)
            assert not row["warnings"]
    assert {row["mask_id"] for row in files} == set(masks.values())


def test_outlines_come_back_within_the_tolerance_of_the_export(ask: Ask, desk: Desk, scan: str) -> None:
    """Dice at least 0.95 is what export itself demands; here, what it measured when it read the file back."""
    masks = {name: drawn(desk, scan, name, n) for n, name in enumerate(("liver", "spleen"))}
    files = ask("export", mask_ids=list(masks.values()), format="rtstruct").result["files"]
    reply = ask("import_mask", path=files[0]["path"], image_id=scan)
    assert not reply.is_error, reply.text
    measured = {row["mask_id"]: row["readback_dice"] for row in files}
    for row in reply.result["masks"]:
        found = ask("compare_masks", mask_a=row["mask_id"], mask_b=masks[row["structure"]]).result["dice"]
        assert found == pytest.approx(measured[masks[row["structure"]]], abs=1e-6)
        assert found >= 0.95
        assert row["file_ml"] == pytest.approx(row["volume_ml"], rel=0.1)  # what outlines enclose, corners cut


def test_a_mask_of_a_slice_comes_back_from_a_picture(ask: Ask, desk: Desk, root: Path) -> None:
    grey = (np.arange(23 * 17).reshape(17, 23) % 200).astype(np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(grey), str(root / "slice.png"))
    scan = str(ask("open_image", path="slice.png", modality="us").result["image_id"])
    grid = desk.store.image(scan).grid
    array = np.zeros(grid.shape, dtype=np.bool_)
    array[3:11, 5:7, 0] = array[9, 7:15, 0] = True
    mask = desk.store.add_mask(Mask(array, grid), image_id=scan, structure="liver").mask_id
    path = ask("export", mask_ids=[mask], format="png").result["files"][0]["path"]
    oracle = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(root / path)))
    reply = ask("import_mask", path=path, image_id=scan)
    (row,) = reply.result["masks"]
    assert row["structure"] == "liver"
    assert row["volume_ml"] is None
    assert np.array_equal(desk.store.mask(row["mask_id"]).array[:, :, 0].T, oracle > 0)
    assert np.array_equal(desk.store.mask(row["mask_id"]).array, array)
