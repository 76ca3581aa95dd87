"""Two scans of a phantom moved and grown by known amounts."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import resample
from ostensor.imaging.masks.followup import Change, Lesion, changes, follow, parts_of, response
from ostensor.imaging.masks.registration import Alignment, align
from ostensor.imaging.phantoms import torso_ct
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask, Volume

TURN = np.eye(4)  # the patient lies turned by 6 degrees and moved by some centimetres
TURN[:3, :3] = Rotation.from_euler("zyx", (6, -3, 2), degrees=True).as_matrix()
TURN[:3, 3] = (14.0, -9.0, 22.0)
LIVER, LUNG, SPLEEN = (70.0, 25.0, 105.0), (75.0, 10.0, 262.0), (-98.0, -30.0, 112.0)


@dataclass(frozen=True)
class Study:
    volume: Volume
    masks: list[Mask]


def ball(grid: Grid, centre: tuple[float, float, float], radius: float, moved: np.ndarray) -> np.ndarray:
    place = moved @ [*centre, 1]
    index = np.indices(grid.shape).reshape(3, -1)
    points = grid.affine[:3, :3] @ index + grid.affine[:3, 3:]
    return (np.linalg.norm(points - place[:3, None], axis=0) <= radius).reshape(grid.shape)


def study(lesions: dict[tuple[float, float, float], float], *, moved: np.ndarray, spacing: tuple[float, ...]) -> Study:
    """The torso, moved, on a grid of its own, with balls of known radius painted in."""
    body = torso_ct(spacing_mm=(4.0, 4.0, 4.0), field_mm=((-190, 190), (-140, 140), (-20, 330))).volume
    shape = tuple(round(n * 4 / s) + 6 for n, s in zip(body.grid.shape, spacing, strict=True))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = body.grid.affine[:3, 3] - 10
    grid = Grid(shape, affine)
    lying = Grid(body.grid.shape, moved @ body.grid.affine)
    scan = np.array(resample(body.array, lying, grid, fill=-1000.0))
    masks = []
    for centre, radius in lesions.items():
        inside = ball(grid, centre, radius, moved)
        scan[inside] = 190
        masks.append(Mask(inside, grid))
    return Study(Volume(scan.astype(np.int16), grid, "ct", synthetic=True), masks)


@cache
def studies() -> tuple[Study, Study, Alignment]:
    """Liver ball 10 -> 15 mm, spleen ball 7 -> 7 mm; the lung ball is gone, one in the left lung is new."""
    before = study({LIVER: 10.0, SPLEEN: 7.0, LUNG: 9.0}, moved=np.eye(4), spacing=(3.0, 3.5, 4.0))
    after = study({LIVER: 15.0, SPLEEN: 7.0, (-70.0, 5.0, 270.0): 8.0}, moved=TURN, spacing=(3.5, 3.0, 5.0))
    return before, after, align(before.volume, after.volume)


def test_points_are_carried_to_where_the_patient_lies_now() -> None:
    _before, _after, alignment = studies()
    points = np.array([LIVER, SPLEEN, LUNG])
    wanted = points @ TURN[:3, :3].T + TURN[:3, 3]
    assert np.linalg.norm(alignment.carry(points) - wanted, axis=1).max() < 5, "a voxel or so"
    assert alignment.similarity_after > 0.9 > alignment.similarity_before
    wanted_mm = np.median(np.linalg.norm(points - wanted, axis=1))
    assert alignment.moved_mm == pytest.approx(wanted_mm, abs=10)


def test_lesions_are_matched_and_measured_in_their_own_scans() -> None:
    before, after, alignment = studies()
    found = changes(parts_of(before.masks).lesions, parts_of(after.masks).lesions, alignment)
    states = {(c.earlier.mask if c.earlier else None, c.later.mask if c.later else None): c.state for c in found}
    assert states == {(0, 0): "matched", (1, 1): "matched", (2, None): "gone", (None, 2): "new"}
    grown = next(c for c in found if c.earlier and c.earlier.mask == 0)
    assert grown.earlier is not None
    assert grown.later is not None
    assert grown.earlier.longest_mm == pytest.approx(20, abs=3.5)
    assert grown.later.longest_mm == pytest.approx(30, abs=3.5)
    assert grown.later.volume_ml == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.06)
    assert response(found).category == "progressive disease"


def lesion(longest: float, number: int = 0) -> Lesion:
    region = Region(np.ones((1, 1, 1), bool), None, Grid((1, 1, 1), np.eye(4)))
    return Lesion(number, 1, region, longest, longest / 2, longest**3 / 1e4, (0, 0, 0))


def change(before: float | None, after: float | None, state: str = "matched") -> Change:
    return Change(lesion(before) if before else None, lesion(after) if after else None, state, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "category", "percent"),
    [
        ([change(30, 20), change(20, 15)], "partial response", -30),
        ([change(30, 21), change(20, 15)], "stable disease", -28),
        ([change(30, 36), change(20, 24)], "progressive disease", 20),
        ([change(20, 24)], "stable disease", 20),  # 20 % but only 4 mm
        ([change(30, 20), change(None, 9, "new")], "progressive disease", -100 / 3),
        ([change(30, None, "gone"), change(12, None, "gone")], "complete response", -100),
        ([change(30, None, "gone"), change(8, 8)], "partial response", -100),  # the small one is left
        ([change(8, 16)], "not evaluable", None),
        ([change(30, 50, "merged"), change(20, 50)], "not evaluable", 0),
        ([], "not evaluable", None),
    ],
)
def test_categories_follow_recist(table: list[Change], category: str, percent: float | None) -> None:
    """Eisenhauer et al. 2009, section 4.3, worked by hand."""
    found = response(table)
    assert found.category == category
    assert found.change_percent == (None if percent is None else pytest.approx(percent))


def test_only_the_five_longest_measurable_lesions_are_targets() -> None:
    found = response([change(size, size) for size in (9, 11, 12, 13, 14, 15, 16)])
    assert (found.targets, found.sum_before_mm) == (5, 70)


def test_a_lesion_that_grew_into_another_is_merged_not_gone() -> None:
    grid = Grid((31, 29, 13), np.diag([1.0, 1.0, 2.0, 1.0]))
    two, one = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    two[4:10, 5:12, 3:6] = two[14:18, 5:12, 3:6] = True
    one[4:18, 5:12, 3:6] = True
    still = Alignment(1, 1, 0, "", _Still())
    found = changes(parts_of([Mask(two, grid)]).lesions, parts_of([Mask(one, grid)]).lesions, still)
    assert sorted(c.state for c in found) == ["matched", "merged"]
    assert [c.earlier.part for c in found if c.earlier and c.state == "matched"] == [1], "the larger one keeps it"


def test_a_speck_is_neither_new_nor_gone_but_a_lesion_that_shrank_to_one_is_left() -> None:
    """Boxes of whole voxels of 1 x 1 x 2 mm: 9 mm are a lesion, 3 mm across are a speck, two voxels are noise."""
    grid = Grid((61, 29, 13), np.diag([1.0, 1.0, 2.0, 1.0]))
    before, after = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    before[4:13, 5:14, 3:6] = before[40:43, 5:8, 4] = before[24:27, 20:23, 4] = True
    after[7:10, 8:11, 4] = after[50:53, 20:23, 8] = after[58:60, 2, 1] = after[22:31, 18:27, 3:6] = True
    still = Alignment(1, 1, 0, "", _Still())
    found = follow(parts_of([Mask(before, grid)]), parts_of([Mask(after, grid)]), still)
    assert [c.state for c in found.changes] == ["matched", "matched"], "shrunk to a speck, and grown from one"
    assert (found.specks_before, found.specks_after) == (1, 2)
    assert response(found.changes).category == "partial response"


class _Still:
    def TransformPoint(self, point: tuple[float, ...]) -> tuple[float, ...]:
        return point


def test_scans_that_cannot_be_laid_over_each_other_are_refused() -> None:
    flat = Volume(np.zeros((7, 5, 1), np.int16), Grid((7, 5, 1), np.eye(4)), "ct")
    whole = Volume(np.zeros((7, 5, 3), np.int16), Grid((7, 5, 3), np.eye(4), False), "ct")
    for volume in (flat, whole):
        with pytest.raises(BadCall, match="one slice"):
            align(volume, volume)
