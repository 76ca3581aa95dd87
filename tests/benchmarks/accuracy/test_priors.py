"""Ranges of plausible sizes shut nobody out whom experts outlined."""

from pathlib import Path

import pytest

from ostensor.benchmarks.accuracy.plausibility_data import CHECKING
from ostensor.benchmarks.accuracy.priors import shut_out
from ostensor.imaging.plausibility.priors import Priors


@pytest.mark.data
@pytest.mark.parametrize("kind", CHECKING)
def test_no_labelled_case_at_hand_is_outside_its_range(kind: str, shared_data: Path) -> None:
    """Heads, abdomens, kidneys with tumours, reference bodies of two makers; heart MR has no voxel size."""
    compared, found = shut_out(CHECKING[kind](shared_data), Priors.bundled())
    assert found == []
    assert compared > 0 or kind == "heart MR"


@pytest.mark.parametrize(
    ("structure", "ml"),
    [("left hippocampus", 7.47), ("right hippocampus", 7.61), ("left lateral ventricle", 43.3), ("brain stem", 25.2)],
)
def test_adults_of_other_data_sets_are_inside(structure: str, ml: float) -> None:
    """The left hippocampus of Colin 27 as the AAL atlas draws it; a ventricle and a brain stem of SynthSeg's heads."""
    known = Priors.bundled().get(structure, "volume_ml")
    assert known is not None
    assert known.low <= ml <= known.high


@pytest.mark.parametrize("structure", ["heart", "prostate"])
def test_bodies_that_tell_nothing_give_no_range(structure: str) -> None:
    assert Priors.bundled().get(structure, "volume_ml") is None
