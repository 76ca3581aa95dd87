"""Uptake of a real sarcoma: our reading of the DICOM against the authors' own NIfTI of it, by other means."""

import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import scipy

from ostensor.imaging.geometry import reorient_array
from ostensor.imaging.volume import Grid, Mask
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use


@pytest.mark.data
def test_a_sarcomas_uptake_is_that_of_the_nifti_its_authors_wrote(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "sts_ibsi"
    scan, truth = (
        nibabel.as_closest_canonical(nibabel.load(folder / "nifti" / "STS_019" / f"PET_{kind}.nii.gz"))
        for kind in ("image", "mask")
    )
    suv, inside = np.asarray(scan.dataobj, dtype=np.float64), np.asarray(truth.dataobj) > 0
    spacing = np.array(scan.header.get_zooms()[:3], dtype=np.float64)
    with Desk(Settings(store=tmp_path / "store", roots=(folder,))) as desk:
        image = use(desk, "open_image", path="dicom/STS_019/PET/image").result.image_id  # type: ignore[attr-defined]
        grid = desk.store.image(image).grid
        turned, where = reorient_array(inside, Grid(inside.shape, scan.affine), grid.axis_codes)
        assert where.same_as(grid, tolerance_mm=0.05)
        mask = desk.store.add_mask(
            Mask(np.ascontiguousarray(turned), grid), image_id=image, structure=None, made_by="authors"
        )
        rows = use(desk, "derive", quantity="suv", mask_ids=[mask.mask_id]).result.model_dump()["values"]
    found = {row["quantity"]: row["value"] for row in rows}
    reach = [int(6.2035 / step) for step in spacing]
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1) * spacing
    ball = (np.linalg.norm(offsets, axis=-1) <= 10 * (3 / (4 * math.pi)) ** (1 / 3)).astype(float)
    means = scipy.ndimage.correlate(suv, ball / ball.sum(), mode="nearest")
    assert found["suv_max"] == pytest.approx(suv[inside].max(), abs=2e-3)
    assert found["suv_mean"] == pytest.approx(suv[inside].mean(), abs=2e-3)
    assert found["suv_peak"] == pytest.approx(means[inside].max(), abs=2e-3)
    assert found["mtv"] == pytest.approx(inside.sum() * spacing.prod() / 1000, rel=1e-3)
    assert found["tlg"] == pytest.approx(suv[inside].sum() * spacing.prod() / 1000, rel=1e-3)
