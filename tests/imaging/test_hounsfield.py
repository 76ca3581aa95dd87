"""Values that cannot be Hounsfield units: a body in HU by our own making, then scaled as people scale it."""

from collections.abc import Callable

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.hounsfield import check_hu, may_be_hu
from ostensor.imaging.opened import preflight
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.inference.preprocess import Preparation, prepare

SHAPE = (23, 19, 11)
GRID = Grid(SHAPE, np.diag([2.0, 3.0, 5.0, 1.0]))


def body() -> np.ndarray:
    values = np.full(SHAPE, -1000.0, np.float32)
    values[4:19, 3:15], values[6:12, 5:11] = -100, 60
    return values + np.random.default_rng(0).normal(0, 10, SHAPE).astype(np.float32)


SCALED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "0 to 1": lambda a: np.clip((a + 160) / 400, 0, 1),
    "0 to 255": lambda a: np.round(np.clip((a + 160) / 400, 0, 1) * 255),
    "-1 to 1": lambda a: np.clip(a / 1000, -1, 1),
    "z-scores": lambda a: (a - a.mean()) / a.std(),
    "without offset": lambda a: a + 1100,
}


@pytest.mark.parametrize("name", SCALED)
def test_a_scaled_ct_is_refused_where_hu_are_needed_and_said_to_be_none(name: str) -> None:
    volume = Volume(SCALED[name](body()).astype(np.float32), GRID, "ct")
    with pytest.raises(BadCall, match="modality='mr'"):
        check_hu(Volume(volume.array, GRID, "unknown"), "the model")
    assert not may_be_hu(volume.array)
    for refused in (
        lambda: check_hu(volume, "the model"),
        lambda: prepare(volume, Preparation(dims=3, spacing_mm=(2, 3, 5), intensity="ct")),
    ):
        with pytest.raises(BadCall, match="no Hounsfield units"):
            refused()
    assert any("not in HU" in warning for warning in preflight(volume))


@pytest.mark.parametrize("change", [lambda a: a, lambda a: np.clip(a, -200, 300), lambda a: np.clip(a, -250, 350)])
def test_a_ct_in_hu_passes_windowed_or_not(change: Callable[[np.ndarray], np.ndarray]) -> None:
    volume = Volume(change(body()), GRID, "ct")
    check_hu(volume, "the model")
    assert may_be_hu(volume.array)


def test_other_scans_and_single_slices_pass() -> None:
    scaled = SCALED["0 to 1"](body())
    check_hu(Volume(scaled, GRID, "mr"), "the model")
    check_hu(Volume(scaled[:, :, :1], Grid((23, 19, 1), np.eye(4)), "ct"), "the model")
