"""What a request is thought to need: within 30 % of what a process took (`ostensor bench memory`), more for a larger scan."""

import re
import subprocess
import sys

import numpy as np
import pytest

from ostensor.imaging.volume import Grid
from ostensor.models.catalogue import card
from ostensor.models.memory import request_mb

_MEASURE = """
import sys
import numpy as np
from ostensor.models.inference.hardware import peak_mb
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.load import load_predictor
shape = tuple(map(int, sys.argv[2:]))
scan = np.random.default_rng(0).integers(100, 1000, shape).astype(np.int16)
predictor = load_predictor(sys.argv[1], threads=1)
features = predictor.encode(Volume(scan, Grid(shape, np.diag([2.5, 2.5, 2.5, 1.0])), "mr"),
                            progress=lambda share: None, cancelled=lambda: False)
predictor.decode(features, predictor.card.claimed[:12])
print(peak_mb())
"""


def _grid(*shape: int) -> Grid:
    return Grid((shape[0], shape[1], shape[2]), np.diag([2.5, 2.5, 2.5, 1.0]))


@pytest.mark.parametrize("shape", [(64, 64, 64), (128, 128, 96)])
def test_a_request_is_thought_to_need_what_a_process_takes(shape: tuple[int, int, int]) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _MEASURE, "sat-mini-brain", *map(str, shape)], capture_output=True, text=True, check=True
    )
    took = float(re.findall(r"[0-9.]+", told.stdout)[-1])
    assert request_mb(card("sat-mini-brain"), _grid(*shape), 12) == pytest.approx(took, rel=0.3)


def test_it_grows_with_the_network_s_grid_not_with_the_scan_s() -> None:
    coarse, fine = card("sat-mini-torso"), card("sat-mini-hippocampus")  # 4 mm, 1 mm
    grid = _grid(128, 128, 96)
    assert request_mb(fine, grid) > 3 * request_mb(coarse, grid)
    assert request_mb(fine, _grid(64, 64, 64)) < request_mb(fine, grid)


def test_of_an_unknown_network_the_card_and_the_scan_are_counted() -> None:
    one = card("flans-mini")
    assert request_mb(one, _grid(512, 512, 1)) == one.memory_mb + 512 * 512 * 90 // 1_000_000
