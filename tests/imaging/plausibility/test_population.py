"""Labels against a cohort: ellipsoids have known axes, and ranks of a cohort are counted by hand."""

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.plausibility.population import (
    LEAST_LABELS,
    Population,
    Traits,
    label_quality,
    population_of,
    traits_of,
)
from ostensor.imaging.volume import Grid, Mask


def ellipsoid(axes_mm: tuple[float, float, float], spacing: tuple[float, float, float], turned: bool = False) -> Mask:
    """Half axes along x, y, z of the patient, off the middle of an anisotropic grid."""
    affine = np.diag([*spacing, 1.0])
    if turned:
        c, s = np.cos(0.5), np.sin(0.5)
        affine[:2, :2] = np.array([[c, -s], [s, c]]) @ affine[:2, :2]
    shape = tuple(int(70 / side) for side in spacing)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    away = (index - np.array(shape) * 0.48) * np.array(spacing)
    return Mask(((away / np.array(axes_mm)) ** 2).sum(-1) < 1, Grid(shape, affine))


@pytest.mark.parametrize(("axes", "expected"), [((20, 20, 20), 0.0), ((28, 14, 14), 0.866), ((28, 28, 7), 0.968)])
def test_eccentricity_of_ellipsoids(axes: tuple[float, float, float], expected: float) -> None:
    """sqrt(1 - (least / greatest half axis)^2), whatever the voxels and however the grid is turned."""
    for spacing, turned in (((1.0, 1.0, 1.0), False), ((0.9, 1.1, 2.0), True)):
        traits = traits_of(ellipsoid(axes, spacing, turned), 1000.0)
        assert traits.eccentricity is not None
        assert traits.eccentricity**2 == pytest.approx(expected**2, abs=0.01)


def test_the_volume_is_a_share_of_the_body() -> None:
    traits = traits_of(ellipsoid((28, 14, 14), (0.9, 1.1, 2.0)), 2000.0)
    assert traits.volume_share == pytest.approx(4 / 3 * np.pi * 28 * 14 * 14 / 1000 / 2000, rel=0.02)
    assert traits.sphericity is not None
    assert traits.sphericity < traits_of(ellipsoid((20, 20, 20), (1, 1, 1)), 2000.0).sphericity  # type: ignore[operator]


def test_the_tails_of_a_cohort_are_counted() -> None:
    """Of 0, 1, ..., 100 two lie below 2 and two above 98."""
    cohort = population_of([Traits(float(n), 1.0 - n / 200, None) for n in range(101)])
    assert cohort.limits["volume_share"] == pytest.approx((2, 98))
    assert cohort.limits["sphericity"] == pytest.approx((0.51, 0.99))
    assert "eccentricity" not in cohort.limits
    assert (cohort.labels, cohort.tail) == (101, 0.02)


def test_one_strange_trait_is_let_pass_and_two_stand_out() -> None:
    cohort = Population({"volume_share": (0.01, 0.03), "sphericity": (0.5, 0.8), "eccentricity": (0.2, 0.9)}, 60, 0.02)
    assert not label_quality(Traits(0.05, 0.6, 0.5), cohort).stands_out
    quality = label_quality(Traits(0.05, 0.6, 0.95), cohort)
    assert quality.stands_out
    assert [check.passed for check in quality.checks] == [False, True, False]
    assert quality.checks[0].reason == "The volume share lies outside the middle 96% of 60 labels."
    unmeasured = label_quality(Traits(0.05, None, None), cohort)
    assert [check.passed for check in unmeasured.checks] == [False, None, None]
    assert not unmeasured.stands_out


def test_what_has_no_shape_has_no_traits() -> None:
    empty = Mask(np.zeros((4, 5, 6), dtype=bool), Grid((4, 5, 6), np.diag([1.0, 1.0, 2.0, 1.0])))
    assert traits_of(empty, 10.0) == Traits(None, None, None)


def test_small_cohorts_and_senseless_numbers_are_refused() -> None:
    few = [Traits(1.0, 1.0, 0.0)] * (LEAST_LABELS - 1)
    with pytest.raises(BadCall, match=f"{LEAST_LABELS - 1} labels say little"):
        population_of(few)
    with pytest.raises(BadCall, match=r"The tail is 0\.5"):
        population_of([*few, few[0]], tail=0.5)
    with pytest.raises(BadCall, match="volume is 0"):
        traits_of(ellipsoid((9, 9, 9), (2, 2, 2)), 0)
