"""MiniLM through OpenVINO beside MiniLM through torch."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.models.text.encoders import MiniLmEncoder
from ostensor.models.text.fast import FastMiniLm

TEXTS = [
    "liver",
    "The left renal artery is an artery in the abdomen, on the patient's left side. It is part of the kidney.",
    "organ that stores bile",
    "LEFT  Kidney",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*:torch.jit.TracerWarning")
def test_the_fast_encoder_gives_the_vectors_of_the_slow_one_and_keeps_what_it_converted(tmp_path: Path) -> None:
    """Half-precision weights move a unit vector by less than 1e-3."""
    fast = FastMiniLm(tmp_path, threads=1)
    expected = MiniLmEncoder().encode(TEXTS)
    assert np.abs(fast.encode(TEXTS) - expected).max() < 1e-3
    assert np.abs(fast.encode(TEXTS[::-1]) - expected[::-1]).max() < 1e-3, "order and padding do not matter"
    made = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = FastMiniLm(tmp_path, threads=1)
    assert np.array_equal(again.encode(TEXTS[:1]), fast.encode(TEXTS[:1]))
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == made
