"""Masks of a phantom, as they are and spoilt in known ways; each check against a number worked out here."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from ostensor.imaging.geometry import reorient, reorient_mask
from ostensor.imaging.phantoms import Phantom, torso_ct
from ostensor.imaging.plausibility.assess import Check, Plausibility, assess
from ostensor.imaging.plausibility.priors import Priors, Range, partner_of, side_of
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.retrieval.anatomy.structures import StructureTable

NAMES = ("liver", "spleen", "left kidney", "right kidney", "aorta", "left lung", "right lung", "urinary bladder")
PRIORS = Priors(
    {
        ("liver", "volume_ml"): Range(900, 2500, "here"),
        ("left kidney", "volume_ml"): Range(90, 300, "here"),
        ("liver", "median_hu"): Range(40, 180, "here"),
        ("left lung", "flat_end"): Range(0, 1, "here"),
    },
    {},
)


@cache
def phantom() -> Phantom:
    return torso_ct(spacing_mm=(4.0, 3.5, 5.0))


def others(structure: str) -> dict[str, Mask]:
    return {name: phantom().masks[name] for name in NAMES if name != structure}


def judged(mask: Mask, structure: str, **kwargs: object) -> Plausibility:
    return assess(
        mask, structure, **{"image": phantom().volume, "others": others(structure), "priors": PRIORS, **kwargs}
    )  # type: ignore[arg-type]


def named(found: Plausibility, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def made(array: np.ndarray) -> Mask:
    return Mask(array, phantom().volume.grid)


@pytest.mark.parametrize("structure", NAMES)
def test_a_true_mask_is_plausible(structure: str) -> None:
    found = judged(phantom().masks[structure], structure)
    assert [(check.name, check.reason) for check in found.failed] == []


@pytest.mark.parametrize("codes", ["LPS", "SAR"])
def test_the_axis_order_changes_no_check(codes: str) -> None:
    mask = phantom().masks["left kidney"]
    plain = judged(mask, "left kidney")
    turned = assess(
        reorient_mask(mask, codes),
        "left kidney",
        image=reorient(phantom().volume, codes),
        others={name: reorient_mask(other, codes) for name, other in others("left kidney").items()},
        priors=PRIORS,
    )
    assert [(c.name, c.passed) for c in turned.checks] == [(c.name, c.passed) for c in plain.checks]


def test_an_empty_mask_fails() -> None:
    found = judged(made(np.zeros(phantom().volume.grid.shape, bool)), "liver")
    assert [check.name for check in found.failed] == ["not empty"]


def test_volume_outside_the_range_fails_with_the_number_and_the_source() -> None:
    mask = phantom().masks["spleen"]
    volume = mask.array.sum() * 4 * 3.5 * 5 / 1000
    check = named(judged(mask, "liver", others={}), "volume")
    assert (check.passed, check.low, check.high, check.source) == (False, 900, 2500, "here")
    assert check.value == pytest.approx(volume, abs=1e-3)
    assert f"{volume:.1f} ml" in check.reason


def test_a_structure_that_leaves_the_scan_may_be_small() -> None:
    grid = phantom().volume.grid
    cut = phantom().masks["liver"].array.copy()
    cut[:, :, :68] = False  # its lower part, and so the scan's
    shorter = Grid((*grid.shape[:2], grid.shape[2] - 68), grid.affine)
    scan = Volume(phantom().volume.array[:, :, 68:], shorter, "ct")
    check = named(assess(Mask(cut[:, :, 68:], shorter), "liver", image=scan, priors=PRIORS), "volume")
    assert check.value is not None
    assert check.value < 900
    assert check.passed


def test_the_wrong_side_fails_with_and_without_a_scan() -> None:
    turned = made(phantom().masks["left kidney"].array[::-1])
    assert named(judged(turned, "left kidney"), "side").passed is False
    assert named(judged(turned, "left kidney", image=None), "side").passed is False, "from the lungs' middle"
    assert named(judged(turned, "left kidney", image=None, others={}), "side").passed is None


def test_overlap_with_another_structure_fails_and_names_it() -> None:
    moved = np.roll(phantom().masks["right kidney"].array, 16, axis=2)  # 80 mm up, into the liver
    both = (moved & phantom().masks["liver"].array).sum() / moved.sum()
    check = named(judged(made(moved), "right kidney"), "overlap")
    assert check.passed is False
    assert check.value == pytest.approx(both, abs=1e-4)
    assert "liver" in check.reason


def test_stray_parts_and_holes_fail() -> None:
    liver = phantom().masks["liver"].array
    stray = liver.copy()
    stray[3:14, 3:13, 3:20] = True
    assert named(judged(made(stray), "liver"), "parts").value == pytest.approx(11 * 10 * 17 / stray.sum(), abs=1e-4)
    assert named(judged(made(stray), "liver"), "parts").passed is False or stray.sum() > 11 * 10 * 17 / 0.12
    hollow = liver & ~ndimage.binary_erosion(liver, iterations=3)
    check = named(judged(made(hollow), "liver"), "holes")
    assert check.passed is False
    assert check.value == pytest.approx(1 - hollow.sum() / liver.sum(), abs=1e-4)


def test_grey_values_of_another_tissue_fail_in_ct_only() -> None:
    lung = phantom().masks["right lung"]
    check = named(judged(lung, "liver", others={}), "intensity")
    assert check.passed is False
    assert check.value == pytest.approx(np.median(phantom().volume.array[lung.array]))
    mr = Volume(phantom().volume.array, phantom().volume.grid, "mr")
    assert named(judged(lung, "liver", image=mr), "intensity").passed is None


def test_a_pair_of_unequal_size_fails() -> None:
    small = ndimage.binary_erosion(phantom().masks["left kidney"].array, iterations=3)
    ratio = phantom().masks["right kidney"].array.sum() / small.sum()
    check = named(judged(made(small), "left kidney"), "symmetry")
    assert check.value == pytest.approx(ratio, abs=1e-4)
    assert ratio > 1.85
    assert check.passed is False


@pytest.mark.parametrize(("axis", "steps", "way"), [(2, 13, "superior"), (2, -13, "inferior"), (1, 10, "posterior")])
def test_one_of_a_pair_that_lies_higher_or_deeper_fails(axis: int, steps: int, way: str) -> None:
    """Both kidneys of the phantom lie alike up to a few mm; the distance is worked out from their own centres."""
    kidneys = [phantom().masks[f"{side} kidney"] for side in ("left", "right")]
    centres = [np.argwhere(kidney.array).mean(axis=0) for kidney in kidneys]
    codes = phantom().volume.grid.axis_codes
    forward = codes[axis] == way[0].upper()
    moved = made(np.roll(kidneys[0].array, abs(steps) if forward else -abs(steps), axis=axis))
    apart = abs((centres[0] - centres[1])[axis] + (abs(steps) if forward else -abs(steps)))
    check = named(judged(moved, "left kidney"), "level")
    assert check.passed is False
    assert check.value == pytest.approx(apart * (4, 3.5, 5)[axis], abs=0.1)
    assert f"mm {way} of its partner's" in check.reason
    assert named(judged(kidneys[0], "left kidney"), "level").passed
    assert named(judged(moved, "left kidney", others={}), "level").passed is None


def test_an_eroded_mask_ends_inside_its_tissue() -> None:
    """Two voxels were taken off all around, so all of the first shell outside is still liver."""
    small = ndimage.binary_erosion(phantom().masks["liver"].array, iterations=2)
    check = named(judged(made(small), "liver"), "border")
    assert check.passed is False
    assert check.value is not None
    assert check.value > 0.9
    assert "2 voxels outside" in check.reason


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_a_mask_ends_in_a_flat_face(axis: int) -> None:
    half = phantom().masks["liver"].array.copy()
    middle = round(float(np.argwhere(half)[:, axis].mean()))
    np.moveaxis(half, axis, 0)[middle:] = False
    check = named(judged(made(half), "liver"), "flat end")
    assert check.passed is False
    assert "flat face" in check.reason
    assert named(judged(made(half), "left lung"), "flat end").passed is None, "some end in a plane by convention"


def test_a_misplaced_structure_is_noticed_by_its_neighbours() -> None:
    """The reference body is the phantom itself, scaled by 1.1 and moved; the shift is then the whole error."""
    masks = phantom().masks
    centres = {name: 1.1 * (np.argwhere(masks[name].array).mean(axis=0) * (4, 3.5, 5)) + (7, -4, 30) for name in NAMES}
    known = Priors({}, {"itself": centres})
    right = named(judged(masks["spleen"], "spleen", image=None, priors=known), "place")
    assert right.passed
    assert right.value == pytest.approx(0, abs=3)
    moved = made(np.roll(masks["spleen"].array, -20, axis=2))
    wrong = named(judged(moved, "spleen", image=None, priors=known), "place")
    assert wrong.passed is False
    assert wrong.value == pytest.approx(100, abs=3)
    assert named(judged(moved, "spleen", others={}, priors=known), "place").passed is None


def test_sides_and_partners_are_read_from_names() -> None:
    assert (side_of("left kidney"), side_of("liver"), side_of("right rib 4")) == ("left", "", "right")
    assert (partner_of("left kidney"), partner_of("liver")) == ("right kidney", None)
    assert side_of("left lateral ventricle") == "left"
    for chamber in ("right ventricle", "left heart atrium", "left atrial appendage"):
        assert (side_of(chamber), partner_of(chamber)) == ("", None), "the heart lies left of the middle as a whole"


def test_every_bundled_prior_has_a_source_and_an_order() -> None:
    known = Priors.bundled()
    assert len(known.ranges) > 100
    for (structure, quantity), allowed in known.ranges.items():
        assert quantity in ("volume_ml", "median_hu", "parts", "flat_end"), structure
        assert allowed.low < allowed.high or quantity == "parts"
        assert len(allowed.source) > 10
    low, high = known.ranges["liver", "volume_ml"].low, known.ranges["liver", "volume_ml"].high
    assert low < 1000 < 2500 < high, "UKBOB's window lies inside"
    assert {"hra-male", "hra-female"} <= set(known.bodies)
    for body in ("hra-male", "hra-female"):
        assert known.bodies[body]["liver"][0] > known.bodies[body]["spleen"][0], "the liver lies right of the spleen"


def test_priors_bear_the_names_that_tools_use() -> None:
    """A row under another name is never found; "vertebrae" is a label of the reference bodies only."""
    known = Priors.bundled()
    names = {name for name, _quantity in known.ranges} | {name for body in known.bodies.values() for name in body}
    table = StructureTable.bundled()
    assert {name for name in names if table.get(name) is None} == {"vertebrae"}
    assert known.get("left eleventh rib", "median_hu") is not None
    assert known.get("left ventricle", "volume_ml") is None, "the atlas's ventricles hold their walls"
