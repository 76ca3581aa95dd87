"""`compare_studies` as a client sees it: a textured body moved by a known amount, one ball grown, one gone."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.tools.desk.desk import Desk

from ...toys.desks import Ask

MOVED_MM = (8.0, -4.0, 12.0)  # whole voxels, so that the texture is the same


@dataclass(frozen=True)
class Pair:
    before: str
    after: str
    lesions: dict[str, str]


def ball(grid: Grid, centre: tuple[float, ...], radius: float) -> Mask:
    points = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return Mask(np.linalg.norm(points - centre, axis=-1) <= radius, grid)


@pytest.fixture
def pair(desk: Desk) -> Pair:
    shape = (47, 43, 41)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 3)
    scan = np.clip(60 + 60 * noise / noise.std(), -200, 300)
    edge = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - (23, 21, 20)) / (20, 17, 40), axis=-1) > 1
    scan[edge] = -1000
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    one, two = Grid(shape, affine), Grid(shape, affine + np.pad(np.array(MOVED_MM)[:, None], ((0, 1), (3, 0))))
    images = [
        desk.store.add_image(Volume(scan.astype(np.int16), grid, "ct"), source_name="x").image_id for grid in (one, two)
    ]
    here, there = (88.0, 88.0, 80.0), (88.0 + 8, 88.0 - 4, 80.0 + 12)
    masks = {
        "grown before": (0, ball(one, here, 12)),
        "gone": (0, ball(one, (60.0, 80.0, 120.0), 10)),
        "grown after": (1, ball(two, there, 18)),
    }
    kept = {
        name: desk.store.add_mask(mask, image_id=images[n], structure="liver tumour", made_by=name).mask_id
        for name, (n, mask) in masks.items()
    }
    return Pair(images[0], images[1], kept)


def test_a_moved_body_with_a_grown_and_a_gone_lesion(ask: Ask, pair: Pair) -> None:
    reply = ask(
        "compare_studies",
        before_mask_ids=[pair.lesions["grown before"], pair.lesions["gone"]],
        after_mask_ids=[pair.lesions["grown after"]],
    )
    result = reply.result
    rows = {row["state"]: row for row in result["lesions"]}
    assert set(rows) == {"matched", "gone"}
    assert rows["matched"]["before_mm"] == pytest.approx(24, abs=4)
    assert rows["matched"]["after_mm"] == pytest.approx(36, abs=4)
    assert rows["matched"]["after_ml"] == pytest.approx(4 / 3 * np.pi * 18**3 / 1000, rel=0.06)
    assert rows["matched"]["size_is"] == "complete"
    assert rows["gone"]["before"] == f"{pair.lesions['gone']}#1"
    assert result["sum_before_mm"] == pytest.approx(44, abs=6)
    assert result["sum_after_mm"] == rows["matched"]["after_mm"]
    assert result["moved_mm"] == pytest.approx(np.linalg.norm(MOVED_MM), abs=4)
    assert result["similarity"] > 0.95
    assert f"RECIST 1.1: {result['category']}" in reply.text


def test_a_study_without_lesions_needs_its_image(ask: Ask, pair: Pair) -> None:
    arguments = {"before_mask_ids": [pair.lesions["gone"]], "after_mask_ids": []}
    refused = ask("compare_studies", **arguments)
    assert refused.is_error
    assert "after_image_id" in refused.text
    reply = ask("compare_studies", **arguments, after_image_id=pair.after)
    assert reply.result["category"] == "complete response"
    assert reply.result["alignment"].startswith("rigid")
    assert reply.result["lesions"][0]["state"] == "gone"


def test_wrong_sides_are_refused(ask: Ask, pair: Pair, desk: Desk) -> None:
    before, after = pair.lesions["gone"], pair.lesions["grown after"]
    for arguments, fact in (
        ({"before_mask_ids": [before], "after_mask_ids": [before]}, "same image"),
        ({"before_mask_ids": [before, after], "after_mask_ids": [after]}, "2 images"),
        ({"before_mask_ids": ["msk_ffffffffffff"], "after_mask_ids": [after]}, "Unknown mask"),
    ):
        reply = ask("compare_studies", **arguments)
        assert reply.is_error
        assert fact in reply.text
    made = Volume(np.zeros((7, 5, 3), np.int16), Grid((7, 5, 3), np.eye(4)), "ct", synthetic=True)
    image = desk.store.add_image(made, source_name="x").image_id
    reply = ask("compare_studies", before_mask_ids=[before], after_mask_ids=[], after_image_id=image)
    assert reply.is_error
    assert "synthetic" in reply.text
