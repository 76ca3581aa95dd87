"""How large a structure may be before `present` is in doubt."""

import pytest

from ostensor.models.catalogue import card
from ostensor.tools.segmenting.verdicts import _plausible


@pytest.fixture(autouse=True)
def toys() -> None:
    """The real catalogue here, not the toys."""


@pytest.mark.parametrize(("structure", "doubtful_ml"), [("liver", 5316.0), ("spleen", 900.0), ("left kidney", 900.0)])
def test_a_network_that_saw_slices_only_is_held_to_known_bodies(structure: str, doubtful_ml: float) -> None:
    """Slices give no volumes, so only the table of priors can object; 2,500 ml is the organ filter's largest liver."""
    one = card("sat-mini-abdomen-2d")
    assert structure not in one.plausible_ml
    low, high = _plausible(structure, one)
    assert low < doubtful_ml / 4
    assert 2500 * (structure == "liver") < high < doubtful_ml
