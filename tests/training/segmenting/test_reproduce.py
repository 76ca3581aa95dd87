"""Every bundled file answers what it answered when it was committed; the expectation lies beside the weights."""

import json
from pathlib import Path

import pytest

from ostensor.models.catalogue import WEIGHTS_FOLDER, card
from ostensor.models.load import load_predictor
from ostensor.training.segmenting.reproduce import bundled, on_data, on_phantom

# OpenVINO traces the network through torch.jit, which torch calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
WANTED = json.loads((WEIGHTS_FOLDER / "expected.json").read_text(encoding="utf-8"))


def test_every_bundled_network_has_an_expectation_of_its_very_file() -> None:
    assert sorted(WANTED) == sorted(bundled())
    for name in bundled():
        assert WANTED[name]["sha256"] == card(name).sha256, (
            f"run python -m ostensor.training.segmenting.reproduce DATA models/weights/expected.json {name}"
        )
        assert sorted(WANTED[name]["phantom"]) == sorted(card(name).claimed)


@pytest.mark.parametrize("name", bundled())
def test_a_made_up_scan_is_answered_as_committed(name: str) -> None:
    """In float32, which every processor has; they still round differently, so one voxel in a hundred may change sides."""
    found = on_phantom(name, load_predictor(name, threads=1, precision="fp32"))  # type: ignore[arg-type]
    for structure, (voxels, confidence) in WANTED[name]["phantom"].items():
        assert found[structure][0] == pytest.approx(voxels, rel=0.01, abs=20), structure
        assert found[structure][1] == pytest.approx(confidence, abs=0.02), structure


@pytest.mark.data
@pytest.mark.parametrize("name", [n for n in bundled() if n != "sat-mini-brain"])
def test_held_out_cases_are_segmented_as_well_as_committed(name: str, shared_data: Path) -> None:
    """The first held-out cases, in float32; the brain's template is in the slow run of `ostensor eval`."""
    found = on_data(name, load_predictor(name, threads=1, precision="fp32"), shared_data)  # type: ignore[arg-type]
    assert found == {structure: pytest.approx(dice, abs=0.01) for structure, dice in WANTED[name]["dice"].items()}
    assert found
