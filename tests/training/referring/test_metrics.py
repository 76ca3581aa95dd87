"""Spec LSMS §13.10: the figures by hand, empty against empty included."""

import numpy as np
import pytest

from ostensor.training.referring.metrics import Overlaps


def mask(*pixels: int) -> np.ndarray:
    made = np.zeros(13, dtype=np.bool_)
    made[list(pixels)] = True
    return made


def test_mean_and_overall_iou_and_precision_by_hand() -> None:
    """IoUs 3/4, 1/5, 1 (both empty), 0: mean 0.4875; overall (3+1+0+0) / (4+5+0+2)."""
    found = Overlaps()
    found.add(mask(0, 1, 2), mask(0, 1, 2, 3))
    found.add(mask(5, 6, 7), mask(7, 8, 9))
    found.add(mask(), mask())
    found.add(mask(2), mask(11))
    assert found.ious.tolist() == pytest.approx([0.75, 0.2, 1.0, 0.0])
    assert found.mean_iou == pytest.approx(0.4875)
    assert found.overall_iou == pytest.approx(4 / 11)
    assert [found.precision_at(k) for k in (0.5, 0.75, 0.9)] == [0.5, 0.25, 0.25]
    assert found.row() == ["0.487", "0.364", "0.500", "0.500", "0.250", "4"]


def test_large_targets_weigh_more_in_the_overall_iou() -> None:
    found = Overlaps()
    found.add(mask(*range(10)), mask(*range(10)))
    found.add(mask(11), mask(12))
    assert found.mean_iou == 0.5
    assert found.overall_iou == pytest.approx(10 / 12)
