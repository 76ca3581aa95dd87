"""A scan is placed in the body by what was found in it. Truth: stretches cut out of the reference body itself."""

import numpy as np
import pytest

from ostensor.imaging.plausibility.levels import Heights, place_scan
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

NAMES = ("liver", "spleen", "kidneys", "urinary bladder", "hip bones", "femora", "aorta")
SPACING = (7.0, 11.0, 5.0)


def stretch(low_mm: float, high_mm: float, *, flip: bool = False, origin_mm: float = 137.0) -> list[tuple[str, Region]]:
    """Columns of voxels whose volume per height is that of the first reference body between two heights of its own."""
    body = Heights.bundled()[0]
    planes = round((high_mm - low_mm) / SPACING[2])
    affine = np.diag([-SPACING[0], SPACING[1], SPACING[2], 1.0])
    affine[2, 3] = origin_mm
    if flip:
        affine[2, 2] *= -1
        affine[2, 3] = origin_mm + SPACING[2] * (planes - 1)
    grid = Grid((53, 47, planes), affine)
    found = []
    for name in NAMES:
        array = np.zeros(grid.shape, dtype=np.bool_)
        for plane in range(planes):
            height = low_mm + SPACING[2] * (plane + 0.5)
            place = int((height - body.low_mm) // 10)
            profile = body.profiles[name]
            volume = profile[place] * SPACING[2] / 10 if 0 <= place < len(profile) else 0.0
            count = round(volume / grid.voxel_ml)
            array[:, :, planes - 1 - plane if flip else plane].flat[:count] = True
        found.append((name, Region.of(Mask(array, grid))))
    return found


def test_a_pelvis_shows_no_liver_and_all_of_the_bladder() -> None:
    placed = place_scan(stretch(-40.0, 140.0))
    assert placed is not None
    assert placed.has_order
    assert placed.in_view["liver"] < 0.01
    assert placed.in_view["urinary bladder"] > 0.9


def test_an_upper_abdomen_shows_the_liver_and_no_femora() -> None:
    placed = place_scan(stretch(280.0, 480.0))
    assert placed is not None
    assert placed.in_view["liver"] > 0.8
    assert placed.in_view["femora"] < 0.01


def test_a_stack_that_counts_downwards_is_placed_alike() -> None:
    up, down = (place_scan(stretch(-40.0, 140.0, flip=flip)) for flip in (False, True))
    assert up is not None
    assert down is not None
    for name in NAMES:
        assert down.in_view[name] == pytest.approx(up.in_view[name], abs=0.02)


def test_a_liver_among_hip_bones_is_at_the_wrong_height() -> None:
    found = dict(stretch(-40.0, 140.0))
    placed = place_scan(found.items())
    assert placed is not None
    wrong = placed.at_right_height("liver", found["hip bones"])
    assert wrong is not None
    assert wrong < 0.05
    right = placed.at_right_height("hip bones", found["hip bones"])
    assert right is not None
    assert right > 0.9
    assert placed.at_right_height("philtrum", found["hip bones"]) is None


def test_organs_of_both_ends_of_the_trunk_at_one_height_have_no_order() -> None:
    pelvis, belly = dict(stretch(-40.0, 140.0)), dict(stretch(280.0, 460.0))
    grid = pelvis["liver"].grid
    mixed = {
        name: Region(region.array, region.box, grid)
        for name, region in {"liver": belly["liver"], "femora": pelvis["femora"], "aorta": belly["liver"]}.items()
    }
    kept = place_scan(stretch(-40.0, 140.0))
    placed = place_scan([*mixed.items(), ("hip bones", belly["hip bones"]), ("urinary bladder", belly["femora"])])
    assert kept is not None
    assert placed is not None
    assert placed.explained / placed.found < kept.explained / kept.found / 2


def test_nothing_found_and_nothing_known_are_not_placed() -> None:
    grid = Grid((13, 11, 17), np.diag([3.0, 3.0, 5.0, 1.0]))
    empty = Region.of(Mask(np.zeros(grid.shape, dtype=np.bool_), grid))
    placed = place_scan([("liver", empty), ("spleen", empty)])
    assert placed is not None
    assert not placed.has_order
    assert place_scan([("philtrum", empty)]) is None
    thin = Grid((13, 11, 5), np.diag([3.0, 3.0, 5.0, 1.0]))
    assert place_scan([("liver", Region.of(Mask(np.ones(thin.shape, dtype=np.bool_), thin)))]) is None
    unknown = Grid((13, 11, 17), np.eye(4), spacing_known=False)
    assert place_scan([("liver", Region.of(Mask(np.ones(unknown.shape, dtype=np.bool_), unknown)))]) is None
