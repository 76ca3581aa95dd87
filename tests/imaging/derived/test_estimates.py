"""Intervals of derived numbers, held against simulation and closed forms."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ostensor.imaging.derived import volumes
from ostensor.imaging.derived.estimates import Estimate, NoNumberError, propagate, volume_by_border
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask

Z = 1.6449  # nine tenths of a normal distribution lie within so many standard deviations


def normal(value: float, sd: float) -> Estimate:
    return Estimate(value, value - Z * sd, value + Z * sd)


def simulated(formula: object, *inputs: Estimate) -> tuple[float, float]:
    """5th and 95th percentile of a million draws of normal inputs."""
    dice = np.random.default_rng(11)
    draws = [dice.normal(one.value, (one.high - one.low) / 2 / Z, 1_000_000) for one in inputs]  # type: ignore[operator]
    low, high = np.percentile(formula(*draws), (5, 95))  # type: ignore[operator]
    return float(low), float(high)


@pytest.mark.parametrize(
    ("derived", "formula", "inputs"),
    [
        (volumes.ejection_fraction, lambda d, s: 100 * (1 - s / d), (normal(143, 7), normal(61, 5))),
        (volumes.stroke_volume, lambda d, s: d - s, (normal(143, 7), normal(61, 5))),
        (volumes.asymmetry, lambda a, b: 200 * (a - b) / (a + b), (normal(3.1, 0.12), normal(2.6, 0.2))),
        (volumes.ratio, lambda a, b: a / b, (normal(310, 11), normal(1480, 40))),
        (volumes.myocardial_mass, lambda v: 1.05 * v, (normal(97, 4),)),
    ],
)
def test_intervals_are_those_of_a_simulation(derived: object, formula: object, inputs: tuple[Estimate, ...]) -> None:
    """Within a tenth of the interval's half width: the formulas bend a little over it."""
    found = derived(*inputs)  # type: ignore[operator]
    low, high = simulated(formula, *inputs)
    margin = 0.1 * (high - low) / 2
    assert found.low == pytest.approx(low, abs=margin)
    assert found.high == pytest.approx(high, abs=margin)


def test_the_interval_of_a_doubling_time_is_that_of_a_simulation() -> None:
    inputs = (normal(1.9, 0.06), normal(3.4, 0.09))
    found = volumes.doubling_time(*inputs, days=91)
    low, high = simulated(lambda a, b: 91 * math.log(2) / np.log(b / a), *inputs)
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.02)


def test_linear_formulas_follow_the_closed_form() -> None:
    """GUM, equation 10: the variance of a sum is the sum of the weighted variances."""
    found = propagate(lambda a, b: 3 * a - 4 * b, normal(10, 1), normal(2, 2))
    assert (found.low, found.value, found.high) == pytest.approx((22 - Z * math.sqrt(73), 22, 22 + Z * math.sqrt(73)))


def test_uneven_intervals_keep_their_lean_and_unknown_ones_give_none() -> None:
    found = propagate(lambda a: -a, Estimate(5, 4, 9))
    assert (found.low, found.value, found.high) == (-9, -5, -4)
    assert propagate(lambda a, b: a + b, Estimate(5, 4, 9), Estimate(1)) == Estimate(6)


def test_published_formulas_by_hand() -> None:
    """A textbook heart of 120 and 50 ml; a volume that quadruples in 200 days; a pair of 3 and 2 ml."""
    one, other = Estimate(120), Estimate(50)
    assert volumes.ejection_fraction(one, other).value == pytest.approx(58.333, abs=1e-3)
    assert volumes.stroke_volume(one, other).value == 70
    assert volumes.myocardial_mass(Estimate(100)).value == pytest.approx(105)
    assert volumes.doubling_time(Estimate(1), Estimate(4), 200).value == pytest.approx(100)
    assert volumes.doubling_time(Estimate(4), Estimate(1), 200).value == pytest.approx(-100)
    assert volumes.asymmetry(Estimate(3), Estimate(2)).value == pytest.approx(40)
    assert volumes.ratio(Estimate(3), Estimate(2)).value == pytest.approx(1.5)
    assert volumes.difference(Estimate(3), Estimate(2)).value == 1


def test_growth_that_may_be_none_has_no_longest_doubling_time() -> None:
    found = volumes.doubling_time(normal(2.0, 0.2), normal(2.1, 0.2), days=60)
    assert found.high is None
    assert found.low is not None
    assert 0 < found.low < found.value
    with pytest.raises(NoNumberError, match="the same"):
        volumes.doubling_time(Estimate(2), Estimate(2), days=60)
    with pytest.raises(NoNumberError, match="0 days"):
        volumes.doubling_time(Estimate(2), Estimate(3), days=0)


def test_the_border_of_a_block_moves_its_volume_by_nine_tenths_of_half_a_voxel() -> None:
    """A block of 5 x 7 x 11 voxels has 2 (35 + 55 + 77) faces; oblique axes change nothing but the voxel's volume."""
    array = np.zeros((13, 17, 19), bool)
    array[3:8, 2:9, 6:17] = True
    axes = np.array([[0.7, 0.2, 0, 4], [-0.1, 0.9, 0.3, 5], [0, 0.1, 3.0, -7], [0, 0, 0, 1]])
    ml = abs(np.linalg.det(axes[:3, :3])) / 1000
    found = volume_by_border(Region.of(Mask(array, Grid(array.shape, axes))))
    assert found.value == pytest.approx(385 * ml)
    assert found.high == pytest.approx((385 + 0.9 * 167) * ml)
    assert found.low == pytest.approx((385 - 0.9 * 167) * ml)


def test_half_a_voxel_of_border_is_what_growing_a_ball_by_it_gives() -> None:
    """A ball of 20 mm on 1 mm voxels: the shift along three axes, |n1| + |n2| + |n3|, is 3/2 of the normal one on average."""
    axis = np.arange(-25, 26)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = x**2 + y**2 + z**2 <= 20**2
    found = volume_by_border(Region.of(Mask(ball, Grid(ball.shape, np.eye(4)))))
    assert found.high is not None
    assert found.high - found.value == pytest.approx(1.5 * 0.9 * 0.5 * 4 * math.pi * 20**2 / 1000, rel=0.02)


def test_a_mask_without_voxels_or_voxel_size_has_no_volume() -> None:
    array = np.zeros((5, 7, 11), bool)
    with pytest.raises(NoNumberError, match="empty"):
        volume_by_border(Region.of(Mask(array, Grid(array.shape, np.eye(4)))))
    array[2, 3, 4] = True
    with pytest.raises(NoNumberError, match="voxel size"):
        volume_by_border(Region.of(Mask(array, Grid(array.shape, np.eye(4), spacing_known=False))))


@pytest.mark.parametrize("derive", [volumes.ratio, volumes.ejection_fraction])
def test_an_end_without_a_value_leaves_the_number_and_no_interval(derive: Callable[..., Estimate]) -> None:
    """A voxel alone may be nothing, drawn half a voxel smaller: 12 / 0 is no number, 12 / 4 is."""
    large, small = Estimate(12.0, 11.0, 13.0), Estimate(4.0, 0.0, 8.0)
    first, second = (large, small) if derive is volumes.ratio else (small, large)
    assert derive(first, second) == Estimate({"ratio": 3.0, "ejection_fraction": -200.0}[derive.__name__])


def test_a_doubling_time_from_next_to_nothing_has_no_interval() -> None:
    """1 ml to 8 ml in 30 days is three doublings of 10 days."""
    found = volumes.doubling_time(Estimate(1.0, 0.0, 2.0), Estimate(8.0, 7.0, 9.0), 30.0)
    assert (found.low, found.high) == (None, None)
    assert found.value == pytest.approx(10.0)
